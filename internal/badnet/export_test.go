package badnet

// ParseTrace reads the text of a trace, and returns its milliseconds.
func ParseTrace(text []byte) (t Trace, times []int64, err error) {
	t, err = parseTrace("trace", text)
	for i := range t.len() {
		times = append(times, t.at(i).Milliseconds())
	}
	return t, times, err
}
