// Package hostile proves that Whimbrel's own queries don't execute objects created by other roles.
// It records the queries on the wire while Whimbrel runs everything it can, creates a hostile
// overload of every operator, function, type and relation in them, and runs everything again as a
// superuser.
package hostile

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// testTimeout bounds the waits; no test depends on the speed.
const testTimeout = 30 * time.Minute

func TestNothingThatOthersMakeRunsInOwnQueries(t *testing.T) {
	majors := testdb.PostgresMajors(t)
	oldest, newest := majors[0], majors[len(majors)-1]
	for _, m := range []testdb.Major{oldest, newest} {
		t.Run(fmt.Sprint(m.Major), func(t *testing.T) {
			t.Parallel()
			hostile := newHostileDatabase(t, m, ownStatements(t, m.New(t)))
			paths := []string{"public, pg_catalog"} // an equally good match is taken from public
			if m.Major == newest.Major {
				paths = append(paths, `"$user", public`)
			}
			for _, path := range paths {
				t.Run(path, func(t *testing.T) {
					t.Parallel()
					expectNothingRuns(t, copyWithPath(t, hostile, path))
				})
			}
			t.Run("without the pins", func(t *testing.T) {
				t.Parallel()
				expectHostileObjectsRun(t, copyWithPath(t, hostile, "public, pg_catalog"))
			})
		})
	}
}

// ownStatements returns the statements that Whimbrel sends itself. Each must see only pg_catalog,
// or look up nothing.
func ownStatements(t *testing.T, url string) []string {
	e := newListener()
	p := e.play(t, url)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	p.everything(ctx)
	e.report(t, p)
	const few = 150
	statements := e.list(e.own)
	if len(statements) < few {
		t.Errorf("heard only %d statements of Whimbrel's own", len(statements))
	}
	if t.Failed() {
		t.FailNow()
	}
	return statements
}

// newHostileDatabase returns a database with hostile objects. Creating them takes seconds, so each
// test gets a copy.
func newHostileDatabase(t *testing.T, m testdb.Major, statements []string) (url string) {
	url = m.New(t)
	plant(t, url, "mallory_"+strings.ToLower(rand.Text()), statements)
	return url
}

// copyWithPath returns a copy of a database, with a search path.
func copyWithPath(t *testing.T, hostile, path string) (url string) {
	url = testdb.Copy(t, hostile)
	exec(t, connect(t, url), fmt.Sprintf("ALTER DATABASE %q SET search_path = %s", nameOf(t, url), path))
	return url
}

// expectNothingRuns runs everything in a hostile database, and fails if a hostile object was
// executed.
func expectNothingRuns(t *testing.T, url string) {
	e := newListener()
	p := e.play(t, url)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	p.everything(ctx)
	e.report(t, p)
	for _, what := range e.list(e.executed) {
		t.Errorf("this ran as superuser: %s", what)
	}
}

// expectHostileObjectsRun proves that the hostile objects work: if a proxy removes the pinned
// search path, they are executed.
func expectHostileObjectsRun(t *testing.T, url string) {
	e := newListener()
	e.strip = true
	p := e.play(t, url)
	p.check("writing files", p.writeFiles())
	for _, args := range [][]string{{"up", "--to", "1"}, {"settings", "set", "migration_lock_timeout", "9s", "--reason", "test"}, {"verify", "--scratch", "auto"}} {
		p.command(nil, append(args, "--migration-lock-timeout", "0")...)
	}
	for _, kind := range []string{"operator ", "function ", "type "} {
		ran := slices.DeleteFunc(e.list(e.executed), func(what string) bool { return !strings.HasPrefix(what, kind) })
		if len(ran) == 0 {
			t.Errorf("no hostile %sran", kind)
		}
		t.Logf("what ran of each %s: %q", kind, ran)
	}
}

// play returns a play that the listener records.
func (e *listener) play(t *testing.T, url string) *play {
	return &play{T: t, url: testdb.NewTap(t, url, e.receive).URL, dir: t.TempDir(), database: nameOf(t, url)}
}

func (e *listener) report(t *testing.T, p *play) {
	for _, problem := range p.problems {
		t.Error(problem)
	}
	for _, unpinned := range e.list(e.unpinned) {
		t.Error(unpinned)
	}
}

func connect(t testing.TB, url string) *pgconn.PgConn {
	t.Helper()
	c, err := pgconn.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

// exec executes statements and returns the first value of the last answer.
func exec(t testing.TB, c *pgconn.PgConn, sql string) string {
	t.Helper()
	results, err := c.Exec(context.Background(), sql).ReadAll()
	if err != nil {
		t.Fatalf("%v\n%.300s", err, sql)
	}
	if last := results[len(results)-1]; len(last.Rows) > 0 {
		return string(last.Rows[0][0])
	}
	return ""
}
