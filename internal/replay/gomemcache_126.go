package replay

import (
	"context"
	"fmt"
	"time"
)

func memcacheContext() Experiment {
	return Experiment{
		ID: "gomemcache-126", Title: "a Get takes no context, and its own timeout of 0.5 s bounds it",
		Issues:   []string{"https://github.com/bradfitz/gomemcache/pull/126"},
		Reported: "No method takes a context: a caller's deadline cannot reach the client. What bounds a Get is Client.Timeout, 500 ms unless it is set.",
		Does:     "A caller with a deadline of 0.1 s gets a key that takes 3 s.",
		Remedy:   "Set Client.Timeout to what is left until the deadline, on a client of its own.",
		run:      replayMemcacheContext,
	}
}

func replayMemcacheContext(ctx context.Context, remedy bool) (o Outcome, err error) {
	client, err := startCache()
	if err != nil {
		return o, err
	}
	took, err := quickest(func() error {
		ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		if deadline, _ := ctx.Deadline(); remedy {
			client.Timeout = time.Until(deadline)
		}
		_, err := client.Get("delay/3s")
		return err
	})
	return Outcome{
		Saw:        fmt.Sprintf("Get returned after %s: %v.", sec(took), withoutAddresses(err)),
		Reproduced: took > 400*time.Millisecond,
	}, nil
}
