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
	out, html *lateFile // nil where none is asked for
}

// openKeeper opens the files before anything is run, so that no run is in vain.
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

// lateFile is a file that keeps its old content until the first write: a mistake on
// the command line must not cost the results of another day.
type lateFile struct {
	*os.File
	begun bool
}

// openLate opens a file, or returns nil where the path is "".
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
		_ = f.Truncate(0) // a pipe has nothing to lose
	}
	return f.File.Write(p)
}

// is reports whether both are the same regular file.
func (f *lateFile) is(other *lateFile) bool {
	one, err := f.Stat()
	two, err2 := other.Stat()
	return err == nil && err2 == nil && one.Mode().IsRegular() && os.SameFile(one, two)
}

// record keeps a record. With every sample, some times a second, it flushes the
// file: a kill costs no more than that.
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

// page writes the page that was asked for, if one was.
func (k *keeper) page(write func(io.Writer) error) error {
	if k.html == nil {
		return nil
	}
	return cmp.Or(write(k.html), k.html.Close())
}
