package source_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/whimbrel-db/whimbrel/source"
)

// Reading leaves no file open, also after an error.
func TestReadClosesTheFolder(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	open := func() int {
		t.Helper()
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(all)
	}
	write("1_a.up.sql", "SELECT 1;")
	before := open()
	for range 5 {
		if _, err := source.Read(source.Dir(dir), source.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	write("2_b.up.sql", "\xff")
	for range 5 {
		if _, err := source.Read(source.Dir(dir), source.Options{}); err == nil {
			t.Fatal("a script that is not UTF-8 is read")
		}
	}
	if after := open(); after != before {
		t.Errorf("%d files are open after reading, %d before", after, before)
	}
}

// Reading a folder allocates little for each migration: a folder is read at every start.
func TestReadAllocatesLittle(t *testing.T) {
	fsys := thousandFiles(t)
	for _, c := range []struct {
		opts source.Options
		most float64 // for a pair of files
	}{{source.Options{DeferDowns: true}, 9}, {source.Options{}, 13}} {
		n := testing.AllocsPerRun(3, func() {
			if _, err := source.Read(fsys, c.opts); err != nil {
				t.Fatal(err)
			}
		})
		if n /= 500; n > c.most {
			t.Errorf("reading a pair of files allocates %.1f times, want at most %v (DeferDowns: %t)", n, c.most, c.opts.DeferDowns)
		}
	}
}
