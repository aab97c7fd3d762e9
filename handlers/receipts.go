package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"gotimeout/internal/receipt"
	"gotimeout/internal/wire"

	"github.com/go-chi/chi/v5"
)

const defaultLimit = 20

// receipts serves the newest receipts, the newest first; with after= those that
// came after that one, the oldest first.
func (l *Lab) receipts(w http.ResponseWriter, r *http.Request) {
	q, err := query(r.URL.RawQuery, "after", "limit")
	limit := defaultLimit
	if text, given := q["limit"]; given {
		limit, err = strconv.Atoi(text)
		if err != nil || limit < 1 || limit > l.Ledger.Size() {
			err = fmt.Errorf("limit=%.20s is no number from 1 to %d, which is what the ledger holds", text, l.Ledger.Size())
		}
	}
	if err != nil {
		badParameter(w, r, err)
		return
	}
	found := l.Ledger.Last(limit)
	if after, given := q["after"]; given {
		found, err = l.Ledger.After(after, limit)
		if errors.Is(err, receipt.ErrGone) {
			refuse(w, r, http.StatusGone, "receipts_gone", fmt.Sprintf(
				"the receipts right after %.40q are gone: the ledger holds the last %d (--receipts): ask sooner, or for those after a later one",
				after, l.Ledger.Size()))
			return
		} else if err != nil {
			l.noReceipt(w, r, after)
			return
		}
	}
	views := make([]receipt.View, len(found))
	for i, rc := range found {
		views[i] = l.resolved(rc)
	}
	writeJSON(w, r, http.StatusOK, wire.Receipts{Receipts: views})
}

// noReceipt answers for an ID that is none of a receipt.
func (l *Lab) noReceipt(w http.ResponseWriter, r *http.Request, id string) {
	refuse(w, r, http.StatusNotFound, "no_receipt", fmt.Sprintf(
		"there is no receipt %.40q: the ledger holds the last %d runs of this lab, see /receipts", id, l.Ledger.Size()))
}

// oneReceipt serves a receipt as it stands, or with wait= once it is complete:
// to a browser as a page, unless format=json asks for more.
func (l *Lab) oneReceipt(w http.ResponseWriter, r *http.Request) {
	q, err := query(r.URL.RawQuery, "wait", "format")
	if err != nil {
		badParameter(w, r, err)
		return
	}
	wait, err := duration(q, "wait", 0, l.Longest())
	format := formatFor(r)
	if _, given := q["format"]; given && err == nil {
		format, err = choice(q, "format", "", []string{"html", "json"})
	}
	if err != nil {
		badParameter(w, r, err)
		return
	}
	rc := l.Ledger.Get(chi.URLParam(r, "id"))
	if rc == nil {
		l.noReceipt(w, r, chi.URLParam(r, "id"))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	rc.Wait(ctx)
	if format == "html" {
		l.writeReceiptPage(w, l.resolved(rc))
		return
	}
	writeJSON(w, r, http.StatusOK, l.resolved(rc))
}

// formatFor is html for who would rather read a page.
func formatFor(r *http.Request) string {
	accept := r.Header.Get("Accept")
	if strings.Contains(accept, "text/html") && !strings.Contains(accept, "application/json") {
		return "html"
	}
	return "json"
}

// resolved is a receipt with the ends of its connections as they turned out.
func (l *Lab) resolved(rc *receipt.Receipt) receipt.View {
	if l.Kernel != nil {
		rc.Resolve(l.Kernel.Known)
	}
	return rc.View()
}
