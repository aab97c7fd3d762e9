//go:build !linux

package machine

func kernel() string { return "" }
func model() string  { return "" }
