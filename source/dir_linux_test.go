package source_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/migration"
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
	}{{source.Options{DeferDowns: true}, 5}, {source.Options{}, 7}} {
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

// A file is read as a whole whatever its size is, also through a link.
func TestReadFilesOfEachSize(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	const statement = "SELECT 1; -- "
	sizes := []int{len(statement), 4095, 4096, 4097, 64<<10 - 1, 64 << 10, 64<<10 + 1, 200_000}
	for i, size := range sizes {
		text := statement + strings.Repeat("x", size-len(statement))
		file := fmt.Sprintf("%02d_a.up.sql", i+1)
		linked := filepath.Join(elsewhere, file)
		for _, err := range []error{
			os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600),
			os.WriteFile(linked, []byte(text), 0o600),
			os.Symlink(linked, filepath.Join(dir, fmt.Sprintf("%02d_b.up.sql", i+51))),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	set, err := source.Read(source.Dir(dir), source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, size := range sizes {
		want := migration.Sum(statement + strings.Repeat("x", size-len(statement)))
		for _, version := range []int64{int64(i + 1), int64(i + 51)} {
			if m, _ := set.Get(version); m.Up.Checksum != want || m.Up.Size != int64(size) {
				t.Errorf("version %d has %d bytes, want %d", version, m.Up.Size, size)
			}
		}
	}
}
