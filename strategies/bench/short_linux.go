package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	shortTime  = 4 * time.Second // of each load
	shortSoak  = 10 * time.Second
	shortLimit = 5 * time.Minute // then labs that hang are killed
	shortGrown = 50              // goroutines or descriptors more than before a load are a leak: each load has hundreds of runs
)

// short makes the loads of flood, faults and soak for a few seconds, with stand-ins alone, and returns an error where one of
// them loses what no load may lose, however slow the machine is. It has no bars for times and memory.
func short(ctx context.Context, b built) error {
	fmt.Printf("Loads of %s, the last of %s. Within %s after each, all its requests have an outcome, all its answers a receipt, all its runs have ended, and goroutines and descriptors are at most %d more than before:\n\n",
		shortTime, shortSoak, patient, shortGrown)
	ctx, cancel := context.WithTimeout(ctx, shortLimit)
	defer cancel()
	http.DefaultClient.Timeout = patient // a lab may have stopped to answer
	header("the load", "requests", "completed", "timed out", "failed", "refused", "closed", "no outcome", "without receipt", "not ended", "goroutines before, after", "descriptors before, after", "")
	var lost []string
	for _, l := range shortLoads() {
		switch held, err := l.print(ctx, b); {
		case errors.Is(err, errNoDisk), errors.Is(err, errNoNetwork):
			fmt.Printf("| %s | skipped: %s |\n", l.name, err)
		case err != nil:
			return fmt.Errorf("%s: %w", l.name, err)
		case !held:
			lost = append(lost, l.name)
		}
	}
	if len(lost) > 0 {
		return fmt.Errorf("lost, or left behind: see the rows of %s", strings.Join(lost, ", "))
	}
	return nil
}

// shortLoad is a load of a lab, and the fault that happens meanwhile.
type shortLoad struct {
	fault
	long  time.Duration
	start func(ctx context.Context, b built) (at *scenery, rate int, err error)
}

func shortLoads() (all []shortLoad) {
	for _, f := range floodedLabs {
		all = append(all, shortLoad{fault{name: "a flood: " + f.bound}, shortTime, func(ctx context.Context, b built) (*scenery, int, error) {
			f.args = append(f.args, "--receipts=100000")
			s, err := f.start(ctx, b)
			if err != nil {
				return nil, 0, err
			}
			at := &scenery{lab: s, disk: func() {}}
			capacity, url, err := f.load(s)
			at.urls = []string{url}
			return at, int(floodTimes * capacity), err
		}})
	}
	for _, f := range faultsOfLab() {
		if f.real != "" || f.name == "none" {
			continue
		}
		all = append(all, shortLoad{f, shortTime, func(ctx context.Context, b built) (*scenery, int, error) {
			at, err := b.scenery(ctx, f, nil)
			return at, faultRate, err
		}})
	}
	return append(all, shortLoad{fault{name: "a soak"}, shortSoak, func(ctx context.Context, b built) (*scenery, int, error) {
		s, err := startServer(ctx, b.path("gotimeout"), "serve", "--addr=127.0.0.1:0", "--log-slow=0", "--receipts=100000")
		if err != nil {
			return nil, 0, err
		}
		at := &scenery{lab: s, disk: func() {}}
		lab, err := described(s.url)
		at.urls = soakURLs(s.url, lab.Strategies)
		return at, soakRate, err
	}})
}

// print prints the row of the load, and reports whether the lab held it.
func (l shortLoad) print(ctx context.Context, b built) (held bool, err error) {
	at, rate, err := l.start(ctx, b)
	if at == nil {
		return false, err
	}
	if err == nil {
		held, err = l.loaded(ctx, at, rate)
	}
	return held, errors.Join(err, at.end())
}

// loaded makes the load, and looks until all is as it was before.
func (l shortLoad) loaded(ctx context.Context, at *scenery, rate int) (held bool, err error) {
	before, err := at.remains(new(outcomes))
	if err != nil {
		return false, err
	}
	loading, cancel := context.WithTimeout(ctx, l.long)
	defer cancel()
	var o *outcomes
	var beside sync.WaitGroup
	beside.Go(func() { o = steady(loading, []*http.Client{clientAt(nil)}, rate, at.urls...) })
	wait(loading, l.long/4)
	if l.begin != nil {
		err = l.begin(ctx, at)
	}
	wait(loading, l.long/4)
	if l.end != nil && err == nil {
		err = l.end(ctx, at)
	}
	if err != nil {
		cancel()
	}
	beside.Wait()
	if err != nil {
		return false, err
	}
	after := before // of a lab that has ended nothing remains
	if !l.ends {
		for end := time.Now().Add(patient); ; wait(ctx, 250*time.Millisecond) {
			after, err = at.remains(o)
			if err == nil && clean(before, after) || time.Now().After(end) {
				break
			}
		}
		if err != nil {
			return false, err
		}
	}
	held = o.of(none) == 0 && clean(before, after) && o.of(http.StatusOK, http.StatusGatewayTimeout) > 0
	row(l.name, fmt.Sprint(len(o.all)), fmt.Sprint(o.of(http.StatusOK, http.StatusAccepted)), fmt.Sprint(o.of(http.StatusGatewayTimeout)), fmt.Sprint(o.of(http.StatusBadGateway)), fmt.Sprint(o.of(http.StatusServiceUnavailable)), fmt.Sprint(o.of(closed)),
		fmt.Sprint(o.of(none)), fmt.Sprint(after.missing), fmt.Sprint(after.left), fmt.Sprintf("%.0f, %.0f", before.goroutines, after.goroutines), fmt.Sprintf("%.0f, %.0f", before.descriptors, after.descriptors), verdict(held))
	return held, nil
}

// remains is what a load leaves.
type remains struct {
	missing, left           int // answers without receipt, and runs that have not ended
	goroutines, descriptors float64
}

func (s *scenery) remains(o *outcomes) (r remains, err error) {
	if r.missing, r.left, err = s.unrecorded(o); err != nil {
		return r, err
	}
	if r.goroutines, err = metric(s.lab.url, "go_goroutines"); err != nil {
		return r, err
	}
	r.descriptors, err = metric(s.lab.url, "process_open_fds")
	return r, err
}

// clean reports whether no more remains than before.
func clean(before, after remains) bool {
	return after.missing == 0 && after.left == 0 && max(after.goroutines-before.goroutines, after.descriptors-before.descriptors) <= shortGrown
}
