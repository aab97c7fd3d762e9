package main

import (
	_ "embed"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"gotimeout/internal/lab"
	"gotimeout/internal/receipt"
	"gotimeout/strategies"
)

// The matrix has for each strategy × op × aware/deaf how a run under a short timeout ends:
// when it was answered, when the op ended and when the backend stopped, and how many
// goroutines were left at the answer; "0-1" where the answer and the op have the same end, and
// either may be first. "timeout" is at the timeout, "end" at the end of the
// work, and "?" is unknown.
//
//go:embed testdata/matrix.txt
var matrixText string

// cell is a line of the matrix, with the query of its run.
type cell struct {
	strategy, op, ctx, status, answered, ended, backend, left string
}

func matrix(t *testing.T) map[string]cell {
	t.Helper()
	cells := map[string]cell{}
	for i, line := range strings.Split(strings.TrimSpace(matrixText), "\n") {
		f := strings.Fields(line)
		if len(f) != 8 {
			t.Fatalf("line %d of the matrix has %d columns: %s", i+1, len(f), line)
		}
		if i > 0 {
			cells[strings.Join(f[:3], " ")] = cell{f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7]}
		}
	}
	return cells
}

// matrixOps are the ops of the matrix with their queries and times. A time before between
// counts as at the timeout, and a time after between as at the end of the work. All cells
// that don't compute start at once, and on a busy machine each still reaches its backend
// before its timeout. MySQL's SLEEP looks after 5 s whether its client has left.
var matrixOps = []struct {
	name, query             string
	timeout, between, delay string
	computes                bool // cells that compute run alone, because they need the processors
}{
	{"http", "op=http", "2s", "4700ms", "4800ms", false},
	{"http/deaf", "op=http&backend=deaf", "2s", "4700ms", "4800ms", false},
	{"cache", "op=cache", "2s", "4700ms", "4800ms", false},
	{"db/sleep", "op=db", "2s", "4700ms", "4800ms", false},
	{"db/cpu", "op=db&work=cpu", "500ms", "900ms", "2s", true}, // the calibration of BENCHMARK is not exact
	{"postgres/sleep", "op=postgres", "2s", "4700ms", "4800ms", false},
	{"postgres/request", "op=postgres&cancel=request", "2s", "4700ms", "4800ms", false},
	{"postgres/grace", "op=postgres&cancel=grace", "2s", "4700ms", "4800ms", false},
	{"postgres/cpu", "op=postgres&work=cpu", "1s", "1900ms", "2s", true},
	{"redis/off", "op=redis", "2s", "4700ms", "4800ms", false},
	{"redis/on", "op=redis&deadline=on", "2s", "4700ms", "4800ms", false},
	{"grpc", "op=grpc", "2s", "4700ms", "4800ms", false},
	{"grpc/deaf", "op=grpc&backend=deaf", "2s", "4700ms", "4800ms", false},
	{"grpc/proxy", "op=grpc&target=proxy-detached", "2s", "4700ms", "4800ms", false},
	{"cpu", "op=cpu", "250ms", "1400ms", "1500ms", true},
	{"all", "op=all", "2s", "4700ms", "4800ms", false},
}

func TestMatrix(t *testing.T) { runMatrix(t, false) }

// The cells that compute take turns, because they need the processors. The start of a child
// computes too, so those of children are four at once.
func TestMatrixComputes(t *testing.T) {
	slow(t)
	runMatrix(t, true)
}

// runMatrix runs the cells that compute, or those that don't, on stand-ins and on real
// servers. With real servers the end of a query is still known, from the process list. A real
// memcached can't delay an answer, so a delay is refused, and the end of its work is unknown.
func runMatrix(t *testing.T, computes bool) {
	t.Run("stand-ins", func(t *testing.T) {
		runCells(t, start(t), computes, 1000, func(c cell) cell { return c })
	})
	t.Run("real", func(t *testing.T) {
		needReal(t)
		p := start(t, "--cache-addr="+real.cacheAddr, "--db-dsn="+real.dbDSN, "--postgres-url="+real.postgresURL, "--redis-url="+real.redisURL)
		const atOnce = 32 // a login costs PostgreSQL a process
		runCells(t, p, computes, atOnce, func(c cell) cell {
			switch c.op {
			case "cache":
				c.status = "refused"
			case "all":
				c.backend = "?"
				if c.left == fmt.Sprint(len(together)) { // of which the cache has answered
					c.left = fmt.Sprint(len(together) - 1)
				}
			}
			return c
		})
	})
}

// outcome is the outcome of a cell's run.
type outcome struct {
	cell    cell
	path    string
	between string
	alone   bool // the run needs the processors
	code    int
	view    receipt.View
	err     error
}

func runCells(t *testing.T, p program, computes bool, atOnce int, expect func(cell) cell) {
	asked := askedCells(t, computes)
	var waiting sync.WaitGroup
	turns := make(chan struct{}, atOnce)
	for i, o := range asked {
		o.cell = expect(o.cell)
		turns <- struct{}{}
		waiting.Go(func() { o.code, o.view, o.err = p.finish(o.path); <-turns })
		if o.alone || computes && i%4 == 3 {
			waiting.Wait()
		}
	}
	waiting.Wait()
	checkOutcomes(t, p, asked)
}

// checkOutcomes compares outcomes with their cells. A run that a pause of the machine may have changed is made
// again, alone.
func checkOutcomes(t *testing.T, p program, asked []*outcome) {
	for _, o := range asked {
		for try := 0; try < 2 && !o.asWanted(); try++ {
			o.code, o.view, o.err = p.finish(o.path)
		}
		t.Run(o.cell.strategy+" "+o.cell.op+" "+o.cell.ctx, o.check)
	}
}

// askedCells returns the cells that compute, or those that don't, and checks that the matrix
// has a row for each cell of both kinds, and no other row.
func askedCells(t *testing.T, computes bool) (asked []*outcome) {
	cells := matrix(t)
	for _, s := range lab.Strategies() {
		for _, op := range matrixOps {
			for _, ctx := range []string{"aware", "deaf"} {
				if name, _, _ := strings.Cut(op.name, "/"); !s.Suits(name) {
					continue
				}
				name := s.Name + " " + op.name + " " + ctx
				c, ok := cells[name]
				if delete(cells, name); !ok {
					t.Errorf("the matrix has no row for %s", name)
				}
				if !ok || (op.computes || s.Outside == strategies.InChild) != computes {
					continue
				}
				asked = append(asked, &outcome{
					cell: c, between: op.between, alone: op.computes,
					path: fmt.Sprintf("/%s?%s&ctx=%s&delay=%s&timeout=%s", s.Name, op.query, ctx, op.delay, op.timeout),
				})
			}
		}
	}
	for name := range cells {
		t.Errorf("the matrix has an unused row: %s", name)
	}
	return asked
}

var codes = map[string]int{
	"completed": http.StatusOK,
	"accepted":  http.StatusAccepted,
	"timed_out": http.StatusGatewayTimeout,
	"refused":   http.StatusBadRequest,
}

// check compares the outcome with the cell.
func (o *outcome) check(t *testing.T) {
	c, v := o.cell, o.view
	if o.err != nil || o.code != codes[c.status] {
		t.Fatalf("GET %s: %d, %v, want %s: %s", o.path, o.code, o.err, c.status, describe(v))
	}
	if c.status == "refused" {
		return
	}
	if got := o.got(); got != c {
		t.Errorf("GET %s\n got %v\nwant %v\n%s", o.path, got, c, describe(v))
	}
	line, err := time.ParseDuration(v.Timeout)
	if late := err == nil && c.strategy != "baseline" && *v.Answered >= line.Seconds()*1000; (v.Overshoot != nil) != late {
		t.Errorf("GET %s: overshoot %v for a run answered after %v ms", o.path, v.Overshoot, *v.Answered)
	}
}

func (o *outcome) asWanted() bool {
	return o.err == nil && o.code == codes[o.cell.status] && (o.cell.status == "refused" || o.got() == o.cell)
}

// got is the cell that the run had.
func (o *outcome) got() cell {
	c, v := o.cell, o.view
	left := fmt.Sprint(v.Goroutines)
	if from, to, either := strings.Cut(c.left, "-"); either && left >= from && left <= to {
		left = c.left
	}
	return cell{
		c.strategy, c.op, c.ctx, string(*v.Status),
		side(v.Answered, o.between), side(v.Ended, o.between), side(v.BackendEnded, o.between), left,
	}
}

func side(ms *float64, between string) string {
	line, err := time.ParseDuration(between)
	switch {
	case err != nil:
		panic(err)
	case ms == nil:
		return "?"
	case *ms < line.Seconds()*1000:
		return "timeout"
	default:
		return "end"
	}
}

func describe(v receipt.View) string {
	show := func(ms *float64) any {
		if ms == nil {
			return nil
		}
		return *ms
	}
	return fmt.Sprintf("answered %v, ended %v, backend ended %v, error %+v", show(v.Answered), show(v.Ended), show(v.BackendEnded), v.Error)
}
