package source_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/whimbrel-db/whimbrel/source"
)

func TestDirIsAFolderOnDisk(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"1_a.up.sql": "CREATE TABLE a (id int);\n", "1_a.down.sql": "", "elsewhere.txt": "CREATE TABLE b (id int);\n",
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("elsewhere.txt", filepath.Join(root, "2_b.up.sql")); err != nil {
		t.Skip(err) // systems that don't let everybody make links
	}
	fsys := source.Dir(root)
	if err := fstest.TestFS(fsys, "1_a.up.sql", "1_a.down.sql", "elsewhere.txt"); err != nil {
		t.Error(err)
	}
	set, err := source.Read(fsys, source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	other, err := source.Read(os.DirFS(root), source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if set.Len() != 2 {
		t.Fatalf("set.Len() = %v, want 2", set.Len())
	}
	if other.Len() != 2 {
		t.Fatalf("other.Len() = %v, want 2", other.Len())
	}
	for i, m := range set.All() {
		if o := other.All()[i]; m.Version != o.Version {
			t.Errorf("m.Version = %v, want %v", m.Version, o.Version)
		} else if m.Up.Checksum != o.Up.Checksum {
			t.Errorf("m.Up.Checksum = %v, want %v", m.Up.Checksum, o.Up.Checksum)
		} else if m.Up.Size != o.Up.Size {
			t.Errorf("m.Up.Size = %v, want %v", m.Up.Size, o.Up.Size)
		}
	}
}

func TestMissingDir(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for name, tt := range map[string]struct {
		fsys fs.FS
		dir  string
		want string
	}{
		"Dir":               {source.Dir(missing), "", missing + ": there is no such folder"},
		"os.DirFS":          {os.DirFS(missing), "", missing + ": there is no such folder"},
		"with Options.Dir":  {source.Dir(missing), "birds", "birds: there is no such folder"},
		"a fs.FS of others": {none{}, "birds", "birds: there is no such folder"},
	} {
		_, err := source.Read(tt.fsys, source.Options{Dir: tt.dir})
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: err = %v, want one that is fs.ErrNotExist", name, err)
		} else if err.Error() != tt.want {
			t.Errorf("%s: err = %q, want %q", name, err, tt.want)
		}
	}
}

// none is a file system without a root.
type none struct{}

func (none) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func TestDirSaysWhatCannotBeRead(t *testing.T) {
	root := t.TempDir()
	if err := os.Symlink(filepath.Join(root, "nowhere"), filepath.Join(root, "1_a.up.sql")); err != nil {
		t.Skip(err)
	}
	if _, err := source.Read(source.Dir(root), source.Options{}); err == nil {
		t.Error("a link to nowhere was read")
	}
}
