package network

import "strings"

// sentence writes joined errors in one line.
func sentence(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
