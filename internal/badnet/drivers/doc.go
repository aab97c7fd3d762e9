// Package drivers is the list of what can make a network bad, and opens one of
// them. It measures whether the driver does what the profile asks for, and
// refuses to go on with one that doesn't.
//
// A Loopback is a bad network for any program in a private network. The lab's
// own, which changes while the lab runs, is in package live.
package drivers
