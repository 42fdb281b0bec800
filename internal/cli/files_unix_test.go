//go:build unix

package cli

import (
	"errors"
	"fmt"
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
	if _, err := readFile(path("file"), 4); !strings.Contains(fmt.Sprint(err), "larger than the limit of 4 bytes") {
		t.Errorf("a file above the limit: %v", err)
	}
}

func TestWriteFileWritesRegularFilesAlone(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	socket, err := net.Listen("unix", path("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	for _, err := range []error{
		os.WriteFile(path("file"), []byte("a longer text than the new one"), 0o640),
		os.Symlink("file", path("link")),
		os.Symlink("made", path("link to a new file")),
		os.Mkdir(path("folder"), 0o700),
		syscall.Mkfifo(path("pipe"), 0o600),
		os.Symlink("pipe", path("link to a pipe")),
		os.Symlink("/dev/zero", path("link to a device")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ name, written, want string }{
		{"link", "file", ""},
		{"link to a new file", "made", ""},
		{"new", "new", ""},
		{"folder", "", "it is a folder, not a regular file"},
		{"pipe", "", "it is a pipe, not a regular file"},
		{"link to a pipe", "", "it is a pipe, not a regular file"},
		{"link to a device", "", "it is a device, not a regular file"},
		{"socket", "", "it is a socket, not a regular file"},
		{"none/file", "", "no such file or directory"},
	} {
		err := writeFile(path(tt.name), []byte("hello "+tt.name))
		if tt.want != "" {
			wantEqual(t, tt.name, fmt.Sprint(withoutPath(err)), tt.want)
			continue
		}
		noError(t, tt.name, err)
		content, err := os.ReadFile(path(tt.written))
		noError(t, tt.name, err)
		wantEqual(t, tt.name, string(content), "hello "+tt.name)
	}
	link, err := os.Lstat(path("link"))
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "type of the link", link.Mode().Type(), fs.ModeSymlink)
	file, err := os.Stat(path("file"))
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "mode of the file", file.Mode().Perm(), 0o640)
	if err := writeFile(os.DevNull, []byte("x")); err != nil {
		t.Errorf("%s: %v", os.DevNull, err)
	}
}
