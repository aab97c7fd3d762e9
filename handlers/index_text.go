package handlers

import (
	"fmt"
	"io"
	"strings"

	"gotimeout/internal/prose"
)

// writeIndex writes what there is, for a terminal of 80 columns.
func writeIndex(w io.Writer, l *Lab, base string) {
	fmt.Fprint(w, wrapped("goTimeout: the same slow call behind each way that Go offers to time out: when its caller was answered, when it ended, and who worked on for nobody."), "\n")
	first, _ := l.asked(nil)
	fmt.Fprint(w, "To begin with, what waits however long it takes, and then all at once:\n\n")
	for _, path := range []string{"/" + l.Strategies[0].Name, fmt.Sprintf("/compare?op=%s&delay=%s&timeout=%s", first["op"], first["delay"], first["timeout"])} {
		fmt.Fprintf(w, "  curl %s\n", quoted(base+path))
	}
	fmt.Fprint(w, "\nStrategies:\n")
	for _, s := range l.Strategies {
		fmt.Fprintf(w, "\n/%s\n%s", s.Name, wrapped(s.Doc))
	}
	fmt.Fprint(w, "\nWhat each can be asked for, as in ?op=db&ctx=deaf:\n\n")
	for _, op := range l.Ops {
		fmt.Fprint(w, wrapped(strings.TrimSpace("op="+op.Name+" "+op.Doc+" "+op.Choices())))
	}
	fmt.Fprint(w, wrapped(fmt.Sprintf("delay= how long the call takes, at most %s; timeout= the bound, at most %s; both as 250ms, 1.5s or plain seconds; ctx=aware|deaf it heeds a cancel, or not", l.MaxDelay, l.MaxTimeout)))
	if between := described(l.pathOf(l.Ops[0])); between != "" {
		fmt.Fprint(w, "\nThe network to the backends:\n\n", wrapped(between))
	}
	fmt.Fprint(w, "\n", wrapped("Also there: /compare, /race, /receipts, /events, /network, /backends, /sockets and /lab. In a browser this address is a page."))
}

// columns is the width of what is written for a terminal.
const columns = 80

func wrapped(text string) string { return prose.Wrap(text, columns) }
