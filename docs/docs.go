// Package docs holds the pages of the docs, which the lab serves: who reads a receipt of
// a lab elsewhere may have no copy of them.
package docs

import "embed"

// Pages are the pages by their names.
//
//go:embed *.md
var Pages embed.FS
