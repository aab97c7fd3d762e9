package main

import (
	"context"
	"log/slog"
	"time"

	"gotimeout/internal/lab"
)

// queueFlags are the settings of a lab's queue.
type queueFlags struct {
	NATSURL string `name:"nats-url" env:"NATS_URL" secret:"url" placeholder:"URL" help:"The NATS cluster, with JetStream, of the queue of offload, in the place of a NATS server in this process: nats://host:4222, several with commas."`
}

// read checks the settings.
func (f queueFlags) read() error {
	if f.NATSURL == "" {
		return nil
	}
	if err := lab.ReadNATSURL(f.NATSURL); err != nil {
		return usagef("--nats-url (NATS_URL) %w", err)
	}
	return nil
}

type workerCmd struct {
	envFlags
	queueFlags
	labFlags

	MaxDelay   time.Duration `default:"10s" help:"The longest delay of a job; give each lab and worker the same."`
	MaxTimeout time.Duration `default:"30s" help:"The longest timeout of a job."`
	LogFormat  string        `env:"GOTIMEOUT_LOG_FORMAT" default:"text" enum:"text,json" help:"The format of the log, text or json, a line an event."`
}

// Help returns the text of the help above the flags. kong calls it.
func (workerCmd) Help() string {
	return `A worker takes jobs from the queue of --nats-url and makes them, with the same
backends as serve: its own stand-ins, or real servers by their flags. A lab makes jobs
too. A job whose worker dies is made again by another.

The exit status is 0 after Ctrl-C or SIGTERM, when the jobs in hand are back in the
queue, and 2 for a bad value.`
}

// Run works until ctx is done. kong calls it.
func (w *workerCmd) Run(ctx context.Context, getenv environment, to streams) error {
	if w.NATSURL == "" {
		return usagef("worker needs the queue that it works for: name its NATS cluster by --nats-url (NATS_URL)")
	}
	if err := w.read(); err != nil {
		return err
	}
	settings := lab.Settings{
		NATSURL: w.NATSURL, OwnName: w.Name,
		MaxDelay: w.MaxDelay, MaxTimeout: w.MaxTimeout, MaxInFlight: 2048, MaxAbandoned: 8192, Receipts: 10_000,
	}
	if err := checkLongest(&settings); err != nil {
		return err
	}
	log := slog.New((&serveCmd{LogFormat: w.LogFormat}).logHandler(to.err))
	for _, op := range w.Ops {
		op := op.(lab.Op)
		notes, err := op.Read(getenv)
		if err != nil {
			return usageError{err}
		}
		for _, note := range notes {
			log.Info(note)
		}
		settings.Ops = append(settings.Ops, op)
	}
	if err := settings.Check(false); err != nil {
		return usageError{err}
	}
	l, err := lab.Open(ctx, settings, log)
	if err != nil {
		return err
	}
	defer l.Close()
	<-ctx.Done()
	log.Info("stopping: the jobs in hand go back into the queue")
	return nil
}
