//go:build unix

package source

import (
	"io"
	"io/fs"
	"syscall"

	"github.com/whimbrel-db/whimbrel/internal/filekind"
)

// plainFile is a file descriptor. An *os.File asks the system six more times for each
// file, to find out that it can't be polled, which is most of the time that reading
// thousands of small files takes.
type plainFile struct {
	fd   int
	name string
	size int64
}

// dontWait makes opening a pipe return at once instead of waiting for a writer.
const dontWait = syscall.O_NONBLOCK

// openPlainly opens a regular file. Any other file opens without waiting and is refused.
func openPlainly(path, name string) (io.ReadCloser, error) {
	return openWith(func(flags int) (int, error) { return syscall.Open(path, flags, 0) }, name)
}

// openFlags open a file for reading, without waiting.
const openFlags = syscall.O_RDONLY | syscall.O_CLOEXEC | dontWait | syscall.O_NOCTTY

func openWith(open func(flags int) (fd int, err error), name string) (io.ReadCloser, error) {
	for {
		fd, err := open(openFlags)
		switch err {
		case nil:
			return plainly(fd, name)
		case syscall.EINTR:
		case syscall.ENXIO: // a socket, or a device that is not there
			return nil, filekind.Regular(fs.ModeSocket)
		default:
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
	}
}

// plainly returns the file of a descriptor, if it is a regular one.
func plainly(fd int, name string) (io.ReadCloser, error) {
	f := &plainFile{fd: fd, name: name}
	var stat syscall.Stat_t
	if err := syscall.Fstat(fd, &stat); err != nil {
		f.Close()
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	if err := filekind.Regular(modeOf(uint32(stat.Mode))); err != nil {
		f.Close()
		return nil, err
	}
	f.size = stat.Size
	return f, nil
}

func (f *plainFile) sizeOnDisk() int64 { return f.size }

func modeOf(mode uint32) fs.FileMode {
	switch mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		return 0
	case syscall.S_IFDIR:
		return fs.ModeDir
	case syscall.S_IFIFO:
		return fs.ModeNamedPipe
	case syscall.S_IFSOCK:
		return fs.ModeSocket
	case syscall.S_IFCHR, syscall.S_IFBLK:
		return fs.ModeDevice
	}
	return fs.ModeIrregular
}

func (f *plainFile) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n, err := syscall.Read(f.fd, p)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return 0, &fs.PathError{Op: "read", Path: f.name, Err: err}
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Seek implements io.Seeker.
func (f *plainFile) Seek(offset int64, whence int) (int64, error) {
	n, err := syscall.Seek(f.fd, offset, whence)
	if err != nil {
		return n, &fs.PathError{Op: "seek", Path: f.name, Err: err}
	}
	return n, nil
}

func (f *plainFile) Close() error {
	if f.fd < 0 {
		return fs.ErrClosed
	}
	err := syscall.Close(f.fd)
	f.fd = -1
	return err
}
