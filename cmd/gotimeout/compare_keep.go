package main

import (
	"cmp"
	"fmt"
	"io"
	"os"

	"gotimeout/internal/compare/results"
)

// keeper keeps the records: in memory for the tables, and in a file.
type keeper struct {
	collector *results.Collector
	file      *os.File // nil where none is asked for
	writer    *results.Writer
	html      *os.File // nil where none is asked for
}

// openKeeper opens the files now, before anything is run in vain.
func openKeeper(out, html string) (k *keeper, err error) {
	k = &keeper{collector: results.NewCollector(), writer: results.NewWriter(io.Discard)}
	if out != "" {
		if k.file, err = os.Create(out); err != nil {
			return nil, fmt.Errorf("--out: %w", err)
		}
		k.writer = results.NewWriter(k.file)
	}
	if html != "" {
		if k.html, err = os.Create(html); err != nil {
			return nil, fmt.Errorf("--html: %w", err)
		}
	}
	return k, nil
}

// record writes out what there is with every sample, some times a second: a kill
// costs no more.
func (k *keeper) record(record any) error {
	err := cmp.Or(k.collector.Add(record), k.writer.Add(record))
	if _, ok := record.(*results.Sample); ok {
		err = cmp.Or(err, k.writer.Flush())
	}
	return err
}

func (k *keeper) close() error {
	err := k.writer.Flush()
	if k.file != nil {
		err = cmp.Or(err, k.file.Close())
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
