package schemafile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/whimbrel-db/whimbrel/internal/filekind"
)

// maxSize limits the size of a schema file in bytes.
const maxSize = 256 << 20

// Read reads a schema file. It returns a *FormatError if the file is none, and otherwise the error
// of reading it.
func Read(path string) (*File, error) {
	content, err := readRegular(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, string(content))
}

func readRegular(path string) ([]byte, error) {
	info, err := os.Stat(path) // opening a pipe could block forever
	if err != nil {
		return nil, err
	}
	if err := filekind.Regular(info.Mode()); err != nil {
		return nil, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err == nil && len(content) > maxSize {
		err = &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("it is larger than the limit of %d bytes", maxSize)}
	}
	return content, err
}

// Write writes the file, unless it already has this content. A process that reads the file
// meanwhile sees the old or the new content, and a crash leaves one of them. Write creates missing
// folders. If path is a link, Write replaces the file that the link names.
func (f *File) Write(path string) (changed bool, err error) {
	text := f.Text()
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	mode := fs.FileMode(0o666) // without the bits of the umask
	old, err := readRegular(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return false, err
		}
	case err != nil:
		return false, err
	case string(old) == text:
		return false, nil
	default:
		if info, err := os.Stat(path); err == nil {
			mode = info.Mode().Perm()
		}
	}
	return true, replace(path, text, mode, old != nil)
}

// replace writes a file beside the path and renames it.
func replace(path, text string, mode fs.FileMode, keepMode bool) error {
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+rand.Text())
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil && keepMode {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		_ = os.Remove(temporary) // the first error is the one to report
	}
	return err
}
