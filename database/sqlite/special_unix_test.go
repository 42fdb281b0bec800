//go:build unix

package sqlite_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
)

func TestOnlyRegularFilesAreOpened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	must(t, syscall.Mkfifo(path("pipe"), 0o600))
	must(t, os.Symlink("pipe", path("link")))
	socket, err := net.Listen("unix", path("socket"))
	must(t, err)
	defer socket.Close()
	for _, tc := range []struct{ path, says string }{
		{path("pipe"), "it is a pipe, not a regular file"},
		{path("link"), "it is a pipe, not a regular file"},
		{path("socket"), "it is a socket, not a regular file"},
		{"/dev/zero", "it is a device, not a regular file"},
		{"/dev/null", "it is a device, not a regular file"},
		{dir, "it is a folder"},
	} {
		for _, mode := range []string{"", "?mode=ro"} {
			db, err := database.Open(bg, "sqlite:"+tc.path+mode, database.Options{})
			if err == nil {
				db.Close()
			}
			if e := (*database.ConnectError)(nil); !errors.As(err, &e) {
				t.Errorf("%s%s: %v, want a *ConnectError: %s", tc.path, mode, err, tc.says)
			} else if e.Target != tc.path {
				t.Errorf("%s%s: e.Target = %v, want %v", tc.path, mode, e.Target, tc.path)
			} else if e.Err.Error() != tc.says {
				t.Errorf("%s%s: e.Err.Error() = %v, want %v", tc.path, mode, e.Err.Error(), tc.says)
			}
		}
	}
}
