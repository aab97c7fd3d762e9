package main

import (
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"gotimeout/internal/badnet"
)

// folder has a script work in a folder of its own.
const folder = `cd "$(mktemp -d)"; trap 'rm -rf "$PWD"' EXIT; `

// Programs that services really use run unchanged on a bad loopback, under each driver that works
// here. Of a delay the least is exact, and the most is generous, since the machine may be busy.
func TestNetworkPrograms(t *testing.T) {
	t.Parallel()
	for _, p := range []struct {
		needs, profile, script string
		least, most            float64
	}{
		// A dial takes a round trip, and so does the answer.
		{"redis-server", "delay=50ms", folder + `redis-server --bind 127.0.0.1 ::1 --port 6390 --save '' >&2 &
			until redis-cli -h ::1 -p 6390 ping >&2; do sleep 0.1; done; began=$(date +%s%N)
			redis-cli -h ::1 -p 6390 ping >&2; echo $((($(date +%s%N) - began) / 1000000))`, 200, 1000},
		{"nginx", "delay=50ms", folder + `for d in client_body proxy fastcgi uwsgi scgi; do temp="$temp ${d}_temp_path $PWD/$d;"; done
			echo "daemon off; pid $PWD/pid; error_log stderr; events {}
				http { access_log off; $temp server { listen [::1]:8090; location / { return 200 hello; } } }" >conf
			nginx -c "$PWD/conf" >&2 & until curl -s "http://[::1]:8090" >&2; do sleep 0.1; done
			curl -s -o body -w '%{time_total}' "http://[::1]:8090" | awk '{ print $1 * 1000 }'`, 200, 1000},
		{"ping", "delay=50ms", `ping -c 3 ::1 | sed -n 's|.* = \([0-9.]*\)/.*|\1|p'`, 100, 500},
		// The headers are 3.5% of a packet.
		{"iperf3", "rate=20mbit", folder + `iperf3 -s -1 -p 5290 >&2 &
			until iperf3 -c 127.0.0.1 -p 5290 -t 4 -J >out; grep -q sum_received out; do sleep 0.1; done; sed -n '/"sum_received"/,/}/s/.*"bits_per_second":[^0-9]*\([0-9.]*\).*/\1/p' out | awk '{ print $1 / 1000000 }'`, 10, 20},
	} {
		t.Run(p.needs, func(t *testing.T) {
			t.Parallel()
			for _, program := range []string{p.needs, "curl"} {
				if _, err := exec.LookPath(program); err != nil {
					t.Skip(err)
				}
			}
			users(t, func(t *testing.T, prefix []string) {
				for _, driver := range []string{badnet.TUN, badnet.Netem} {
					got, err := 0.0, error(nil)
					for try := 0; try < 3 && (try == 0 || err == nil && (got < p.least || got > p.most)); try++ {
						got, err = figureOf(command(t, prefix, "network", "run", "--driver="+driver, p.profile, "--", "sh", "-c", p.script))
					}
					if exit := new(exec.ExitError); errors.As(err, &exit) && exit.ExitCode() == exitNoNetwork && driver == badnet.Netem {
						t.Logf("%s", exit.Stderr) // this kernel has no netem
						continue
					}
					if err != nil || got < p.least || got > p.most {
						t.Errorf("%s: %g, not %g to %g; %v: %s", driver, got, p.least, p.most, err, exitText(err))
					}
				}
			})
		})
	}
}

// figureOf returns what a command prints.
func figureOf(cmd *exec.Cmd) (float64, error) {
	out, err := cmd.Output()
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
}

// exitText is what a command wrote on its stderr.
func exitText(err error) string {
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return string(exit.Stderr)
	}
	return ""
}
