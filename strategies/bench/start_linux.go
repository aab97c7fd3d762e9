package main

import (
	"cmp"
	"context"
	"debug/buildinfo"
	"debug/elf"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

const labStarts, pageLoads = 15, 5

// start prints how long the lab takes to start, its memory when idle, how long its page takes
// in a browser, and the size of each dependency in the program.
func start(ctx context.Context, b built) error {
	var took, resident []float64
	for range labStarts {
		ms, mb, err := startOnce(ctx, b.path("gotimeout.stripped"))
		if err != nil {
			return err
		}
		took, resident = append(took, ms), append(resident, mb)
	}
	fmt.Printf("`gotimeout serve`, medians of %d starts with their 95%% interval:\n\n", labStarts)
	header("", "measured", "bar", "")
	until, holds := estimateOf(took), estimateOf(resident)
	row("from the start until it serves", until.text("%.0f ms"), "≤ 60 ms", until.atMost(60).String())
	row("resident memory, idle, 1 s after", holds.text("%.0f MB"), "≤ 40 MB", holds.atMost(40).String())
	fmt.Println()
	if err := b.page(ctx); err != nil {
		return err
	}
	return b.weights()
}

// page prints how long a browser takes for the page, beside a text of as many bytes.
func (b built) page(ctx context.Context) error {
	figures, err := b.benchmark(ctx, "gotimeout.test", "BenchmarkPage", fmt.Sprint(pageLoads, "x"), fmt.Sprint("-test.count=", labStarts))
	if err != nil {
		return err
	}
	fmt.Printf("The page in Chromium over loopback, in turns with a text: medians of %d browsers, each with the mean of %d loads after a first one, with their 95%% interval:\n\n", labStarts, pageLoads)
	complete := estimateOf(figures["complete-ms"])
	of := func(unit string) string { return estimateOf(figures[unit]).text("%.0f ms") }
	header("from the start of the navigation", "the page", "bar", "", "a text of as many bytes")
	row("until it is complete (the end of its load event)", of("complete-ms"), "≤ 100 ms", complete.atMost(100).String(), of("text-complete-ms"))
	row("until the first lane of the race, or the text, is on the screen", of("drawn-ms"), "", "", of("text-drawn-ms"))
	fmt.Println()
	return nil
}

// startOnce starts a lab, and returns the milliseconds until the lab serves, and its
// memory in megabytes a second later.
func startOnce(ctx context.Context, path string) (ms, mb float64, err error) {
	began := time.Now()
	s, err := startServer(ctx, path, "serve", "--addr=127.0.0.1:0")
	if err != nil {
		return 0, 0, err
	}
	defer s.stop()
	ms = float64(time.Since(began).Microseconds()) / 1000
	time.Sleep(time.Second)
	mb, err = s.megabytes("VmRSS")
	return ms, mb, err
}

const lightest = 150_000 // bytes; all smaller modules share one row

// weights prints the bytes of each module in the program: its code, its constants and its
// variables that are not zero. The tables of the linker are about as large as all code, and
// belong to no module.
func (b built) weights() error {
	program, err := elf.Open(b.path("gotimeout"))
	if err != nil {
		return err
	}
	defer program.Close()
	about, err := buildinfo.ReadFile(b.path("gotimeout"))
	if err != nil {
		return err
	}
	modules := []string{about.Main.Path}
	for _, m := range about.Deps {
		modules = append(modules, m.Path)
	}
	symbols, err := program.Symbols()
	if err != nil {
		return err
	}
	stripped, err := os.Stat(b.path("gotimeout.stripped"))
	if err != nil {
		return err
	}
	const rest, light = "the standard library, the program's own main package and the linker's tables", "the modules below 0.15 MB, together"
	bytesOf := map[string]uint64{rest: uint64(stripped.Size())}
	for _, s := range symbols {
		of := moduleOf(s.Name, modules)
		if of == "" || int(s.Section) >= len(program.Sections) || program.Sections[s.Section].Type == elf.SHT_NOBITS {
			continue
		}
		bytesOf[of] += s.Size
		bytesOf[rest] -= s.Size
	}
	for name, n := range bytesOf {
		if n < lightest {
			delete(bytesOf, name)
			bytesOf[light] += n
		}
	}
	fmt.Printf("The program has %.1f MB as the Dockerfile builds it (`CGO_ENABLED=0 go build -trimpath -ldflags '-s -w'`). What each module is of that, by the sizes of its symbols:\n\n", float64(stripped.Size())/1e6)
	header("module", "MB")
	heaviest := slices.SortedFunc(maps.Keys(bytesOf), func(x, y string) int { return cmp.Or(cmp.Compare(bytesOf[y], bytesOf[x]), cmp.Compare(x, y)) })
	for _, name := range heaviest {
		row(name, fmt.Sprintf("%.2f", float64(bytesOf[name])/1e6))
	}
	return nil
}

// aboutType is before the name of a type in the symbols that the linker makes of it.
var aboutType = strings.NewReplacer("type:.eq.", "", "type:.hash.", "", "type:", "", "go:itab.", "", "%2e", ".")

// moduleOf returns the module of a symbol, "" for the standard library and the linker's.
func moduleOf(symbol string, modules []string) (longest string) {
	symbol = strings.TrimLeft(aboutType.Replace(symbol), "*[]")
	for _, m := range modules {
		if len(m) > len(longest) && (strings.HasPrefix(symbol, m+".") || strings.HasPrefix(symbol, m+"/")) {
			longest = m
		}
	}
	return longest
}
