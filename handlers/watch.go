package handlers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"gotimeout/internal/badnet"
	"gotimeout/internal/badnet/netlog"
	"gotimeout/internal/report"
)

// How long the network is watched.
const (
	watchTime     = 10 * time.Second
	shortestWatch = time.Second
	longestWatch  = time.Minute
)

// watching returns an endpoint that watches the network for the duration for= and shows what it
// does, until the caller leaves or the lab stops.
func (l *Lab) watching(contentType string, show func(ctx context.Context, to *stream, lasts time.Duration)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		lasts, err := watchTimeOf(r.URL.RawQuery)
		if err != nil {
			badParameter(w, r, err)
			return
		}
		switch err := l.state().Unseen(); {
		case errors.Is(err, badnet.ErrNone):
			refuse(w, r, http.StatusConflict, "no_network", err.Error())
			return
		case err != nil:
			refuse(w, r, http.StatusConflict, "not_watchable", err.Error())
			return
		}
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		to := newStream(w, contentType)
		if r.Method == http.MethodHead {
			return
		}
		ctx, cancel := l.streaming(r.Context())
		defer cancel()
		show(ctx, to, lasts)
	}
}

func watchTimeOf(raw string) (time.Duration, error) {
	q, err := query(raw, "for")
	if err != nil {
		return 0, err
	}
	lasts, err := readDuration(q, "for", watchTime, longestWatch)
	if err == nil && lasts < shortestWatch {
		err = fmt.Errorf("for=%.40s is too short: use %s to %s", q["for"], shortestWatch, longestWatch)
	}
	return lasts, err
}

// networkLog sends the log of the network while it is written.
func (l *Lab) networkLog(ctx context.Context, to *stream, lasts time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	_ = l.Network.Record(ctx, to) // fails only when the caller has left
}

// networkGraph sends the page of that log: its beginning at once, and the pictures at the end.
func (l *Lab) networkGraph(ctx context.Context, to *stream, lasts time.Duration) {
	if report.NetworkBegin(to, l.state().Together().Profile, lasts) != nil {
		return // the caller has left
	}
	ctx, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	var lines bytes.Buffer
	err := l.Network.Record(ctx, &lines)
	var log *netlog.Recorded
	if err == nil {
		log, err = netlog.Read(&lines)
	}
	if err != nil {
		l.Log.Error("network", "error", err)
		return
	}
	_ = report.NetworkEnd(to, log) // fails only when the caller has left
}
