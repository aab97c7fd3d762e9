package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// needCurl skips a test where there is no curl.
func needCurl(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip(err)
	}
}

// curlRefused is the exit status of a curl that could not connect.
const curlRefused = 7

// curl prints the body of the answer and the seconds until it came.
func curl(url string) []string {
	return []string{"curl", "-sS", "-w", " %{time_total}", url}
}

// A port of --reach is the server outside, over the bad loopback, and no other port is.
func TestNetworkReach(t *testing.T) {
	needCurl(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	defer server.Close()
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	users(t, func(t *testing.T, prefix []string) {
		reach := "--reach=" + server.Listener.Addr().String()
		cmd := command(t, prefix, append([]string{"network", "run", reach, "delay=50ms", "--"}, curl(server.URL)...)...)
		out, err := cmd.Output()
		body, took, _ := strings.Cut(string(out), " ")
		// The dial takes a round trip, and the answer another.
		if seconds, _ := strconv.ParseFloat(took, 64); body != "hello" || seconds < 0.2 || err != nil {
			t.Errorf("%q, %v", out, err)
		}
		cmd = command(t, prefix, append([]string{"network", "run", reach, "none", "--"}, curl(other.URL)...)...)
		if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != curlRefused {
			t.Errorf("another port: %s, %s", cmd.ProcessState, out)
		}
	})
}

// A network inside a network: a round trip to a server on the outer loopback takes both.
func TestNetworkNested(t *testing.T) {
	needCurl(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	defer server.Close()
	users(t, func(t *testing.T, prefix []string) {
		reach := "--reach=" + server.Listener.Addr().String()
		inner := append([]string{"env", asProgram + "=1", binary(t), "network", "run", reach, "delay=30ms", "--"}, curl(server.URL)...)
		out, err := command(t, prefix, append([]string{"network", "run", reach, "delay=20ms", "--"}, inner...)...).Output()
		body, took, _ := strings.Cut(string(out), " ")
		if seconds, _ := strconv.ParseFloat(took, 64); body != "hello" || seconds < 0.2 || err != nil {
			t.Errorf("%q, %v", out, err)
		}
	})
}
