// Package filekind names what a file is that is not a regular one.
package filekind

import (
	"fmt"
	"io/fs"
)

// Regular returns nil if the mode is that of a regular file, and otherwise an error that says what
// the file is: "it is a pipe, not a regular file".
func Regular(mode fs.FileMode) error {
	what := "a special file"
	switch {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		what = "a folder"
	case mode&fs.ModeNamedPipe != 0:
		what = "a pipe"
	case mode&fs.ModeSocket != 0:
		what = "a socket"
	case mode&fs.ModeDevice != 0:
		what = "a device"
	}
	return fmt.Errorf("it is %s, not a regular file", what)
}
