package prose_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"gotimeout/internal/prose"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWrap(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "\n",
		"one":                      "one\n",
		"one two three":            "one two\nthree\n",
		" one\n two  three ":       "one two\nthree\n",
		"seven77 1":                "seven77\n1\n",
		"µµµ µµµµ":                 "µµµ µµµµ\n",
		"longer-than-a-line a b c": "longer-than-a-line\na b c\n",
	} {
		if got := prose.Wrap(in, 8); got != want {
			t.Errorf("Wrap(%q) is %q, want %q", in, got, want)
		}
	}
}

func TestHang(t *testing.T) {
	const indent, width = 4, 12
	got := strings.Repeat(" ", indent) + prose.Hang("first second third and-one-longer fourth", indent, width)
	want := "    first\n    second\n    third\n    and-one-longer\n    fourth"
	if got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}

func FuzzHang(f *testing.F) {
	f.Add("a few words, one of them longer-than-the-line", 3, 10)
	f.Fuzz(func(t *testing.T, in string, indent, width int) {
		indent, width = indent&15, width&127
		out := prose.Hang(in, indent, width)
		if got, want := strings.Join(strings.Fields(out), " "), strings.Join(strings.Fields(in), " "); got != want {
			t.Errorf("the words are %q, want %q", got, want)
		}
		for i, line := range strings.Split(out, "\n") {
			n := utf8.RuneCountInString(line)
			if i == 0 {
				n += indent
			}
			if n > width && len(strings.Fields(line)) > 1 {
				t.Errorf("%q is wider than %d columns", line, width)
			}
		}
	})
}

func TestJoin(t *testing.T) {
	for _, tc := range []struct{ words, or, and string }{
		{"", "", ""}, {"a", "a", "a"}, {"a b", "a or b", "a and b"}, {"a b c", "a, b or c", "a, b and c"},
	} {
		words := strings.Fields(tc.words)
		if or, and := prose.Or(words), prose.And(words); or != tc.or || and != tc.and {
			t.Errorf("%q: %q and %q, want %q and %q", tc.words, or, and, tc.or, tc.and)
		}
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int][]string{0: {"0 runs", "0 queries"}, 1: {"1 run", "1 query"}, 2: {"2 runs", "2 queries"}} {
		if got := []string{prose.Count(n, "run"), prose.Count(n, "query")}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestOneLine(t *testing.T) {
	if got := prose.OneLine(errors.Join(errors.New("a"), errors.New("b"))); got != "a; b" {
		t.Errorf("got %q", got)
	}
	if got := prose.OneLine(errors.New("a\tb\r\x1b[31m\x00\u0085 é")); got != "a b\ufffd\ufffd[31m\ufffd\ufffd é" {
		t.Errorf("got %q", got)
	}
}

// A name of any length costs no more than one of a hundred letters, because strangers send them.
func TestUnknownOfALongName(t *testing.T) {
	cost := func(n int) float64 {
		name, all := strings.Repeat("é", n/2), []string{"op", "delay", "timeout"}
		return testing.AllocsPerRun(10, func() { _ = prose.Unknown("parameter", name, all) })
	}
	if short, long := cost(100), cost(16_000); long > 2*short {
		t.Errorf("%v allocations for a name of 100 bytes, and %v for one of 16,000", short, long)
	}
}

func TestUnknown(t *testing.T) {
	commands := []string{"serve", "compare", "recommend", "network", "timewait", "report"}
	many := []string{"a1", "b1", "c1", "d1", "e1", "f1", "g1", "h1", "i1", "j1", "k1", "l1", "m1", "n1", "o1"}
	for got, test := range map[string]struct {
		all  []string
		want string
	}{
		"comapre": {commands, `there is no command "comapre", did you mean compare?`},
		"serv":    {commands, `there is no command "serv", did you mean serve?`},
		"netwrok": {commands, `there is no command "netwrok", did you mean network?`},
		"repot":   {commands, `there is no command "repot", did you mean report?`},
		"x":       {commands, `there is no command "x": use serve, compare, recommend, network, timewait or report`},
		"a2":      {many, `there is no command "a2", did you mean a1?`},
		"":        {many, `there is no command "": use a1, b1, c1, d1, e1, f1, g1, h1, i1, j1, k1, l1, m1, n1 or o1`},
		"xyz-xyz": {many, `there is no command "xyz-xyz": the nearest are a1, b1 and c1`},
		"none":    {nil, `there is no command "none"`},
	} {
		if got := prose.Unknown("command", got, test.all); got != test.want {
			t.Errorf("%s; want %s", got, test.want)
		}
	}
}
