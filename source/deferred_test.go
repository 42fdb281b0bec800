package source_test

import (
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// counted counts how often its files are opened and read.
type counted struct {
	fstest.MapFS
	mu            sync.Mutex
	opened, reads map[string]int
}

func count(files fstest.MapFS) *counted {
	return &counted{MapFS: files, opened: map[string]int{}, reads: map[string]int{}}
}

func (c *counted) Open(name string) (fs.File, error) {
	f, err := c.MapFS.Open(name)
	if err != nil || name == "." {
		return f, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened[name]++
	return countedFile{f, c, name}, nil
}

type countedFile struct {
	fs.File
	in   *counted
	name string
}

func (f countedFile) Read(p []byte) (int, error) {
	f.in.mu.Lock()
	f.in.reads[f.name]++
	f.in.mu.Unlock()
	return f.File.Read(p)
}

func text(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }

var threePairs = fstest.MapFS{
	"1_a.up.sql": text("CREATE TABLE a (x int);"), "1_a.down.sql": text("DROP TABLE a;"),
	"2_b.up.sql": text("CREATE TABLE b (x int);"), "2_b.down.sql": text("-- not written yet\n"),
	"3_c.up.sql": text("CREATE TABLE c (x int);"), "3_c.down.sql": text("-- whimbrel: lock-timeout 1s\nDROP TABLE c;"),
	"4_d.up.sql": text("CREATE TABLE d (x int);"),
}

// Each file is opened once, and read until it ends.
func TestReadOpensEachFileOnce(t *testing.T) {
	t.Parallel()
	files := count(threePairs)
	if _, err := source.Read(files, source.Options{}); err != nil {
		t.Fatal(err)
	}
	for name := range threePairs {
		if files.opened[name] != 1 {
			t.Errorf("%s was opened %d times, want once", name, files.opened[name])
		}
		if files.reads[name] > 2 {
			t.Errorf("%s was read %d times, want its text and its end", name, files.reads[name])
		}
	}
}

// A deferred down script is opened when it is needed, and not before.
func TestDeferredDownsAreReadOnRequest(t *testing.T) {
	t.Parallel()
	for _, format := range []source.Format{source.Auto, source.Native, source.GolangMigrate} {
		files := count(threePairs)
		opts := source.Options{Format: format, Dir: "m", Dialect: sqltext.PostgreSQL}
		whole, err := source.Read(threePairs, opts)
		if err != nil {
			t.Fatal(err)
		}
		opts.DeferDowns = true
		set, err := source.Read(files, opts)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]int{"1_a.up.sql": 1, "2_b.up.sql": 1, "3_c.up.sql": 1, "4_d.up.sql": 1}
		if diff := cmp.Diff(want, files.opened); diff != "" {
			t.Errorf("%s: opened at first (-want +got):\n%s", format, diff)
		}
		third, _ := set.Get(3)
		if _, _, err := third.Down.Text(100); err == nil {
			t.Errorf("%s: the text of an unread script is returned", format)
		}
		if _, err := third.Down.Analyze(sqltext.PostgreSQL, nil); err == nil {
			t.Errorf("%s: an unread script is analysed", format)
		}
		one, err := set.WithDowns(third.Down, nil)
		if err != nil {
			t.Fatal(err)
		}
		want["3_c.down.sql"] = 1
		if diff := cmp.Diff(want, files.opened); diff != "" {
			t.Errorf("%s: opened for one (-want +got):\n%s", format, diff)
		}
		if m, _ := one.Get(3); m.Down.LockTimeout == 0 || m.Down.Unread() {
			t.Errorf("%s: the script was not read: %+v", format, m.Down.Directives)
		}
		all, err := one.Complete()
		if err != nil {
			t.Fatal(err)
		}
		want["1_a.down.sql"], want["2_b.down.sql"] = 1, 1
		if diff := cmp.Diff(want, files.opened); diff != "" {
			t.Errorf("%s: opened for all (-want +got):\n%s", format, diff)
		}
		if diff := cmp.Diff(summaries(whole), summaries(all)); diff != "" {
			t.Errorf("%s: the sets differ (-whole +deferred):\n%s", format, diff)
		}
		if again, err := all.Complete(); err != nil || again != all {
			t.Errorf("%s: a complete set was read again (error %v)", format, err)
		}
	}
}

// summaries describes the migrations of a set.
func summaries(set *migration.Set) (all []string) {
	for _, m := range set.All() {
		for _, s := range []*migration.Script{m.Up, m.Down} {
			if s == nil {
				all = append(all, m.String()+" none")
				continue
			}
			all = append(all, m.String()+" "+s.File+" "+s.Checksum.String()+" "+s.Directives.String())
		}
	}
	return all
}

// Several goroutines can complete a set.
func TestDeferredDownsAreReadConcurrently(t *testing.T) {
	t.Parallel()
	set, err := source.Read(threePairs, source.Options{DeferDowns: true})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			all, err := set.Complete()
			if err != nil {
				t.Error(err)
				return
			}
			if m, _ := all.Get(1); m.Down.Unread() {
				t.Error("a script of a complete set is unread")
			}
		})
	}
	wg.Wait()
}

// The error of a deferred down script is that of reading the whole folder.
func TestProblemsOfDeferredDowns(t *testing.T) {
	t.Parallel()
	for what, bad := range map[string]string{
		"not UTF-8":          "DROP TABLE \xff;",
		"a NUL byte":         "DROP TABLE \x00;",
		"misspelt":           "-- whimbrl: no-transaction\nDROP TABLE c;",
		"unknown directive":  "-- whimbrel: nosuch\nDROP TABLE c;",
		"a squash":           "-- whimbrel: replaces 1 " + strings.Repeat("0", 64) + "\nDROP TABLE c;",
		"another tool's":     "-- +goose Down\nDROP TABLE c;",
		"many and at an end": "-- whimbrel: nosuch\n-- whimbrel: neither\nDROP TABLE c;\n-- whimbrel: empty",
	} {
		files := fstest.MapFS{}
		for name, f := range threePairs {
			files[name] = f
		}
		files["3_c.down.sql"], files["1_a.down.sql"] = text(bad), text("-- whimbrel: bad\nDROP TABLE a;")
		_, want := source.Read(files, source.Options{Dir: "m"})
		if want == nil {
			t.Errorf("%s: the folder is read without an error", what)
			continue
		}
		set, err := source.Read(files, source.Options{Dir: "m", DeferDowns: true})
		if err != nil {
			t.Errorf("%s: the ups are not read: %v", what, err)
			continue
		}
		m, _ := set.Get(3)
		if _, err := set.WithDowns(m.Down); err == nil || err.Error() != want.Error() {
			t.Errorf("%s: reading the script says\n%v\nwant\n%v", what, err, want)
		}
		second, _ := set.Get(2)
		if _, err := set.WithDowns(second.Down); err != nil {
			t.Errorf("%s: a script without a problem is not read: %v", what, err)
		}
		files["2_b.up.sql"] = text("-- whimbrel: bad too\nSELECT 1;")
		_, want = source.Read(files, source.Options{Dir: "m"})
		if _, err := source.Read(files, source.Options{Dir: "m", DeferDowns: true}); err == nil || err.Error() != want.Error() {
			t.Errorf("%s: with a bad up script, reading says\n%v\nwant\n%v", what, err, want)
		}
	}
}

// The names of deferred down scripts are checked at once.
func TestNamesOfDeferredDownsAreChecked(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"5_e.down.sql", "1_other.down.sql", "0001_a.down.sql", "1.a.down.sql"} {
		files := fstest.MapFS{name: text("DROP TABLE x;")}
		for n, f := range threePairs {
			files[n] = f
		}
		_, want := source.Read(files, source.Options{})
		_, err := source.Read(files, source.Options{DeferDowns: true})
		if err == nil || want == nil || err.Error() != want.Error() {
			t.Errorf("%s: reading says %v, want %v", name, err, want)
		}
	}
}

// A deferred down script that is gone is an error with its name.
func TestDeferredDownIsGone(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"1_a.up.sql": text("SELECT 1;"), "1_a.down.sql": text("SELECT 2;")}
	set, err := source.Read(files, source.Options{DeferDowns: true})
	if err != nil {
		t.Fatal(err)
	}
	delete(files, "1_a.down.sql")
	if _, err := set.Complete(); err == nil || !strings.Contains(err.Error(), "1_a.down.sql: can't be read") {
		t.Errorf("completing the set says %v", err)
	}
}

// Warnings about deferred down scripts come with their texts.
func TestWarningsOfDeferredDowns(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"1_a.up.sql": text("SELECT 1;"), "1_a.down.sql": text("-- no-transaction\nSELECT 2;")}
	whole, err := source.Read(files, source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	set, err := source.Read(files, source.Options{DeferDowns: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Warnings()) > 0 {
		t.Errorf("warnings of an unread file: %v", set.Warnings())
	}
	all, err := set.Complete()
	if err != nil {
		t.Fatal(err)
	}
	if len(whole.Warnings()) == 0 || !slices.Equal(all.Warnings(), whole.Warnings()) {
		t.Errorf("warnings: %v, want %v", all.Warnings(), whole.Warnings())
	}
}

// crowded notes how many of its files are open at a time.
type crowded struct {
	fstest.MapFS
	open, most atomic.Int32
}

func (c *crowded) Open(name string) (fs.File, error) {
	f, err := c.MapFS.Open(name)
	if err != nil || name == "." {
		return f, err
	}
	now := c.open.Add(1)
	for most := c.most.Load(); now > most && !c.most.CompareAndSwap(most, now); most = c.most.Load() {
	}
	for range 100 { // let others open theirs
		runtime.Gosched()
	}
	return crowdedFile{f, c}, nil
}

type crowdedFile struct {
	fs.File
	in *crowded
}

func (f crowdedFile) Close() error {
	f.in.open.Add(-1)
	return f.File.Close()
}

func TestReadLeavesAProcessorFree(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{}
	for i := range 200 {
		files[fmt.Sprintf("%03d_t.up.sql", i)] = text("SELECT 1;")
	}
	c := &crowded{MapFS: files}
	if _, err := source.Read(c, source.Options{}); err != nil {
		t.Fatal(err)
	}
	if most := max(1, runtime.GOMAXPROCS(0)-1); int(c.most.Load()) > most {
		t.Errorf("%d files were open at a time, want at most %d", c.most.Load(), most)
	}
}
