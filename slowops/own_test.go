package slowops_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	cachebackend "gotimeout/internal/backends/cache"
	dbbackend "gotimeout/internal/backends/db"
	"gotimeout/slowops"

	"github.com/go-sql-driver/mysql"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// planted stands in each part of an own call that may be secret.
const planted = "PLANTED"

// ownRequest returns a POST with a secret in each part.
func ownRequest(t *testing.T, base string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, base+"/report?key="+planted, strings.NewReader("body="+planted))
	if err != nil {
		t.Fatal(err)
	}
	req.URL.User = url.UserPassword("user", planted)
	req.Header.Set("X-Key", planted)
	return req
}

// Each call sends the whole request. Without Expect a status from 500 on is a failure.
func TestOwnRequest(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, password, _ := r.BasicAuth()
		asked <- fmt.Sprintf("%s %s %s %s %s run=%s", r.Method, r.URL, r.Header.Get("X-Key"), password, body, r.Header.Get("Gotimeout-Run"))
		var status int
		_, _ = fmt.Sscan(r.Header.Get("X-Answer"), &status)
		w.WriteHeader(status)
	}))
	defer server.Close()
	only201 := func(status int) bool { return status == 201 }
	for name, tt := range map[string]struct {
		status string
		expect func(int) bool
		want   string // the text of the error
	}{
		"completed":    {"200", nil, ""},
		"not found":    {"404", nil, ""},
		"failed":       {"500", nil, "http: answered 500 Internal Server Error"},
		"no such code": {"599", nil, "http: answered 599"},
		"as expected":  {"201", only201, ""},
		"otherwise":    {"200", only201, "http: answered 200 OK"},
	} {
		t.Run(name, func(t *testing.T) {
			op := slowops.NewHTTP(server.URL, 0)
			defer op.Close()
			op.Request, op.Expect = ownRequest(t, server.URL), tt.expect
			op.Request.Header.Set("X-Answer", tt.status)
			for range 2 {
				if err := op.Do(t.Context(), slowops.Call{Run: "a-1", Delay: time.Hour}); text(err) != tt.want {
					t.Errorf("%v, want %q", err, tt.want)
				}
				if got, want := <-asked, "POST /report?key=PLANTED PLANTED PLANTED body=PLANTED run=a-1"; got != want {
					t.Errorf("%s, want %s", got, want)
				}
			}
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Without Redirects a call follows redirects only to the request's own server.
func TestOwnRedirects(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer other.Close()
	to := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/report" {
			http.Redirect(w, r, to, http.StatusTemporaryRedirect)
		} else if r.URL.Path == "/again" {
			http.Redirect(w, r, "/again", http.StatusFound)
		}
	}))
	defer server.Close()
	for name, tt := range map[string]struct {
		to     string
		follow bool
		want   string
	}{
		"own server":        {"/elsewhere", false, ""},
		"another":           {other.URL + "/?key=" + planted, false, "http: redirected to another server, and an own request follows redirects to its own server alone"},
		"another, followed": {other.URL, true, ""},
		"a loop":            {"/again", false, "http: redirected more than ten times"},
	} {
		t.Run(name, func(t *testing.T) {
			to = tt.to
			op := slowops.NewHTTP(server.URL, 0)
			defer op.Close()
			op.Request, op.Redirects = ownRequest(t, server.URL), tt.follow
			var phases atomic.Int32 // how many phases go on
			c := slowops.Call{}
			c.Phase = func(string, string) func(error) {
				phases.Add(1)
				return func(error) { phases.Add(-1) }
			}
			if err := op.Do(t.Context(), c); text(err) != tt.want {
				t.Errorf("%v, want %q", err, tt.want)
			}
			eventually(t, "all phases have ended", func() bool { return phases.Load() == 0 })
		})
	}
}

// raw returns the address of a server that answers each connection with the same bytes.
func raw(t *testing.T, answer string) string {
	return serve(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, answer)
	})
}

// Whatever the server does, no error of an own call quotes the call.
func TestOwnCallsAreSecret(t *testing.T) {
	t.Parallel()
	const echo = "HTTP/1.1 500 " + planted + "\r\nContent-Length: 0\r\n\r\n"
	calls := map[string]func(*testing.T) error{}
	for name, addr := range map[string]string{
		"down": down(t), "echo": raw(t, echo), "no HTTP": raw(t, planted+"\r\n\r\n"), "nothing": raw(t, ""), "bad redirect": raw(t, "HTTP/1.1 302 x\r\nLocation: http://[::"+planted+"\r\nContent-Length: 0\r\n\r\n"),
	} {
		calls["http "+name] = func(t *testing.T) error {
			op := slowops.NewHTTP("http://"+addr, 0)
			defer op.Close()
			op.Request = ownRequest(t, "http://"+addr)
			return op.Do(t.Context(), slowops.Call{Run: "a"})
		}
	}
	for name, addr := range map[string]string{
		"down": down(t), "no memcached": raw(t, planted+"\r\n"), "another key": raw(t, "VALUE "+planted+"2 0 1\r\n1\r\nEND\r\n"), "nothing": raw(t, ""),
	} {
		calls["cache "+name] = func(t *testing.T) error {
			op := slowops.NewCache(addr)
			defer op.Close()
			op.Key = planted
			return op.Do(t.Context(), slowops.Call{Run: "a"})
		}
	}
	calls["db"] = func(t *testing.T) error {
		op := newMySQL(t, labDSN(backend(t, dbbackend.Start, new(runs))), 0)
		op.Statement = "SELECT " + planted
		return op.Do(t.Context(), slowops.Call{Run: "a"})
	}
	calls["db real"] = func(t *testing.T) error {
		op := newMySQL(t, realServer(t, "MYSQL_DSN"), 0)
		op.Statement = "SELECT " + planted + " FROM FROM"
		return op.Do(t.Context(), slowops.Call{Run: "a"})
	}
	for name, addr := range map[string]string{
		"down": down(t), "no gRPC": raw(t, planted+"\r\n\r\n"), "nothing": raw(t, ""), "echo": grpcServer(t, func(context.Context, grpc.ServerStream) error { return status.Error(codes.Internal, planted) }),
	} {
		calls["grpc "+name] = func(t *testing.T) error {
			return ownGRPC(t, addr, "gotimeout.Slow/Delay", planted).Do(t.Context(), slowops.Call{Run: "a"})
		}
	}
	for _, name := range []string{"/no/such/program", "false"} {
		calls["command "+name] = func(t *testing.T) error {
			return slowops.Command{Name: name, Args: []string{planted}}.Do(t.Context(), slowops.Call{Run: "a"})
		}
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			err := call(t)
			if err == nil || strings.Contains(fmt.Sprintf("%v %+v", err, err), planted) {
				t.Errorf("%v", err)
			}
		})
	}
}

// The errors of an own call still match the errors that a strategy looks for.
func TestOwnErrorsMatch(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // without this read the server doesn't notice that its client has left
		<-r.Context().Done()
	}))
	defer server.Close()
	op := slowops.NewHTTP(server.URL, 0)
	defer op.Close()
	op.Request = ownRequest(t, server.URL)
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	if err := op.Do(ctx, slowops.Call{}); !errors.Is(err, context.DeadlineExceeded) || err.Error() != "http: context deadline exceeded" {
		t.Errorf("cut by its context: %v", err)
	}
	var failure *slowops.Failure
	if err := op.Do(t.Context(), slowops.Call{IOTimeout: short}); !errors.As(err, &failure) || failure.Code() != "total_timeout" || !isTimeout(err) {
		t.Errorf("cut by the client: %v", err)
	}
	if err := op.Do(t.Context(), slowops.Call{HeaderTimeout: short}); !errors.As(err, &failure) || failure.Code() != "header_timeout" || err.Error() != "http: no headers within 100ms" {
		t.Errorf("cut by the client: %v", err)
	}
	if err := op.Do(t.Context(), slowops.Call{Deaf: true, Limit: short}); !errors.Is(err, slowops.ErrLimit) {
		t.Errorf("over the limit: %v", err)
	}
}

// An own statement has the run's tag where the process list shows it. Without Write it
// changes nothing.
func TestOwnStatement(t *testing.T) {
	t.Parallel()
	op := newMySQL(t, realServer(t, "MYSQL_DSN"), 0)
	op.Statement = "SELECT 'a' UNION SELECT INFO FROM information_schema.processlist WHERE ID = CONNECTION_ID() -- the end"
	if err := op.Do(t.Context(), slowops.Call{Run: "a-1", Traceparent: "00-1-1-01"}); err != nil {
		t.Error(err)
	}
	table := fmt.Sprintf("own_%d", time.Now().UnixNano())
	var refused *mysql.MySQLError
	for _, statement := range []string{"CREATE TABLE " + table + " (n INT)", "DROP TABLE IF EXISTS " + table} {
		read := newMySQL(t, realServer(t, "MYSQL_DSN"), 0)
		read.Statement = statement
		if err := read.Do(t.Context(), slowops.Call{Run: "a-2"}); !errors.As(err, &refused) || refused.Number != 1792 {
			t.Errorf("%s: %v", statement, err)
		}
		write := newMySQL(t, realServer(t, "MYSQL_DSN"), 0)
		write.Statement, write.Write = statement, true
		if err := write.Do(t.Context(), slowops.Call{Run: "a-3"}); err != nil {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

// An own key is the key of the get, and a miss is an answer.
func TestOwnKey(t *testing.T) {
	t.Parallel()
	var began runs
	op := slowops.NewCache(backend(t, cachebackend.Start, &began))
	defer op.Close()
	op.Key = "delay/100ms/own"
	took, err := timed(t.Context(), op.Do, slowops.Call{Run: "a-1", Delay: time.Hour})
	if err != nil || took < short || !began.has("own") || began.has("a-1") {
		t.Errorf("%v after %s", err, took)
	}
	op.Key = "no/such/key"
	if err := op.Do(t.Context(), slowops.Call{}); err != nil {
		t.Error(err)
	}
}
