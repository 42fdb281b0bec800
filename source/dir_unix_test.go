//go:build unix

package source_test

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/whimbrel-db/whimbrel/source"
)

// What is no regular file is not opened, whatever it is called and wherever a link to it is:
// reading a pipe would wait for ever, reading /dev/zero never end.
func TestReadOpensRegularFilesAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	outside := filepath.Join(dir, "outside")
	folder := filepath.Join(dir, "m")
	pipe, socket := filepath.Join(outside, "pipe"), filepath.Join(outside, "socket")
	for _, err := range []error{
		os.MkdirAll(outside, 0o700),
		os.MkdirAll(filepath.Join(folder, "7_g"), 0o700),
		syscall.Mkfifo(pipe, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	link := func(to, name string) {
		if err := os.Symlink(to, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	link(pipe, "1_a.up.sql")
	link("/dev/zero", "2_b.up.sql")
	link(socket, "3_c.up.sql")
	link(outside, "4_d.up.sql")
	link(pipe, "R__views.sql")
	link("/dev/zero", "1_a.metadata.yaml")
	link(pipe, "7_g/up.sql")
	if err := syscall.Mkfifo(filepath.Join(folder, "5_e.up.sql"), 0o600); err != nil {
		t.Fatal(err)
	}
	native := `1_a.metadata.yaml: can't be read: it is a device, not a regular file
1_a.up.sql: can't be read: it is a pipe, not a regular file
2_b.up.sql: can't be read: it is a device, not a regular file
3_c.up.sql: can't be read: it is a socket, not a regular file
4_d.up.sql: is a folder; a migration has to be a file
5_e.up.sql: can't be read: it is a pipe, not a regular file
R__views.sql: can't be read: it is a pipe, not a regular file`
	for name, fsys := range map[string]fs.FS{"source.Dir": source.Dir(folder), "os.DirFS": os.DirFS(folder)} {
		_, err := source.Read(fsys, source.Options{Format: source.Native})
		if got := errorText(err); got != native {
			t.Errorf("%s:\n%s\nwant:\n%s", name, got, native)
		}
		_, err = source.Read(fsys, source.Options{Format: source.Hasura})
		if want := "7_g/up.sql: can't be read: it is a pipe, not a regular file"; !strings.Contains(errorText(err), want) {
			t.Errorf("%s, as Hasura's:\n%v\nwant %s", name, err, want)
		}
		_, err = source.ReadSeeds(fsys, source.Options{})
		if want := "1_a.up.sql: can't be read: it is a pipe, not a regular file"; !strings.Contains(errorText(err), want) {
			t.Errorf("%s, as seeds:\n%v\nwant %s", name, err, want)
		}
	}
	if _, err := source.Read(source.Dir(pipe), source.Options{Dir: "p"}); err == nil {
		t.Error("got no error")
	} else if !strings.Contains(err.Error(), "p: can't be read as a folder") {
		t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), "p: can't be read as a folder")
	}
}

// The files that other tools keep beside their scripts are held in memory, so they are bounded.
func TestReadBoundsWhatIsBesideScripts(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("# nothing\n", 1<<20)
	for name, read := range map[string]fs.FS{
		"1_a.metadata.yaml": files("1_a.up.sql", up, "1_a.metadata.yaml", large),
		"1_a/metadata.toml": files("1_a/up.sql", up, "1_a/metadata.toml", large),
		"1_a/up.yaml":       files("1_a/up.sql", up, "1_a/up.yaml", large),
	} {
		_, err := source.Read(read, source.Options{})
		if err == nil {
			t.Fatalf("%s: got no error", name)
		}
		if !strings.HasPrefix(err.Error(), name+": ") {
			t.Errorf("%s: err.Error() = %q, want a text beginning with %q", name, err.Error(), name+": ")
		}
		if !strings.Contains(err.Error(), "which is the most that is read") {
			t.Errorf("%s: err.Error() = %q, want a text containing %q", name, err.Error(), "which is the most that is read")
		}
	}
}

// A link to a folder below the first one could lead in a circle.
func TestFlywayLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "m", "a"), 0o700),
		os.MkdirAll(filepath.Join(dir, "outside"), 0o700),
		os.WriteFile(filepath.Join(dir, "outside", "V2__b.sql"), []byte(up), 0o600),
		os.WriteFile(filepath.Join(dir, "m", "a", "V1__a.sql"), []byte(up), 0o600),
		os.Symlink(filepath.Join(dir, "outside"), filepath.Join(dir, "m", "linked")),
		os.Symlink(filepath.Join(dir, "outside", "V2__b.sql"), filepath.Join(dir, "m", "a", "V3__c.sql")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	set, err := source.Read(source.Dir(filepath.Join(dir, "m")), source.Options{Format: source.Flyway})
	if err != nil {
		t.Fatal(err)
	}
	if set.Len() != 3 {
		t.Errorf("set.Versions() = %v, want three", set.Versions())
	}
	if err := os.Symlink(filepath.Join(dir, "m"), filepath.Join(dir, "m", "a", "circle")); err != nil {
		t.Fatal(err)
	}
	_, err = source.Read(source.Dir(filepath.Join(dir, "m")), source.Options{Format: source.Flyway})
	if want := "a/circle: is a link to a folder, which is not read below the first folder; replace it by the folder"; errorText(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
