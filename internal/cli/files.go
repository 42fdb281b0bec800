package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/whimbrel-db/whimbrel/internal/filekind"
	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
)

// The size limits for files and standard input, in bytes. The whole content is kept in memory.
const (
	maxConfig    = 256 << 10 // a whimbrel.yaml: thousands of environments
	maxStatement = 16 << 20  // one statement
	maxSnapshot  = 256 << 20 // a schema of hundreds of thousands of objects
)

// readFile reads a regular file and follows links to one. It opens nothing else, because a pipe
// could block forever and a device could be endless. Its errors don't name the file.
func readFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	if err := filekind.Regular(info.Mode()); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|dontWait, 0)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil { // it may have been replaced
		return nil, withoutPath(err)
	}
	if err := filekind.Regular(info.Mode()); err != nil {
		return nil, err
	}
	return readLimited(f, limit)
}

// devStdout names the standard output: a terminal, a pipe or a file.
const devStdout = "/dev/stdout"

// openDescriptor matches the names of files that are already open, such as a shell's >(command).
var openDescriptor = lazyregexp.New(`^(/dev/stderr|(/dev|/proc/self)/fd/[0-9]+)$`)

// writeOutput writes the file that --out names: a regular file, which it creates if necessary,
// /dev/null, standard output, or a file that is already open. It opens nothing else, because a pipe
// could block forever and a device could be a disk.
func (a *app) writeOutput(path string, content []byte) error {
	var err error
	if path == devStdout {
		_, err = a.Stdout.Write(content) // shares its offset with the output that follows
	} else {
		err = writeFile(path, content)
	}
	if err != nil {
		return &outputError{path, withoutPath(err)}
	}
	return nil
}

func writeFile(path string, content []byte) error {
	check := filekind.Regular
	if path == os.DevNull || openDescriptor.MatchString(path) {
		check = func(fs.FileMode) error { return nil }
	}
	info, err := os.Stat(path)
	switch {
	case err == nil:
		err = check(info.Mode())
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	}
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|dontWait, 0o666)
	if err != nil {
		return err
	}
	if info, err = f.Stat(); err == nil { // it may have been replaced
		err = check(info.Mode())
	}
	if err == nil && info.Mode().IsRegular() {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.Write(content)
	}
	return errors.Join(err, f.Close())
}

// readLimited reads r to its end. It fails if there are more than limit bytes.
func readLimited(r io.Reader, limit int64) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, withoutPath(err)
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("it is larger than the limit of %d bytes", limit)
	}
	return content, nil
}

// withoutPath removes the file name from an error.
func withoutPath(err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}
