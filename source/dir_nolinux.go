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

func listOnDisk(fs.FS, string) ([]*listed, bool) { return nil, false }

func (root) openText(fsys fs.FS, name string) (io.ReadCloser, error) { return openText(fsys, name) }
