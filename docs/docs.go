// Package docs holds the references that the program itself reads.
package docs

import _ "embed"

// Demo is docs/demo.txt: the tables that tributary demo must print, written by hand from
// its story.
//
//go:embed demo.txt
var Demo string
