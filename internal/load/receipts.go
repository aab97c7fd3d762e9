package load

import (
	"context"
	"time"

	"gotimeout/internal/receipt"
	"gotimeout/internal/results"
)

// receipts records those of the cell's requests, and sees in them when the last of
// the work ended.
func (c *cellRun) receipts(ctx context.Context) error {
	if c.answer.IsZero() {
		return nil
	}
	found, answered, ended := 0, 0.0, 0.0 // by the lab's clock
	err := c.Lab.receiptsAfter(ctx, c.first, func(r *receipt.View) error {
		phase, ours := c.phases[r.ID]
		if !ours {
			c.end.Others++
			return nil
		}
		found++
		of := c.recordOf(r, phase)
		if phase != results.Probe {
			answered = max(answered, of.Started+of.Answered)
			for _, at := range []*float64{&of.Answered, of.Ended, of.BackendEnded} {
				if at != nil {
					ended = max(ended, of.Started+*at)
				}
			}
			if !r.Complete {
				c.end.Open++
			}
		}
		return c.record(of)
	})
	c.end.Missing = len(c.phases) - found
	c.end.Drained = c.end.Answered + ended - answered
	return err
}

func (c *cellRun) recordOf(r *receipt.View, phase string) *results.Receipt {
	delay, _ := time.ParseDuration(r.Delay)
	started, _ := time.Parse(time.RFC3339Nano, r.Started)
	of := &results.Receipt{
		Type: results.TypeReceipt, Cell: c.Cell.Cell, Phase: phase, ID: r.ID, Complete: r.Complete,
		Delay: ms(delay), Started: ms(started.Sub(c.start)),
		Overshoot: r.Overshoot, Ended: r.Ended, Straggle: r.Straggle, BackendEnded: r.BackendEnded, Waste: r.Waste,
		Goroutines: r.Goroutines,
		Dialed:     r.Connections.Dialed, Reused: r.Connections.Reused, Kept: r.Connections.Kept,
		Closed: r.Connections.Closed, RST: r.Connections.RST,
	}
	if r.Status != nil && r.Answered != nil {
		of.Status, of.Answered = string(*r.Status), *r.Answered
	}
	return of
}
