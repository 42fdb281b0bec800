//go:build !unix

package whimbreltest

import "io/fs"

// private returns true: elsewhere each user has a folder for temporary files.
func private(fs.FileInfo) bool { return true }
