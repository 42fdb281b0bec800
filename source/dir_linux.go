package source

import (
	"bytes"
	"encoding/binary"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// listOnDisk is readDir for a folder on disk. It allocates for each buffer of entries, not for each
// entry. If it can't read the folder, or does not know what an entry is, it returns false.
func listOnDisk(fsys fs.FS, name, before string) (all []*listed, ok bool) {
	d, ok := fsys.(dir)
	if !ok || d.path == "" || !fs.ValidPath(name) {
		return nil, false
	}
	fd, err := syscall.Open(filepath.Join(d.path, name), syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, false
	}
	defer syscall.Close(fd)
	buf := make([]byte, 32<<10)
	for len(all) <= maxNames {
		n, err := syscall.ReadDirent(fd, buf)
		switch {
		case err != nil:
			return nil, false
		case n <= 0:
			slices.SortFunc(all, func(a, b *listed) int { return strings.Compare(a.name, b.name) })
			return all, true
		}
		if all, ok = appendListed(all, buf[:n], before); !ok {
			return nil, false
		}
	}
	return nil, false
}

// appendListed adds the entries in an answer of the kernel: records of the inode's number (8
// bytes), an offset (8), the record's length (2), the kind (1), and the name, which ends with NUL.
// The paths of all, and so their names, are in one string.
func appendListed(all []*listed, records []byte, before string) ([]*listed, bool) {
	const lengthAt, kindAt, nameAt = 16, 18, 19
	n, size := 0, 0
	for at := 0; at < len(records); n++ {
		length := int(binary.NativeEndian.Uint16(records[at+lengthAt:]))
		size += len(before) + length - nameAt
		at += length
	}
	found := make([]listed, 0, n)
	var paths strings.Builder
	paths.Grow(size)
	for at := 0; at < len(records); {
		length := int(binary.NativeEndian.Uint16(records[at+lengthAt:]))
		name, _, _ := bytes.Cut(records[at+nameAt:at+length], []byte{0})
		kind, known := kindOf(records[at+kindAt])
		at += length
		switch {
		case !known:
			return nil, false
		case string(name) == "." || string(name) == "..":
			continue
		}
		begin := paths.Len()
		paths.WriteString(before)
		paths.Write(name)
		path := paths.String()[begin:]
		found = append(found, listed{name: path[len(before):], path: path, kind: kind})
		all = append(all, &found[len(found)-1])
	}
	return all, true
}

// kindOf returns the kind of an entry as the kernel says it. It does not know on every file system.
func kindOf(kind byte) (mode fs.FileMode, known bool) {
	switch kind {
	case syscall.DT_REG:
		return 0, true
	case syscall.DT_DIR:
		return fs.ModeDir, true
	case syscall.DT_LNK:
		return fs.ModeSymlink, true
	}
	return 0, false
}

// root is an open folder on disk, whose files are opened without walking its path each time. That
// takes a fifth of the time of reading thousands of small files.
type root struct {
	fd     int  // negative for none: files are opened as openText does
	cached bool // its file system reads a file through the page cache
}

var noRoot = root{fd: -1}

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
	return root{fd, isCached(fd)}
}

// The magic numbers of file systems, as statfs(2) lists them: ext2 to ext4, XFS, Btrfs, tmpfs.
const (
	ext4Magic  = 0xef53
	xfsMagic   = 0x58465342
	btrfsMagic = 0x9123683e
	tmpfsMagic = 0x01021994
)

// isCached reports whether a folder is on a file system that reads files through the page cache.
func isCached(fd int) bool {
	var stat syscall.Statfs_t
	if syscall.Fstatfs(fd, &stat) != nil {
		return false
	}
	switch uint32(stat.Type) {
	case ext4Magic, xfsMagic, btrfsMagic, tmpfsMagic:
		return true
	}
	return false
}

func (r root) close() {
	if r.fd >= 0 {
		syscall.Close(r.fd)
	}
}

// begin opens a file of the folder, which the list shows as a regular one or as a link to one, and
// reads its beginning. If that is the whole file, it returns no reader.
//
// From the page cache, a read returns less than a page only at the end of a file. So most scripts
// need no fstat(2), which would take a seventh of the time. A link may lead to another file system.
// The file may have been replaced since it was listed: pread(2) fails for a pipe, and a read of a
// device such as /dev/null returns nothing.
func (r root) begin(fsys fs.FS, name string, buf []byte) (n int, rest io.ReadCloser, err error) {
	if r.fd < 0 || !fs.ValidPath(name) {
		rest, err = openText(fsys, name)
		return 0, rest, err
	}
	const page = 4 << 10
	if r.cached && len(buf) >= page {
		if fd, err := syscall.Openat(r.fd, name, openFlags|syscall.O_NOFOLLOW, 0); err == nil {
			n, err := syscall.Pread(fd, buf, 0)
			if err == nil && 0 < n && n < page {
				return n, nil, syscall.Close(fd)
			}
			if _, err := syscall.Seek(fd, int64(n), io.SeekStart); err != nil {
				n = 0
			}
			rest, err := plainly(fd, name)
			return n, rest, err
		}
	}
	rest, err = openWith(func(flags int) (int, error) { return syscall.Openat(r.fd, name, flags, 0) }, name)
	return 0, rest, err
}
