package source

import (
	"io"
	"io/fs"
	"syscall"
)

// root is an open folder on disk, whose files are opened without walking its path each time. That
// takes a fifth of the time of reading thousands of small files.
type root int

// noRoot opens files as openText does.
const noRoot root = -1

// openRoot opens a folder, if it is one on disk.
func openRoot(fsys fs.FS) root {
	d, ok := fsys.(dir)
	if !ok || d.path == "" {
		return noRoot
	}
	fd, err := syscall.Open(d.path, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return noRoot
	}
	return root(fd)
}

func (r root) close() {
	if r != noRoot {
		syscall.Close(int(r))
	}
}

// openText is openText for a file of the folder.
func (r root) openText(fsys fs.FS, name string) (io.ReadCloser, error) {
	if r == noRoot || !fs.ValidPath(name) {
		return openText(fsys, name)
	}
	return openWith(func(flags int) (int, error) { return syscall.Openat(int(r), name, flags, 0) }, name)
}
