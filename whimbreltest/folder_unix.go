//go:build unix

package whimbreltest

import (
	"io/fs"
	"os"
	"syscall"
)

// private reports whether a folder belongs to this user and nobody else can change it.
func private(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid() && info.Mode().Perm()&0o022 == 0
}
