package source_test

import (
	"archive/zip"
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
)

//go:embed testdata/embedded
var embedded embed.FS

// files makes a folder of names and contents, in turn.
func files(pairs ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return m
}

// describe shows a set: a line for each migration, and its scripts.
func describe(t *testing.T, set *migration.Set) string {
	t.Helper()
	var b strings.Builder
	for _, m := range set.All() {
		fmt.Fprintf(&b, "%s\n", m)
		for _, h := range []struct {
			direction string
			script    *migration.Script
		}{{"up", m.Up}, {"down", m.Down}} {
			if h.script == nil {
				continue
			}
			text, ok, err := h.script.Text(1 << 30)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				text = "(Go)"
			}
			line := ""
			if h.script.Line > 0 {
				line = fmt.Sprintf(":%d", h.script.Line)
			}
			directives := h.script.Directives.String()
			if directives != "" {
				directives = " [" + directives + "]"
			}
			if h.script.Problem != nil {
				directives += " [can't be run]"
			}
			fmt.Fprintf(&b, "  %s %s%s%s %q\n", h.direction, h.script.File, line, directives, text)
		}
	}
	return b.String()
}

// reading is a folder and the result of reading it: want, or the error's lines.
type reading struct {
	name   string
	files  fs.FS
	opts   source.Options
	want   string
	errors string
	// warnings are those of a set without errors, a line for each.
	warnings string
}

func testReadings(t *testing.T, format source.Format, cases []reading) {
	t.Parallel()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.opts.Format == source.Auto {
				c.opts.Format = format
			}
			set, err := source.Read(c.files, c.opts)
			if got := errorText(err); got != strings.TrimSpace(c.errors) {
				t.Fatalf("error:\n%s\nwant:\n%s", got, c.errors)
			}
			if err == nil {
				if got := describe(t, set); strings.TrimSpace(got) != strings.TrimSpace(c.want) {
					t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
				}
				var warnings []string
				for _, w := range set.Warnings() {
					warnings = append(warnings, w.String())
				}
				if got := strings.Join(warnings, "\n"); got != strings.TrimSpace(c.warnings) {
					t.Errorf("warnings:\n%s\nwant:\n%s", got, c.warnings)
				}
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestReadEveryFS(t *testing.T) {
	t.Parallel()
	const want = `1 parcels
  up 0001_parcels.up.sql [lock-timeout 2s] "-- whimbrel: lock-timeout 2s\nCREATE TABLE parcels (id bigint PRIMARY KEY);\n"
  down 0001_parcels.down.sql "DROP TABLE parcels;\n"
2 weight
  up 0002_weight.up.sql "ALTER TABLE parcels ADD COLUMN weight numeric;\n"
`
	folder, err := fs.Sub(embedded, "testdata/embedded")
	if err != nil {
		t.Fatal(err)
	}
	asMap := fstest.MapFS{}
	var zipped bytes.Buffer
	w := zip.NewWriter(&zipped)
	for _, name := range []string{"0001_parcels.up.sql", "0001_parcels.down.sql", "0002_weight.up.sql"} {
		data, err := fs.ReadFile(folder, name)
		if err != nil {
			t.Fatal(err)
		}
		asMap[name] = &fstest.MapFile{Data: data}
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		f.Write(data) // to memory
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := zip.NewReader(bytes.NewReader(zipped.Bytes()), int64(zipped.Len()))
	if err != nil {
		t.Fatal(err)
	}
	for name, fsys := range map[string]fs.FS{
		"embed.FS": folder, "fstest.MapFS": asMap, "zip.Reader": r, "os.DirFS": os.DirFS("testdata/embedded"),
		"one byte at a time": slowFS{asMap},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set, err := source.Read(fsys, source.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(t, set); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// slowFS gives its files one byte at a time, and can't seek.
type slowFS struct{ fs.FS }

func (s slowFS) Open(name string) (fs.File, error) {
	f, err := s.FS.Open(name)
	if _, isDir := f.(fs.ReadDirFile); err != nil || isDir {
		return f, err
	}
	return slowFile{f, iotest.OneByteReader(f)}, nil
}

type slowFile struct {
	fs.File
	r io.Reader
}

func (f slowFile) Read(p []byte) (int, error) { return f.r.Read(p) }

func TestReadSaysThatThereIsNoFolder(t *testing.T) {
	t.Parallel()
	_, err := source.Read(os.DirFS(filepath.Join(t.TempDir(), "none")), source.Options{Dir: "db/migrations"})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got %v, want %v", err, fs.ErrNotExist)
	}
	if err.Error() != "db/migrations: there is no such folder" {
		t.Errorf("err.Error() = %q, want %q", err.Error(), "db/migrations: there is no such folder")
	}
	if e := (*source.Error)(nil); !errors.As(err, &e) {
		t.Errorf("got %v, want a %T", err, e)
	} else if e.File != "db/migrations" {
		t.Errorf("e.File = %q, want %q", e.File, "db/migrations")
	}
	name := filepath.Join(t.TempDir(), "file.sql")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = source.Read(os.DirFS(name), source.Options{Dir: "file.sql"})
	if err == nil {
		t.Fatal("got no error")
	}
	if !strings.HasPrefix(err.Error(), "file.sql: can't be read as a folder: ") {
		t.Errorf("err.Error() = %q, want a text beginning with %q", err.Error(), "file.sql: can't be read as a folder: ")
	}
}

func TestNoFileSystemIsAnError(t *testing.T) {
	t.Parallel()
	_, seeds := source.ReadSeeds(nil, source.Options{})
	_, detect := source.Detect(nil)
	_, files := source.NewFiles(nil, source.NewOptions{Name: "x"})
	_, squash := source.Squash(nil, source.SquashOptions{From: 1, To: 2, Name: "x"})
	for what, err := range map[string]error{"ReadSeeds": seeds, "Detect": detect, "NewFiles": files, "Squash": squash} {
		if err == nil {
			t.Fatalf("%s: got no error", what)
		}
		if !strings.Contains(err.Error(), "nil") {
			t.Errorf("%s: err.Error() = %q, want a text containing %q", what, err.Error(), "nil")
		}
	}
}

func TestReadEmptyFolderIsAnEmptySet(t *testing.T) {
	t.Parallel()
	for _, format := range append(source.Formats(), source.Auto) {
		set, err := source.Read(os.DirFS(t.TempDir()), source.Options{Set: "ledger", Format: format})
		if err != nil {
			t.Fatalf("%q: %v", format, err)
		}
		if set.Len() != 0 {
			t.Errorf("%q: set.Len() = %v, want 0", format, set.Len())
		}
		if set.Name() != "ledger" {
			t.Errorf("%q: set.Name() = %q, want %q", format, set.Name(), "ledger")
		}
	}
	if format, err := source.Detect(fstest.MapFS{}); format != source.Native {
		t.Errorf("format = %v, want %v", format, source.Native)
	} else if err != nil {
		t.Error(err)
	}
}

func TestReadMergesGoFunctions(t *testing.T) {
	t.Parallel()
	fn := migration.Migration{Version: 2, Name: "backfill", Up: migration.Func("backfill-1", func() {})}
	folder := files("0001_a.up.sql", "SELECT 1", "0003_c.up.sql", "SELECT 3")
	set, err := source.Read(folder, source.Options{Funcs: []migration.Migration{fn}})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(set.Versions()); got != "[1 2 3]" {
		t.Errorf("got versions %s", got)
	}
	set, err = source.Read(nil, source.Options{Funcs: []migration.Migration{fn}})
	if err != nil {
		t.Fatal(err)
	}
	if set.Len() != 1 {
		t.Errorf("set.Len() = %v, want 1", set.Len())
	}
	fn.Version = 3
	_, err = source.Read(folder, source.Options{Dir: "m", Funcs: []migration.Migration{fn}})
	var dup *migration.DuplicateError
	if !errors.As(err, &dup) {
		t.Fatalf("got %v, want a %T", err, dup)
	}
	if *dup != (migration.DuplicateError{Version: 3, First: "m/0003_c.up.sql", Second: "backfill-1"}) {
		t.Errorf("*dup = %v, want %v", *dup, (migration.DuplicateError{Version: 3, First: "m/0003_c.up.sql", Second: "backfill-1"}))
	}
	_, err = source.Read(nil, source.Options{Funcs: []migration.Migration{{Version: 4, Name: "nothing"}}})
	if err == nil {
		t.Fatal("got no error")
	}
	if !strings.Contains(err.Error(), "4 nothing has no up function") {
		t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), "4 nothing has no up function")
	}
}

// A text above migration.KeepInMemory is not held: it is opened again, section by
// section.
func TestReadLargeFiles(t *testing.T) {
	t.Parallel()
	line := "INSERT INTO ports (name) VALUES ('Ærøskøbing');\n"
	large := strings.Repeat(line, migration.KeepInMemory/len(line)+10)
	lines := strings.Count(large, "\n")
	for _, open := range []func(fs.FS) fs.FS{
		func(f fs.FS) fs.FS { return f },
		func(f fs.FS) fs.FS { return noSeekFS{f} },
	} {
		for _, bom := range []string{"", "\ufeff"} {
			set, err := source.Read(open(files("1_ports.sql", bom+"-- +goose Up\n"+large+"\n-- +goose Down\n"+large)), source.Options{})
			if err != nil {
				t.Fatal(err)
			}
			m, _ := set.Get(1)
			for _, h := range []struct {
				script *migration.Script
				line   int
			}{{m.Up, 2}, {m.Down, lines + 4}} {
				text, ok, err := h.script.Text(1 << 30)
				if want := strings.TrimSpace(large); !ok {
					t.Errorf("a section of %d bytes, checksum %s: ok = false, want true", len(text), h.script.Checksum)
				} else if err != nil {
					t.Errorf("a section of %d bytes, checksum %s: %v", len(text), h.script.Checksum, err)
				} else if text != want {
					t.Errorf("a section of %d bytes, checksum %s: text = %v, want %v", len(text), h.script.Checksum, text, want)
				} else if h.script.Checksum != migration.Sum(want) {
					t.Errorf("a section of %d bytes, checksum %s: h.script.Checksum = %v, want %v", len(text), h.script.Checksum, h.script.Checksum, migration.Sum(want))
				}
				if h.script.Line != h.line {
					t.Errorf("the section begins on line %d, want %d", h.script.Line, h.line)
				}
			}
		}
	}
	set, err := source.Read(files("1_ports.up.sql", "-- whimbrel: no-transaction\n"+large), source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if m, _ := set.Get(1); !m.Up.NoTransaction {
		t.Error("m.Up.NoTransaction = false, want true")
	} else if m.Up.Size < migration.KeepInMemory {
		t.Errorf("m.Up.Size = %v, want at least %v", m.Up.Size, migration.KeepInMemory)
	}
	_, err = source.Read(files("1_ports.up.sql", large+"-- whimbrel: empty"), source.Options{})
	if want := fmt.Sprintf("1_ports.up.sql:%d:1: directives must come before", lines+1); err == nil {
		t.Error("got no error")
	} else if !strings.HasPrefix(err.Error(), want) {
		t.Errorf("err.Error() = %q, want a text beginning with %q", err.Error(), want)
	}
}

// noSeekFS has files that can't seek, as a zip file's can't.
type noSeekFS struct{ fs.FS }

func (s noSeekFS) Open(name string) (fs.File, error) {
	f, err := s.FS.Open(name)
	if _, isDir := f.(fs.ReadDirFile); err != nil || isDir {
		return f, err
	}
	return slowFile{f, f}, nil
}

func TestReadNoticesThatALargeFileChanged(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("SELECT 1;\n", migration.KeepInMemory/5)
	folder := files("1_x.sql", "-- migrate:up\n"+large+"-- migrate:down\nSELECT 2;")
	set, err := source.Read(folder, source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	folder["1_x.sql"].Data = bytes.Replace(folder["1_x.sql"].Data, []byte("1;\nSELECT"), []byte("9;\nSELECT"), 1)
	m, _ := set.Get(1)
	if _, _, err := m.Up.Text(1 << 30); !errors.Is(err, migration.ErrChanged) {
		t.Errorf("got %v", err)
	}
}

// Text that is added after a section does not change the section's checksum.
func TestSectionsHaveChecksumsOfTheirOwn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ without, with string }{
		{"-- +goose Up\nSELECT 1;", "-- +goose Up\nSELECT 1;\n\n\n-- +goose Down\nSELECT 2;\n"},
		{"-- +goose Up\r\nSELECT 1;", "-- +goose Down\nSELECT 2;\n-- +goose Up\nSELECT 1;\n\t\n"},
		{"-- migrate:up\nSELECT 1;\n", "-- migrate:up\nSELECT 1;\n\n-- migrate:down\n"},
		{"SELECT 1;\n---- create above / drop below ----", "SELECT 1;\r\n\r\n---- create above / drop below ----\r\nSELECT 2;"},
	} {
		var sums []migration.Checksum
		for _, text := range []string{c.without, c.with} {
			set, err := source.Read(files("1_x.sql", text), source.Options{})
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			m, _ := set.Get(1)
			sums = append(sums, m.Up.Checksum)
		}
		if sums[0] != sums[1] {
			t.Errorf("%q and %q have different checksums", c.without, c.with)
		}
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	for _, format := range source.Formats() {
		if got, err := source.ParseFormat(strings.ToUpper(string(format))); got != format {
			t.Errorf("%s: got %v, want %v", format, got, format)
		} else if err != nil {
			t.Errorf("%s: %v", format, err)
		}
	}
	for _, name := range []string{"", "auto"} {
		if got, err := source.ParseFormat(name); got != source.Auto {
			t.Errorf("%q: got %v, want %v", name, got, source.Auto)
		} else if err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	_, err := source.ParseFormat("flywheel")
	if want := `unknown format "flywheel"; valid formats: auto, native, golang-migrate, goose, dbmate, tern, hasura, sql-migrate, flyway, sqlx, diesel, prisma, atlas, drizzle, sqitch, liquibase`; errorText(err) != want {
		t.Errorf("got %v", err)
	}
	if _, err := source.Read(fstest.MapFS{}, source.Options{Format: "flywheel"}); err == nil {
		t.Error("Read took an unknown format")
	}
}
