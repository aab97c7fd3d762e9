package sockets

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Count returns the counters.
func Count() (c Counters, err error) {
	of := map[string]map[string]uint64{}
	for _, file := range []string{"/proc/net/snmp", "/proc/net/netstat"} {
		text, err := os.ReadFile(file)
		if err != nil {
			return c, fmt.Errorf("the kernel's counters: %w", err)
		}
		read(string(text), of)
	}
	tcp, ext := of["Tcp"], of["TcpExt"]
	return Counters{
		Opened: tcp["ActiveOpens"], Accepted: tcp["PassiveOpens"],
		Resets: tcp["OutRsts"], ResetsSeen: tcp["EstabResets"],
		AbortOnData: ext["TCPAbortOnData"], AbortOnClose: ext["TCPAbortOnClose"],
		TimeWaits: ext["TW"], TimeWaitReuse: ext["TWRecycled"],
	}, nil
}

// read reads pairs of lines, of names and of values.
func read(text string, of map[string]map[string]uint64) {
	lines := strings.Split(text, "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		names, values := strings.Fields(lines[i]), strings.Fields(lines[i+1])
		if len(names) == 0 || len(names) != len(values) || names[0] != values[0] {
			continue
		}
		group := map[string]uint64{}
		for k := 1; k < len(names); k++ {
			if v, err := strconv.ParseUint(values[k], 10, 64); err == nil {
				group[names[k]] = v
			}
		}
		of[strings.TrimSuffix(names[0], ":")] = group
	}
}
