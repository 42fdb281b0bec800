//go:build unix

package cli

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestReadFileReadsRegularFilesAlone(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	socket, err := net.Listen("unix", path("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	for _, err := range []error{
		os.WriteFile(path("file"), []byte("hello"), 0o600),
		os.Symlink("file", path("link")),
		os.Mkdir(path("folder"), 0o700),
		syscall.Mkfifo(path("pipe"), 0o600),
		os.Symlink("pipe", path("link to a pipe")),
		os.Symlink("/dev/zero", path("link to a device")),
		os.Symlink("loop", path("loop")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ name, want string }{
		{"file", ""},
		{"link", ""},
		{"folder", "it is a folder, not a regular file"},
		{"pipe", "it is a pipe, not a regular file"},
		{"link to a pipe", "it is a pipe, not a regular file"},
		{"link to a device", "it is a device, not a regular file"},
		{"socket", "it is a socket, not a regular file"},
		{"none", "no such file or directory"},
		{"loop", "too many levels of symbolic links"},
	} {
		content, err := readFile(path(tt.name), 5)
		switch {
		case tt.want == "" && (err != nil || string(content) != "hello"):
			t.Errorf("%s: %q, %v", tt.name, content, err)
		case tt.want != "" && (err == nil || err.Error() != tt.want):
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
	if _, err := readFile(path("none"), 5); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := readFile(path("file"), 4); err == nil || !strings.Contains(err.Error(), "more than 4 bytes") {
		t.Errorf("a file above the limit: %v", err)
	}
}
