// Package probe measures a network: an Echo answers probes, Send sends probes and
// returns their round trips, and Calibrate compares the round trips with a profile.
//
// It makes no figure of probes that did not come back: the figure is nil then.
package probe
