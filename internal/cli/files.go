package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"

	"github.com/whimbrel-db/whimbrel/internal/filekind"
)

// The most that is read of a file or of standard input, in bytes. All of it is held in memory.
const (
	maxConfig    = 256 << 10 // a whimbrel.yaml: thousands of environments
	maxStatement = 16 << 20  // one that is passed to the database
	maxSnapshot  = 256 << 20 // a schema of hundreds of thousands of objects
)

// readFile reads a regular file, or one that a link leads to. It opens nothing else: reading a pipe could wait for
// ever, reading a device never end. The errors don't name the file.
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
	if info, err = f.Stat(); err != nil { // it may be another by now
		return nil, withoutPath(err)
	}
	if err := filekind.Regular(info.Mode()); err != nil {
		return nil, err
	}
	return readLimited(f, limit)
}

// devStdout is the name of the process's own output, whatever that is: a terminal, a pipe, a file.
const devStdout = "/dev/stdout"

// openDescriptor matches the names of files that the process has open already, such as a shell's >(command).
var openDescriptor = regexp.MustCompile(`^(/dev/stderr|(/dev|/proc/self)/fd/[0-9]+)$`)

// writeOutput writes what an --out names: a regular file, or one that is made. It opens no other, because opening a
// pipe could wait for ever, and a device could be a disk. Beside these it takes /dev/null, standard output, and what
// the process has open already.
func (a *app) writeOutput(path string, content []byte) error {
	var err error
	if path == devStdout {
		_, err = a.Stdout.Write(content) // its own offset, so that the answer follows
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
	if info, err = f.Stat(); err == nil { // it may be another by now
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

// readLimited reads all there is, if it is not more than limit.
func readLimited(r io.Reader, limit int64) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, withoutPath(err)
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("it has more than %d bytes, which is the most that is read", limit)
	}
	return content, nil
}

// withoutPath takes the name of the file out of an error.
func withoutPath(err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}
