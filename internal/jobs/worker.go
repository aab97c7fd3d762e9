package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Do makes a job. It returns nil when the job was not made to its end, because ctx is done: the
// job then goes back into the queue.
type Do func(ctx context.Context, job Job) json.RawMessage

// Work makes jobs until ctx is done, at most so many at once. It returns when the last has ended.
func (q *Queue) Work(ctx context.Context, atOnce int, do Do) error {
	const name = "workers"
	making := ctx
	if q.alone {
		making = context.WithoutCancel(ctx) // as in Open
		// Who had taken a job is dead. Without the consumer the jobs are free at once.
		_ = q.queue.DeleteConsumer(making, name) // fails where there is none
	}
	consumer, err := q.queue.CreateOrUpdateConsumer(making, jetstream.ConsumerConfig{
		Durable: name, AckPolicy: jetstream.AckExplicitPolicy, AckWait: lease, MaxDeliver: -1, MaxAckPending: -1,
	})
	if err != nil {
		return err
	}
	var jobs sync.WaitGroup
	defer jobs.Wait()
	slots := make(chan struct{}, atOnce)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		m := q.next(ctx, consumer)
		if m == nil {
			return nil
		}
		jobs.Go(func() {
			defer func() { <-slots }()
			q.make(ctx, m, do)
		})
	}
}

// next waits for a message. It returns nil when ctx is done.
func (q *Queue) next(ctx context.Context, consumer jetstream.Consumer) jetstream.Msg {
	for ctx.Err() == nil {
		within, cancel := context.WithTimeout(ctx, 20*time.Second)
		m, err := consumer.Next(jetstream.FetchContext(within))
		cancel()
		if err == nil {
			return m
		}
		if within.Err() == nil { // the cluster is choosing a leader, or can't be reached
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	}
	return nil
}

// make claims a job, makes it, and writes its end.
func (q *Queue) make(ctx context.Context, m jetstream.Msg, do Do) {
	job, seq, held, err := q.claim(ctx, m)
	if err != nil || job.ended() {
		q.settle(m, err)
		return
	}
	holds := &claim{queue: q, m: m, job: job, seq: seq}
	within, stop := holds.keep(ctx, held)
	result := do(within, job)
	lost := within.Err() != nil && ctx.Err() == nil
	stop()
	switch {
	case lost:
		q.log.Warn("a job was given up, because its claim could not be renewed", "job", job.ID)
		err = errTaken
	case result == nil:
		job.State, job.Tries = Queued, job.Tries-1
		err = q.end(job, holds.seq)
		if err == nil {
			err = errTaken // for the message: another worker takes it
		}
	default:
		job.State, job.Result = Done, result
		err = q.end(job, holds.seq)
	}
	q.settle(m, err)
}

// settle takes the message of a job that has ended off the queue. After an error the queue gives the
// message to a worker again.
func (q *Queue) settle(m jetstream.Msg, err error) {
	if err == nil {
		_ = m.Ack() // a lost ack brings the job again, and its state says that it has ended
	} else {
		_ = m.NakWithDelay(time.Second / 4)
	}
}

// claim begins a job, or finds its end. The claim holds from the time held.
func (q *Queue) claim(ctx context.Context, m jetstream.Msg) (job Job, seq uint64, held time.Time, err error) {
	about, err := m.Metadata()
	if err != nil {
		return job, 0, held, err
	}
	fresh := Job{ID: idOf(m.Subject()), Query: string(m.Data()), Queued: about.Timestamp.UTC()}
	job = fresh
	if about.NumDelivered > 1 {
		job, seq, err = q.state(ctx, fresh.ID)
		switch {
		case errors.Is(err, ErrUnknown):
			job = fresh
		case err != nil:
			return job, 0, held, err
		case job.ended():
			return job, seq, held, nil
		case job.State == Running && (!q.alone || job.Worker == q.worker): // the claim of a worker that may live
			if err := q.await(ctx, m, job, seq); err != nil {
				return job, 0, held, err
			}
		}
	}
	job.State, job.Worker, job.Tries = Running, q.worker, job.Tries+1
	if job.Tries > MaxTries {
		job.State, job.Tries = GaveUp, MaxTries
	}
	held = time.Now() // before the claim is written: nobody counts from an earlier time
	seq, err = q.replace(ctx, job, seq)
	return job, seq, held, err
}

// await waits as long as a claim holds that is not renewed. It returns errTaken if the claim was
// renewed. It compares no clocks: it waits the whole lease itself.
func (q *Queue) await(ctx context.Context, m jetstream.Msg, job Job, seq uint64) error {
	tick := time.NewTicker(renewal)
	defer tick.Stop()
	for begun := time.Now(); time.Since(begun) < lease; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		_ = m.InProgress() // a lost one brings the job to another worker, which waits too
		_, now, err := q.state(ctx, job.ID)
		if err != nil {
			return err
		}
		if now != seq {
			return errTaken
		}
	}
	return nil
}

// claim is what a worker holds while it makes a job.
type claim struct {
	queue *Queue
	m     jetstream.Msg
	job   Job
	seq   uint64
}

// keep renews the claim until stop is called. The context that it returns is done when the claim
// was not renewed for so long that it may not hold any more.
func (c *claim) keep(ctx context.Context, held time.Time) (within context.Context, stop func()) {
	within, cancel := context.WithCancel(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() {
		tick := time.NewTicker(renewal)
		defer tick.Stop()
		for {
			select {
			case <-within.Done():
				return
			case <-tick.C:
			}
			now := time.Now() // before the renewal: the lease begins at the earliest then
			if err := c.renew(held.Add(lease - renewal)); err == nil {
				held = now
			} else if errors.Is(err, errTaken) || time.Since(held) > lease-renewal {
				cancel()
			}
		}
	})
	return within, func() { cancel(); renewing.Wait() }
}

// renew is not interrupted by the end of the job, which needs the sequence.
func (c *claim) renew(until time.Time) error {
	ctx, cancel := context.WithDeadline(context.Background(), until)
	defer cancel()
	_ = c.m.InProgress()
	seq, err := c.queue.replace(ctx, c.job, c.seq)
	if err == nil {
		c.seq = seq
	}
	return err
}

// end writes the last state of a claim. The write has a time of its own, because the worker may be stopping.
func (q *Queue) end(job Job, seq uint64) error {
	for end := time.Now().Add(lease - renewal); ; {
		ctx, cancel := context.WithDeadline(context.Background(), end)
		_, err := q.replace(ctx, job, seq)
		cancel()
		if err == nil || errors.Is(err, errTaken) || errors.Is(err, nats.ErrConnectionClosed) || q.life.Err() != nil || time.Now().After(end) {
			return err
		}
		q.log.Warn("the end of a job could not be written yet", "job", job.ID, "error", err)
		<-time.After(200 * time.Millisecond)
	}
}
