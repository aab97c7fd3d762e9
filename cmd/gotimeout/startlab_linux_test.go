package main

import (
	"runtime"
	"testing"

	"gotimeout/internal/load"
)

// A lab outlives the thread of the goroutine that started it.
func TestStartProcessOutlivesThread(t *testing.T) {
	t.Parallel()
	var url string
	var stop func()
	var err error
	done := make(chan bool)
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends here
		url, stop, err = startFaulty(t.Context())
	}()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	lab, err := load.OpenLab(url, "")
	if err != nil {
		t.Fatal(err)
	}
	defer lab.Close()
	if _, err := lab.Facts(t.Context()); err != nil {
		t.Error(err)
	}
}
