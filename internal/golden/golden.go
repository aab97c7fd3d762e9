// Package golden compares the output of tests with files in testdata, and reads recorded
// files. Only tests import it. A test binary that imports it has the flag -update, which writes the files.
package golden

import (
	"bytes"
	"compress/gzip"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// Update is the flag -update.
var Update = flag.Bool("update", false, "write the golden files")

// Unzipped returns the text of a gzipped file.
func Unzipped(t *testing.T, path string) io.Reader {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var text bytes.Buffer
	zipped, err := gzip.NewReader(file)
	if err == nil {
		_, err = io.Copy(&text, zipped)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &text
}

// Check compares got with a file in testdata, or writes it under -update.
func Check[T string | []byte](t *testing.T, name string, got T) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *Update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs (go test -update writes it):\n%s", path, got)
	}
}
