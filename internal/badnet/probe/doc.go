// Package probe measures a network: an Echo answers probes, Send sends them and
// returns their round trips, and Calibrate holds the round trips against what a
// profile asks for.
//
// It refuses to take a guess for a figure: what did not come back is nil.
package probe
