//go:build !linux

package source

import (
	"io"
	"io/fs"
)

// root is an open folder, which only Linux needs.
type root struct{}

func openRoot(fs.FS) root { return root{} }

func (root) close() {}

func listOnDisk(fs.FS, string, string) ([]*listed, bool) { return nil, false }

func (root) begin(fsys fs.FS, name string, _ []byte) (n int, rest io.ReadCloser, err error) {
	rest, err = openText(fsys, name)
	return 0, rest, err
}
