package whimbrel_test

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/source"
)

// openedFiles notes which of its files are opened.
type openedFiles struct {
	fstest.MapFS
	mu  sync.Mutex
	all map[string]int
}

func (o *openedFiles) Open(name string) (fs.File, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if name != "." {
		o.all[name]++
	}
	return o.MapFS.Open(name)
}

// take returns the names of the files that were opened once since the last call, and reports those
// that were opened again.
func (o *openedFiles) take(t *testing.T) []string {
	t.Helper()
	for name, n := range o.all {
		if n > 1 {
			t.Errorf("%s was opened %d times", name, n)
		}
	}
	names := slices.Sorted(maps.Keys(o.all))
	o.all = map[string]int{}
	return names
}

// states counts the calls of State, and may make them fail.
type states struct {
	*memdb.Database
	calls int
	err   error
}

func (s *states) State(ctx context.Context, set string) (*database.State, error) {
	s.calls++
	if s.err != nil {
		return nil, s.err
	}
	return s.Database.State(ctx, set)
}

func mapFile(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

// A check opens the up scripts, each once, and no down script. A plan opens the down scripts that
// it records or executes.
func TestUpOpensOnlyTheFilesThatItNeeds(t *testing.T) {
	t.Parallel()
	files := &openedFiles{all: map[string]int{}, MapFS: fstest.MapFS{
		"1_a.up.sql": mapFile("CREATE TABLE a (x)"), "1_a.down.sql": mapFile("DROP TABLE a"),
		"2_b.up.sql": mapFile("CREATE TABLE b (x)"), "2_b.down.sql": mapFile("DROP TABLE b"),
	}}
	db := &states{Database: open(t, memdb.New())}
	up := func(want ...string) {
		t.Helper()
		db.calls = 0
		_, err := whimbrel.Up(t.Context(), db, files)
		noError(t, err)
		if diff := cmp.Diff(want, files.take(t)); diff != "" {
			t.Errorf("opened (-want +got):\n%s", diff)
		}
		if db.calls != 1 {
			t.Errorf("the state was read %d times, want once", db.calls)
		}
	}
	up("1_a.down.sql", "1_a.up.sql", "2_b.down.sql", "2_b.up.sql")
	up("1_a.up.sql", "2_b.up.sql")
	files.MapFS["3_c.up.sql"], files.MapFS["3_c.down.sql"] = mapFile("CREATE TABLE c (x)"), mapFile("DROP TABLE c")
	up("1_a.up.sql", "2_b.up.sql", "3_c.down.sql", "3_c.up.sql")

	set, err := source.Read(files, source.Options{DeferDowns: true})
	noError(t, err)
	files.take(t)
	m := whimbrel.New(db, set, whimbrel.Options{})
	_, err = m.Migrate(t.Context(), whimbrel.By(-1), whimbrel.ApplyOptions{})
	noError(t, err)
	if diff := cmp.Diff([]string{"3_c.down.sql"}, files.take(t)); diff != "" {
		t.Errorf("opened to roll back (-want +got):\n%s", diff)
	}
	_, err = m.Status(t.Context())
	noError(t, err)
	if got := files.take(t); len(got) > 0 {
		t.Errorf("opened for the status: %v", got)
	}
	noError(t, m.Verify(t.Context()))
	if diff := cmp.Diff([]string{"1_a.down.sql", "2_b.down.sql", "3_c.down.sql"}, files.take(t)); diff != "" {
		t.Errorf("opened to verify (-want +got):\n%s", diff)
	}
	noError(t, m.Mark(t.Context(), "it exists", 3))
	for e, err := range m.History(t.Context(), database.HistoryQuery{Texts: true, Newest: true}) {
		noError(t, err)
		if e.DownText != "DROP TABLE c" {
			t.Errorf("the history has the down script %q of a mark", e.DownText)
		}
		break
	}
}

// A down script that turns out to have no statement does not count, as if it had been read at
// first.
func TestAnEmptyDeferredDownRollsNothingBack(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{
		"1_a.up.sql": mapFile("CREATE TABLE a (x)"), "1_a.down.sql": mapFile("-- later"),
	}
	for _, deferred := range []bool{false, true} {
		set, err := source.Read(files, source.Options{DeferDowns: deferred})
		noError(t, err)
		m := whimbrel.New(open(t, memdb.New()), set, whimbrel.Options{})
		_, err = m.Up(t.Context())
		noError(t, err)
		_, err = m.Plan(t.Context(), whimbrel.By(-1))
		if irreversible := (*whimbrel.IrreversibleError)(nil); !errors.As(err, &irreversible) {
			t.Errorf("deferred %v: planning a rollback says %v, want an *IrreversibleError", deferred, err)
		}
	}
}

// An up with a pending migration reports what is wrong with its down script, before anything runs.
func TestAProblemOfAPendingDownScript(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	files := fstest.MapFS{
		"1_a.up.sql": mapFile("CREATE TABLE a (x)"), "1_a.down.sql": mapFile("-- whimbrel: nosuch\nDROP TABLE a"),
	}
	_, err := whimbrel.Up(t.Context(), open(t, target), files)
	if folder := (*source.FolderError)(nil); !errors.As(err, &folder) {
		t.Errorf("up says %v, want a *source.FolderError", err)
	}
	wantTables(t, target)
}

// The folder's error comes before the database's, and nothing is left running.
func TestUpReportsTheFolderFirst(t *testing.T) {
	t.Parallel()
	down := errors.New("the server is down")
	db := &states{Database: open(t, memdb.New()), err: down}
	for range 20 {
		_, err := whimbrel.Up(t.Context(), db, fstest.MapFS{"1_a.sideways.sql": mapFile("SELECT 1")})
		if folder := (*source.FolderError)(nil); !errors.As(err, &folder) {
			t.Fatalf("up says %v, want a *source.FolderError", err)
		}
	}
	if _, err := whimbrel.Up(t.Context(), db, fstest.MapFS{"1_a.up.sql": mapFile("SELECT 1")}); !errors.Is(err, down) {
		t.Errorf("up says %v, want %v", err, down)
	}
	if stack := goroutine("readAhead"); stack != "" {
		t.Errorf("a goroutine is left:\n%s", stack)
	}
}

// goroutine returns the stacks if one contains a word. It gives goroutines time to end.
func goroutine(word string) string {
	buf := make([]byte, 1<<20)
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		stacks := string(buf[:runtime.Stack(buf, true)])
		if !strings.Contains(stacks, word) {
			return ""
		}
	}
	return string(buf)
}

// PlanFrom and StatusFrom ask the database for nothing.
func TestPlanFromAState(t *testing.T) {
	t.Parallel()
	db := &states{Database: open(t, memdb.New())}
	m := whimbrel.New(db, newSet(t, plain(2)...), whimbrel.Options{})
	st, err := db.State(t.Context(), "shop")
	noError(t, err)
	p, err := m.PlanFrom(t.Context(), st, whimbrel.Latest())
	noError(t, err)
	s, err := m.StatusFrom(st, nil)
	noError(t, err)
	if len(p.Steps) != 2 || len(s.PendingVersions()) != 2 {
		t.Errorf("%d steps and %d pending versions, want 2 and 2", len(p.Steps), len(s.PendingVersions()))
	}
	if db.calls != 1 {
		t.Errorf("the state was read %d times, want once", db.calls)
	}
	_, err = m.PlanFrom(t.Context(), nil, whimbrel.Latest())
	wantErrorText(t, err, "the state is nil")
	_, err = m.StatusFrom(nil, nil)
	wantErrorText(t, err, "the state is nil")
	_, err = (*whimbrel.Migrator)(nil).PlanFrom(t.Context(), st, whimbrel.Latest())
	wantErrorText(t, err, "whimbrel.New")
}
