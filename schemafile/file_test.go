package schemafile_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/whimbrel-db/whimbrel/schemafile"
)

func write(t *testing.T, path string) (changed bool) {
	t.Helper()
	changed, err := goldenFile().Write(path)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil || string(content) != golden {
		t.Errorf("%s has %q (%v)", path, content, err)
	}
	return changed
}

func TestWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "db", "sub", "schema.sql")
	if !write(t, path) {
		t.Error("a new file is not a change")
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if write(t, path) {
		t.Error("the same content is a change")
	}
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("the same content was written again (%v)", err)
	}
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if !write(t, path) {
		t.Error("another content is no change")
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o640 {
		t.Errorf("the mode is %v (%v), want that of the file before", info.Mode(), err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder has %v (%v), want the file only", entries, err)
	}
	if f, err := schemafile.Read(path); err != nil || len(f.Sets) != 1 {
		t.Errorf("Read: %v (%v)", f, err)
	}
}

func TestWriteThroughALink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	real, link := filepath.Join(dir, "real.sql"), filepath.Join(dir, "link.sql")
	if err := os.WriteFile(real, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, link); err != nil {
		t.Skip(err) // Windows allows it to administrators only
	}
	write(t, link)
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link was replaced (%v)", err)
	}
}

// A file that can't be written stays as it is, and leaves nothing beside it.
func TestWriteFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := goldenFile().Write(dir); err == nil {
		t.Error("a folder was written")
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := goldenFile().Write(filepath.Join(file, "schema.sql")); err == nil {
		t.Error("a file below a file was written")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the folder has %v (%v)", entries, err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "nosuch")} {
		if _, err := schemafile.Read(path); err == nil {
			t.Errorf("%s was read", path)
		}
	}
}
