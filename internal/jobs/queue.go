package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// The bounds of a queue.
const (
	MaxQueued  = 20_000          // jobs that have not ended
	maxPayload = 4 << 10         // bytes of a query
	MaxAge     = time.Hour       // of a job, and of the state of a job that has ended
	maxStates  = 100_000         // the states that are kept
	maxBytes   = 256 << 20       // of the states
	MaxTries   = 3               // how often a job is begun
	lease      = 8 * time.Second // how long a claim holds that is not renewed
	renewal    = lease / 4
	minRoom    = 16 << 20 // bytes that the disk has left for a job to be taken: the ends of those before need room too
	looks      = time.Second / 4
)

// The subjects: a lab's name and a number follow.
const (
	queueSubject = "gotimeout.queue."
	stateSubject = "gotimeout.state."
)

// The errors of a queue.
var (
	ErrFull    = errors.New("the queue is full")
	ErrUnknown = errors.New("there is no such job")
	ErrDisk    = errors.New("the queue can't write to its disk")
)

// State is what happens to a job.
type State string

// The states.
const (
	Queued  State = "queued"
	Running State = "running"
	Done    State = "done"
	GaveUp  State = "gave_up" // begun MaxTries times, and no worker has lived to its end
)

// Job is a job as far as the queue knows it.
type Job struct {
	ID     string          `json:"id"`
	State  State           `json:"state"`
	Query  string          `json:"query"`
	Tries  int             `json:"tries"` // how often it was begun
	Worker string          `json:"worker,omitempty"`
	Queued time.Time       `json:"queued"`
	Result json.RawMessage `json:"result"` // of the worker; null until the end
}

func (j Job) ended() bool { return j.State == Done || j.State == GaveUp }

// Settings are the settings of a queue.
type Settings struct {
	URL  string // of a NATS cluster, several with commas; "" is a server in this process
	Dir  string // has the files of the server in this process, and keeps its jobs from one Open to the next
	Dial func(network, addr string) (net.Conn, error)
	Log  *slog.Logger
}

// Queue is an open queue.
type Queue struct {
	worker string // the name of this process's worker
	alone  bool   // nobody else uses the queue, so a claim of another worker is that of a dead one
	dir    string // of the server in this process
	log    *slog.Logger

	life context.Context // done when the queue has failed or is closed; its cause is why
	die  context.CancelCauseFunc

	js     jetstream.JetStream
	states jetstream.Stream
	queue  jetstream.Stream
	closes []func()
}

// Open opens the queue, and makes its streams where they are missing.
func Open(ctx context.Context, s Settings) (q *Queue, err error) {
	host, _ := os.Hostname()
	q = &Queue{worker: host + "-" + nuid.Next(), alone: s.URL == "", dir: s.Dir, log: s.Log}
	q.life, q.die = context.WithCancelCause(context.Background())
	defer func() {
		if err != nil {
			q.Close()
			q = nil
		}
	}()
	options := []nats.Option{nats.Name("gotimeout"), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(s.URL != "")}
	url := s.URL
	var embedded *server.Server
	if q.alone {
		if embedded, err = q.embed(); err != nil {
			return q, err
		}
		options = append(options, nats.InProcessServer(embedded))
	} else if s.Dial != nil {
		options = append(options, nats.SetCustomDialer(dialer(s.Dial)), nats.IgnoreDiscoveredServers())
	}
	conn, err := nats.Connect(url, options...)
	if err != nil {
		return q, fmt.Errorf("the queue can't be reached: %w", err)
	}
	q.atClose(func() { closeConn(conn) })
	if q.js, err = jetstream.New(conn); err != nil {
		return q, err
	}
	if q.alone {
		// A server that is shut down while it makes a stream leaves goroutines of the stream's files.
		ctx = context.WithoutCancel(ctx)
	}
	if err := q.makeStreams(ctx); err != nil {
		return q, err
	}
	if q.alone {
		var watching sync.WaitGroup
		watching.Go(func() { q.watch(embedded) })
		q.atClose(watching.Wait)
	}
	q.atClose(func() { q.die(errClosed) })
	return q, nil
}

var errClosed = errors.New("the queue is closed")

// watch looks after the server in this process. NATS's file store keeps its first error of a write: the stream
// then takes no message, and answers nobody, also when the disk has room again. Only a server that opens the
// files anew does, so the queue has failed.
func (q *Queue) watch(s *server.Server) {
	tick := time.NewTicker(looks)
	defer tick.Stop()
	for {
		select {
		case <-q.life.Done():
			return
		case <-tick.C:
		}
		if health := s.Healthz(nil); health.Error != "" {
			q.log.Error("the queue has failed", "error", health.Error)
			q.die(ErrDisk)
		}
	}
}

// Failed returns a channel that is closed when the queue has failed: nothing is stored any more. Its jobs are
// there when it is closed and opened again.
func (q *Queue) Failed() <-chan struct{} { return q.life.Done() }

// Ready returns why no job can be stored now, nil if one can. The error of a full or failed disk is ErrDisk.
func (q *Queue) Ready() error {
	switch {
	case q.life.Err() != nil:
		return context.Cause(q.life)
	case q.alone:
		return hasRoom(q.dir)
	case !q.js.Conn().IsConnected():
		return errors.New("no server of the queue can be reached")
	}
	return nil
}

// hasRoom returns an error if the disk of a directory is full, or nearly so.
func hasRoom(dir string) error {
	if left, err := bytesLeft(dir); err != nil {
		return fmt.Errorf("%w: %w", ErrDisk, err)
	} else if left < minRoom {
		return fmt.Errorf("%w: less than %d MiB are left", ErrDisk, minRoom>>20)
	}
	return nil
}

// dialer dials for a connection to NATS.
type dialer func(network, addr string) (net.Conn, error)

func (d dialer) Dial(network, addr string) (net.Conn, error) { return d(network, addr) }

// closeConn closes a connection, and waits until its goroutines have ended.
func closeConn(conn *nats.Conn) {
	if conn.IsClosed() {
		return
	}
	closed := make(chan struct{})
	conn.SetClosedHandler(func(*nats.Conn) { close(closed) })
	conn.Close()
	<-closed
}

// MakeDir makes the directory of a queue. An error says that no queue can ever be opened there.
func MakeDir(dir string) error {
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "writable"), nil, 0o600)
		_ = os.Remove(filepath.Join(dir, "writable"))
	}
	if err != nil {
		return fmt.Errorf("the directory of the queue (--data, GOTIMEOUT_DATA) can't be used: %w; name one that this user may write, or leave it out", err)
	}
	return nil
}

// embed starts a NATS server in this process.
func (q *Queue) embed() (*server.Server, error) {
	if err := MakeDir(q.dir); err != nil {
		return nil, err
	}
	if err := hasRoom(q.dir); err != nil { // a server that has none leaves half a file
		return nil, err
	}
	unlock, err := lock(filepath.Join(q.dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("the directory %s of the queue (--data, GOTIMEOUT_DATA) is used by another lab, or can't be written (%w): give each lab its own", q.dir, err)
	}
	q.atClose(unlock)
	s, err := server.NewServer(&server.Options{
		ServerName: "gotimeout", DontListen: true, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: q.dir, JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: 1 << 30,
	})
	if err != nil {
		return nil, fmt.Errorf("the queue can't be opened: %w", err)
	}
	q.atClose(func() { s.Shutdown(); s.WaitForShutdown() })
	s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		return nil, errors.New("the queue can't be opened: its server is not ready after 30s")
	}
	return s, nil
}

// makeStreams makes the streams, on three servers of a cluster that has as many.
func (q *Queue) makeStreams(ctx context.Context) (err error) {
	q.queue, err = q.stream(ctx, jetstream.StreamConfig{
		Name: "GOTIMEOUT_QUEUE", Subjects: []string{queueSubject + "*.*"}, Retention: jetstream.WorkQueuePolicy,
		MaxMsgs: MaxQueued, Discard: jetstream.DiscardNew, MaxAge: MaxAge, MaxMsgSize: maxPayload,
	})
	if err == nil {
		q.states, err = q.stream(ctx, jetstream.StreamConfig{
			Name: "GOTIMEOUT_STATE", Subjects: []string{stateSubject + "*.*"}, MaxMsgsPerSubject: 1,
			MaxMsgs: maxStates, MaxBytes: maxBytes, MaxAge: MaxAge, AllowDirect: true,
		})
	}
	if err != nil {
		return fmt.Errorf("the streams of the queue can't be made: %w", err)
	}
	return nil
}

// stream makes a stream, or finds it as another lab has made it.
func (q *Queue) stream(ctx context.Context, c jetstream.StreamConfig) (s jetstream.Stream, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if c.Replicas = 3; q.alone {
		c.Replicas = 1
	}
	for {
		s, err = q.findOrMake(ctx, c)
		var answer *jetstream.APIError
		switch {
		case err == nil, q.alone, ctx.Err() != nil:
			return s, err
		case errors.As(err, &answer) && answer.ErrorCode == notClustered:
			c.Replicas = 1
		}
		select {
		case <-ctx.Done():
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// findOrMake finds a stream or makes it. A cluster that has no leader yet doesn't answer, so each attempt
// has a time of its own.
func (q *Queue) findOrMake(ctx context.Context, c jetstream.StreamConfig) (s jetstream.Stream, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if s, err = q.js.Stream(ctx, c.Name); errors.Is(err, jetstream.ErrStreamNotFound) {
		s, err = q.js.CreateStream(ctx, c)
	}
	return s, err
}

// The codes of NATS's errors that have no name in its client.
const (
	notClustered = 10074 // replicas on a single server
	storeFailed  = 10077 // also for a stream that is full
)

// Close closes the queue. The jobs stay, where the files do.
func (q *Queue) Close() {
	for i := len(q.closes) - 1; i >= 0; i-- {
		q.closes[i]()
	}
	q.closes = nil
}

func (q *Queue) atClose(end func()) { q.closes = append(q.closes, end) }

// Put puts a job into the queue. When Put returns nil, the queue has stored the job. The ID is
// a name, a dash and a number. Put returns ErrFull or ErrDisk if the queue can't store it.
func (q *Queue) Put(ctx context.Context, id, query string) error {
	if q.alone {
		if err := q.Ready(); err != nil {
			return err
		}
	}
	_, err := q.store(ctx, queueSubject+tokens(id), []byte(query))
	var answer *jetstream.APIError
	if errors.As(err, &answer) && answer.ErrorCode == storeFailed {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// store returns when a stream has stored a message, or the queue has failed.
func (q *Queue) store(ctx context.Context, subject string, data []byte, options ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(q.life, cancel)()
	ack, err := q.js.Publish(ctx, subject, data, options...)
	if err != nil && q.life.Err() != nil {
		err = context.Cause(q.life)
	}
	return ack, err
}

// tokens returns an ID as the end of a subject, and the other way round.
func tokens(id string) string { return strings.Replace(id, "-", ".", 1) }
func idOf(subject string) string {
	at := strings.LastIndex(subject, ".")
	name := subject[:at]
	return name[strings.LastIndex(name, ".")+1:] + "-" + subject[at+1:]
}

// isID matches an ID of Put. NATS closes the connection that asks for a longer subject than it takes.
var isID = regexp.MustCompile(`^[0-9A-Za-z]{1,64}-[0-9]{1,20}$`)

// Get returns a job. It returns ErrUnknown for a job that never was, or whose end is too old.
func (q *Queue) Get(ctx context.Context, id string) (Job, error) {
	if !isID.MatchString(id) {
		return Job{}, ErrUnknown
	}
	job, _, err := q.state(ctx, id)
	if !errors.Is(err, ErrUnknown) {
		return job, err
	}
	queued, err := q.queue.GetLastMsgForSubject(ctx, queueSubject+tokens(id))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		job, _, err = q.state(ctx, id) // a worker may have ended the job between the two looks
		return job, err
	case err != nil:
		return Job{}, err
	}
	return Job{ID: id, State: Queued, Query: string(queued.Data), Queued: queued.Time.UTC()}, nil
}

// state returns the state of a job, and the sequence by which it may be replaced: 0 with
// ErrUnknown, which is a job that no worker has begun.
func (q *Queue) state(ctx context.Context, id string) (job Job, seq uint64, err error) {
	m, err := q.states.GetLastMsgForSubject(ctx, stateSubject+tokens(id))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return Job{}, 0, ErrUnknown
	case err != nil:
		return Job{}, 0, err
	}
	return job, m.Sequence, json.Unmarshal(m.Data, &job)
}

// replace replaces the state of a job, if it is still that of the sequence. It returns errTaken
// if it is not.
func (q *Queue) replace(ctx context.Context, job Job, seq uint64) (uint64, error) {
	text, err := json.Marshal(job)
	if err != nil {
		return 0, err
	}
	ack, err := q.store(ctx, stateSubject+tokens(job.ID), text, jetstream.WithExpectLastSequencePerSubject(seq))
	var answer *jetstream.APIError
	switch {
	case errors.As(err, &answer) && (answer.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || answer.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant):
		return 0, errTaken
	case err != nil:
		return 0, err
	}
	return ack.Sequence, nil
}

var errTaken = errors.New("another worker has the job")

// Ended calls ended with each job of a lab that has ended or ends, until the returned func is called.
func (q *Queue) Ended(ctx context.Context, lab string, ended func(Job)) (stop func(), err error) {
	consumer, err := q.states.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{stateSubject + lab + ".*"}, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy,
	})
	if err != nil {
		return nil, err
	}
	var calls sync.WaitGroup
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		calls.Add(1)
		defer calls.Done()
		var job Job
		if json.Unmarshal(m.Data(), &job) == nil && job.ended() {
			ended(job)
		}
	})
	if err != nil {
		return nil, err
	}
	return func() { consuming.Stop(); <-consuming.Closed(); calls.Wait() }, nil
}

// Worker returns the name of the worker of this process.
func (q *Queue) Worker() string { return cmp.Or(q.worker, "?") }
