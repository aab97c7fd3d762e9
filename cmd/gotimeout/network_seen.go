package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/drivers"
	"gotimeout/internal/badnet/netlog"
	"gotimeout/internal/report"
)

// seen has the flags of network run that show the packets.
type seen struct {
	Log   string `placeholder:"FILE" predictor:"file" help:"Write what the network does in each 100 ms as JSON lines. It needs the driver tun."`
	Pcap  string `placeholder:"FILE" predictor:"file" help:"Write the packets, before and after the shaper, as pcapng for Wireshark and tcpdump. It needs the driver tun."`
	Meter bool   `help:"Show throughput, queue and drops of each direction while the command runs, in a line of stderr that is written again, if stderr is a terminal. It needs the driver tun."`
}

// needs returns the flag that needs the driver tun, or "".
func (s seen) needs() string {
	switch {
	case s.Log != "":
		return "--log"
	case s.Pcap != "":
		return "--pcap"
	case s.Meter:
		return "--meter"
	}
	return ""
}

// choose returns the driver: tun where it is needed.
func (s seen) choose(driver string) (string, error) {
	flag := s.needs()
	switch {
	case flag == "":
		return driver, nil
	case s.Log == s.Pcap && s.Log != "":
		return "", usagef("--log and --pcap are both %s: give each a file of its own", s.Log)
	case driver != badnet.Auto && driver != badnet.TUN:
		return "", usagef("%s needs the driver tun, whose shaper sees each packet: write --driver=tun, or leave --driver out", flag)
	}
	return badnet.TUN, nil
}

// sight is what shows the packets of one run.
type sight struct {
	watchers badnet.Watchers
	closers  []func() error
}

// open opens the files, so that a wrong one is refused before the command starts.
func (s seen) open(to streams, h netlog.Header, p badnet.Profile) (*sight, error) {
	v := new(sight)
	if s.Log != "" {
		file, err := create("--log", s.Log)
		if err != nil {
			return nil, err
		}
		log, err := netlog.New(file, h, p)
		if err != nil {
			return nil, usagef("--log %s can't be written: %w", s.Log, err)
		}
		v.watchers = append(v.watchers, log)
		v.closers = append(v.closers, func() error { return unfinished("--log", s.Log, errors.Join(log.Close(), file.Close())) })
	}
	if s.Pcap != "" {
		file, err := create("--pcap", s.Pcap)
		if err != nil {
			return v, err
		}
		capture, err := netlog.NewCapture(file)
		if err != nil {
			return v, usagef("--pcap %s can't be written: %w", s.Pcap, err)
		}
		v.watchers = append(v.watchers, capture)
		v.closers = append(v.closers, func() error { return unfinished("--pcap", s.Pcap, errors.Join(capture.Close(), file.Close())) })
	}
	switch {
	case s.Meter && to.terminal():
		meter := newMeter(to.err, to.columns(to.err))
		v.watchers = append(v.watchers, meter)
		v.closers = append(v.closers, meter.Close)
	case s.Meter:
		fmt.Fprintln(to.err, "gotimeout: there is no meter, since stderr is no terminal")
	}
	return v, nil
}

// watch begins to show the packets.
func (v *sight) watch(l *drivers.Loopback) error {
	if len(v.watchers) == 0 {
		return nil
	}
	return l.Watch(v.watchers)
}

// close completes the files.
func (v *sight) close() (err error) {
	for _, end := range v.closers {
		err = errors.Join(err, end())
	}
	v.closers = nil
	return err
}

// create makes a file, or empties it.
func create(flag, path string) (*os.File, error) {
	file, err := os.Create(path)
	if on := new(fs.PathError); errors.As(err, &on) {
		return nil, usagef("%s %s can't be written: %w", flag, path, on.Err)
	}
	return file, err
}

// unfinished says of a failed write which file is not complete.
func unfinished(flag, path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s is not complete: %w", flag, path, err)
}

// logHeader is the first line of a log.
func (c *networkRunCmd) logHeader(p badnet.Profile) netlog.Header {
	return netlog.Header{Profile: p.String(), Driver: badnet.TUN, Seed: c.Seed, Started: time.Now()}
}

type networkGraphCmd struct {
	File string `arg:"" predictor:"file" help:"A file that network run --log wrote, or still writes."`
}

// Help returns the text of the help above the flags. kong calls it.
func (networkGraphCmd) Help() string {
	return `It prints a page of HTML that loads nothing, with a picture for up and one for down:
throughput, queue, the p50 and p99 of the delay, and the drops by cause, over time.

  gotimeout network run --log run.jsonl 3g -- go test ./...
  gotimeout network graph run.jsonl > page.html`
}

// Run draws the log. kong calls it.
func (c *networkGraphCmd) Run(to streams) error {
	file, err := os.Open(c.File)
	if err != nil {
		return usageError{err}
	}
	defer file.Close()
	r, err := netlog.Read(file)
	switch on := new(fs.PathError); {
	case errors.As(err, &on):
		return usageError{err}
	case err != nil:
		return usagef("%s: %w", c.File, err)
	case len(r.Buckets) == 0:
		return usagef("%s: the log has its first line alone, so there is nothing to draw: network run was killed, or has just begun", c.File)
	}
	return report.NetworkHTML(to.out, r)
}
