package main

import (
	"cmp"
	"fmt"
	"io"
	"os"

	"gotimeout/internal/results"
)

// keeper keeps the records: in memory for the tables, and in a file.
type keeper struct {
	collector *results.Collector
	writer    *results.Writer
	out, html *lateFile // nil if not asked for
}

// openKeeper opens the files before the first run, so that no run is lost.
func openKeeper(out, html string) (k *keeper, err error) {
	k = &keeper{collector: results.NewCollector(), writer: results.NewWriter(io.Discard)}
	if k.out, err = openLate(out); err != nil {
		return nil, fmt.Errorf("--out: %w", err)
	}
	if k.out != nil {
		k.writer = results.NewWriter(k.out)
	}
	if k.html, err = openLate(html); err != nil {
		return nil, fmt.Errorf("--html: %w", err)
	}
	if k.out != nil && k.html != nil && k.out.is(k.html) {
		return nil, usagef("--out and --html are the same file, %s: give each its own", out)
	}
	return k, nil
}

// lateFile is a file that keeps its old content until the first write, so that a mistake on
// the command line doesn't delete earlier results.
type lateFile struct {
	*os.File
	begun bool
}

// openLate opens a file, or returns nil if the path is "".
func openLate(path string) (*lateFile, error) {
	if path == "" {
		return nil, nil
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666)
	return &lateFile{File: file}, err
}

func (f *lateFile) Write(p []byte) (int, error) {
	if !f.begun {
		f.begun = true
		_ = f.Truncate(0) // fails only for a pipe, which has no old content
	}
	return f.File.Write(p)
}

// is reports whether both are the same regular file.
func (f *lateFile) is(other *lateFile) bool {
	one, err := f.Stat()
	two, err2 := other.Stat()
	return err == nil && err2 == nil && one.Mode().IsRegular() && os.SameFile(one, two)
}

// record keeps a record. It flushes the file with every sample, several times a second, so
// that a kill loses only the records since then.
func (k *keeper) record(record any) error {
	err := cmp.Or(k.collector.Add(record), k.writer.Add(record))
	if _, ok := record.(*results.Sample); ok {
		err = cmp.Or(err, k.writer.Flush())
	}
	return err
}

func (k *keeper) close() error {
	err := k.writer.Flush()
	if k.out != nil {
		err = cmp.Or(err, k.out.Close())
	}
	return err
}

// page writes the page, if --html asked for one.
func (k *keeper) page(write func(io.Writer) error) error {
	if k.html == nil {
		return nil
	}
	return cmp.Or(write(k.html), k.html.Close())
}
