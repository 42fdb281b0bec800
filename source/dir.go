package source

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/filekind"
	"github.com/whimbrel-db/whimbrel/internal/order"
)

// Dir returns the folder at a path on disk. It is like [os.DirFS], but faster to read. Read opens
// no pipes or devices in it, even if links lead to them.
func Dir(path string) fs.FS { return dir{os.DirFS(path).(onDisk), path} }

// pathOf returns the path of a folder that Dir or os.DirFS returned, or "".
func pathOf(fsys fs.FS) string {
	if d, ok := fsys.(dir); ok {
		return d.path
	}
	if v := reflect.ValueOf(fsys); v.IsValid() && v.Type() == reflect.TypeOf(os.DirFS("")) {
		return v.String()
	}
	return ""
}

// onDisk are the interfaces that os.DirFS guarantees.
type onDisk interface {
	fs.ReadDirFS
	fs.StatFS
}

type dir struct {
	onDisk
	path string
}

// maxNames is the maximum number of files and folders in a folder.
const maxNames = 100_000

// ReadDir implements [fs.ReadDirFS]. It opens a folder, like a file, without waiting.
func (d dir) ReadDir(name string) ([]fs.DirEntry, error) {
	if d.path == "" || !fs.ValidPath(name) {
		return d.onDisk.ReadDir(name)
	}
	f, err := os.OpenFile(filepath.Join(d.path, filepath.FromSlash(name)), os.O_RDONLY|dontWait, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(maxNames + 1)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err == nil && len(entries) > maxNames {
		return nil, fmt.Errorf("it holds more than %d files and folders, which is the most that is read", maxNames)
	}
	order.By(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// openText opens only regular files, to read them from the beginning: reading a pipe could wait
// forever, and reading a device might never end.
func openText(fsys fs.FS, name string) (io.ReadCloser, error) {
	if d, ok := fsys.(dir); ok && d.path != "" && fs.ValidPath(name) {
		return openPlainly(d.path+"/"+name, name)
	}
	if s, ok := fsys.(fs.StatFS); ok { // without opening it
		info, err := s.Stat(name)
		if err != nil {
			return nil, err
		}
		if err := regular(info); err != nil {
			return nil, err
		}
	}
	f, err := open(fsys, name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = regular(info)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	if onDisk, ok := f.(*os.File); ok {
		return &osFile{onDisk, info.Size()}, nil
	}
	return f, nil
}

// shortText is the length in bytes below which a script is read at once.
const shortText = 64 << 10

// begin reads a file that is shorter than buf, or the beginning of a longer one. rest is what
// follows, nil if nothing does. It calls Read once if the length of a file on disk is known.
func (f *file) begin(fsys fs.FS, in root, buf []byte) (text []byte, rest io.ReadCloser, err error) {
	n, r, err := in.begin(fsys, f.name, buf)
	if err != nil || r == nil {
		return buf[:n], nil, err
	}
	return beginning(r, f.path, buf, n)
}

// beginning is begin for an open file, which it closes unless it returns it as rest. The first n
// bytes are in buf already.
func beginning(r io.ReadCloser, path string, buf []byte, n int) (text []byte, rest io.ReadCloser, err error) {
	size := sizeOnDisk(r)
	if n > 0 && int64(n) == size {
		r.Close()
		return buf[:n], nil, nil
	}
	for n < len(buf) {
		got, err := r.Read(buf[n:])
		n += got
		if err != nil && err != io.EOF {
			r.Close()
			return nil, nil, fmt.Errorf("read %s: %w", path, err)
		}
		if err == io.EOF || got > 0 && int64(n) == size {
			r.Close()
			return buf[:n], nil, nil
		}
	}
	return buf, r, nil
}

// sizeOnDisk returns the size of a file on disk, and 0 for any other: what another file system says
// need not be true.
func sizeOnDisk(r io.Reader) int64 {
	if d, ok := r.(interface{ sizeOnDisk() int64 }); ok {
		return d.sizeOnDisk()
	}
	return 0
}

// osFile is a file of [os.DirFS].
type osFile struct {
	*os.File
	size int64
}

func (f *osFile) sizeOnDisk() int64 { return f.size }

// open opens a file. A faulty file system may return none.
func open(fsys fs.FS, name string) (fs.File, error) {
	f, err := fsys.Open(name)
	if err == nil && f == nil {
		err = errors.New("its file system returned no file")
	}
	return f, err
}

// stat is [fs.Stat] of any file system.
func stat(fsys fs.FS, name string) (info fs.FileInfo, err error) {
	if s, ok := fsys.(fs.StatFS); ok {
		info, err = s.Stat(name)
	} else {
		f, err := open(fsys, name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if info, err = f.Stat(); err != nil {
			return nil, err
		}
	}
	if err == nil && info == nil {
		err = errors.New("its file system does not say what it is")
	}
	return info, err
}

// regular returns an error for a file that is not a regular one.
func regular(info fs.FileInfo) error {
	if info == nil {
		return errors.New("its file system does not say what it is")
	}
	return filekind.Regular(info.Mode())
}

// The maximum size in bytes of files that are held in memory as a whole. For scripts see
// [migration.KeepInMemory].
const (
	maxMetadata = 8 << 20  // what metayaml reads
	maxSide     = 1 << 20  // a file that says something of a script
	maxHeld     = 64 << 20 // a script that is rewritten
)

// maxKeptTexts is the total length of scripts of a folder up to which short ones are kept in
// memory. It is a variable for the tests.
var maxKeptTexts int64 = 256 << 20

// readText reads a whole file that is not a script.
func readText(fsys fs.FS, name string, limit int64) ([]byte, error) {
	r, err := openText(fsys, name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(text)) > limit {
		return nil, fmt.Errorf("it has more than %d bytes, which is the most that is read", limit)
	}
	return text, err
}

// readBeginning reads at most limit bytes of a file.
func readBeginning(fsys fs.FS, name string, limit int64) (string, error) {
	r, err := openText(fsys, name)
	if err != nil {
		return "", err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, limit))
	return string(text), err
}
