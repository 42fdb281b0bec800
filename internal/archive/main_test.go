package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const seconds = "1790000000"

// folder writes the files of an archive, with a mode and a time that must not matter.
func folder(t *testing.T, mode fs.FileMode, at time.Time) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "whimbrel_v1")
	for _, name := range []string{"whimbrel", "man/man1/whimbrel.1", "LICENSE"} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("the text of "+name), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// entry is a file of an archive.
type entry struct {
	Name, Text string
	Mode       fs.FileMode
	At         time.Time
}

var at = time.Unix(1790000000, 0).UTC()

var want = []entry{
	{"whimbrel_v1/LICENSE", "the text of LICENSE", 0o644, at},
	{"whimbrel_v1/man/man1/whimbrel.1", "the text of man/man1/whimbrel.1", 0o644, at},
	{"whimbrel_v1/whimbrel", "the text of whimbrel", 0o755, at},
}

func TestArchives(t *testing.T) {
	for suffix, read := range map[string]func(*testing.T, string) []entry{".tar.gz": readTar, ".zip": readZip} {
		t.Run(suffix, func(t *testing.T) {
			var contents [][]byte
			for _, dir := range []string{folder(t, 0o600, at), folder(t, 0o777, time.Unix(1, 0))} {
				file := filepath.Join(t.TempDir(), "a"+suffix)
				if err := run([]string{seconds, file, dir}); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, read(t, file)); diff != "" {
					t.Errorf("the archive (-want +got):\n%s", diff)
				}
				content, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				contents = append(contents, content)
			}
			if !slices.Equal(contents[0], contents[1]) {
				t.Error("two archives of the same files differ")
			}
		})
	}
}

func readTar(t *testing.T, file string) (all []entry) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(z)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" {
			t.Errorf("%s belongs to %d:%d %q", h.Name, h.Uid, h.Gid, h.Uname)
		}
		all = append(all, entry{h.Name, string(text), fs.FileMode(h.Mode), h.ModTime.UTC()})
	}
}

func readZip(t *testing.T, file string) (all []entry) {
	t.Helper()
	z, err := zip.OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, entry{f.Name, string(text), f.Mode(), f.Modified.UTC()})
	}
	return all
}

func TestArchiveErrors(t *testing.T) {
	dir := folder(t, 0o600, at)
	out := t.TempDir()
	for _, args := range [][]string{
		nil,
		{"now", filepath.Join(out, "a.zip"), dir},
		{seconds, filepath.Join(out, "a.rar"), dir},
		{seconds, filepath.Join(out, "a.zip"), filepath.Join(dir, "missing")},
	} {
		if err := run(args); err == nil {
			t.Errorf("run(%q) returned no error", args)
		}
	}
	if left, err := os.ReadDir(out); err != nil || len(left) > 0 {
		t.Errorf("after the errors the folder has %v (%v), want nothing", left, err)
	}
}
