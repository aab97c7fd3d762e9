//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// built is the directory of what scripts/bench builds.
type built string

func (b built) path(name string) string { return filepath.Join(string(b), name) }

// benchmark runs a benchmark of a test binary, and returns its figures by unit.
func (b built) benchmark(ctx context.Context, binary, name, times string, args ...string) (map[string]float64, error) {
	args = append([]string{"-test.run=^$", "-test.bench=^" + name + "$", "-test.benchtime=" + times}, args...)
	out, err := exec.CommandContext(ctx, b.path(binary), args...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", name, err, out)
	}
	figures := map[string]float64{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], name) {
			continue
		}
		for i := 2; i+1 < len(fields); i += 2 {
			if figures[fields[i+1]], err = strconv.ParseFloat(fields[i], 64); err != nil {
				return nil, fmt.Errorf("%s printed %q", name, lines.Text())
			}
		}
	}
	if len(figures) == 0 {
		return nil, fmt.Errorf("%s printed no figures: %s", name, out)
	}
	return figures, nil
}
