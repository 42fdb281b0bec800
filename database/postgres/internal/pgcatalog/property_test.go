package pgcatalog_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// TestMain reduces rapid's default of 100 checks, since each takes several snapshots.
// -rapid.checks=1000 runs more.
func TestMain(m *testing.M) {
	checks := flag.Lookup("rapid.checks")
	usual := checks.Value.String()
	flag.Parse()
	if checks.Value.String() == usual {
		if err := checks.Value.Set("8"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// oldestAndNewest returns the oldest and the newest server, or the only one.
func oldestAndNewest(t *testing.T) []testdb.Major {
	t.Helper()
	majors := testdb.PostgresMajors(t)
	if len(majors) < 2 {
		return majors
	}
	return []testdb.Major{majors[0], majors[len(majors)-1]}
}

// TestCompareNamesExactlyWhatChanged creates each thing and applies each of its changes separately,
// alternating between the oldest and the newest server.
func TestCompareNamesExactlyWhatChanged(t *testing.T) {
	majors := oldestAndNewest(t)
	for turn, major := range majors {
		t.Run(fmt.Sprint(major.Major), func(t *testing.T) {
			t.Parallel()
			conn := connect(t, major.New(t))
			mustExec(t, conn, `BEGIN; CREATE SCHEMA "a Schema"`)
			m := &maker{major: major.Major, schema: "a Schema", choose: inTurn()}
			var things []thing
			for _, make := range m.things() {
				things = append(things, make())
				mustExec(t, conn, things[len(things)-1].create)
			}
			before := snapshotIn(t, conn, catalog.Options{})
			for _, thing := range things {
				for i, c := range thing.changes {
					if i%len(majors) != turn {
						continue
					}
					mustExec(t, conn, "SAVEPOINT change")
					exactly(t, conn, before, c)
					mustExec(t, conn, "ROLLBACK TO change")
				}
			}
		})
	}
}

// inTurn chooses one after another.
func inTurn() func(string, int) int {
	next := map[string]int{}
	return func(what string, n int) int {
		next[what]++
		return (next[what] - 1) % n
	}
}

// exactly fails unless a change yields exactly its differences.
func exactly(t failer, conn *pgx.Conn, before *catalog.Snapshot, c change) {
	t.Helper()
	mustExec(t, conn, c.sql)
	after := snapshotIn(t, conn, catalog.Options{})
	var got []string
	for _, d := range catalog.Compare(before, after) {
		id := string(d.Kind) + " " + d.Name
		if d.Change == catalog.Changed {
			got = append(got, id+": "+d.Detail)
		} else {
			got = append(got, id+" "+d.Change)
		}
	}
	want := slices.Sorted(slices.Values(c.want))
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("%s\n got %s\nwant %s", c.sql, strings.Join(got, ", "), strings.Join(want, ", "))
	}
	if (before.Fingerprint() == after.Fingerprint()) != (len(want) == 0) {
		t.Errorf("%s\nthe fingerprint is wrong", c.sql)
	}
}

// The snapshot of a random schema rebuilds it, and in the rebuilt schema, too, Compare finds
// exactly the differences of a change.
func TestRandomSchemas(t *testing.T) {
	for _, major := range oldestAndNewest(t) {
		t.Run(fmt.Sprint(major.Major), func(t *testing.T) {
			t.Parallel()
			conn := connect(t, major.New(t))
			rapid.Check(t, func(t *rapid.T) {
				mustExec(t, conn, "BEGIN")
				defer func() { conn.PgConn().Exec(context.Background(), "ROLLBACK").ReadAll() }()
				script, changes := randomSchema(t, major.Major)
				mustExec(t, conn, "SAVEPOINT empty")
				mustExec(t, conn, script)
				want := snapshotIn(t, conn, catalog.Options{})
				mustExec(t, conn, "ROLLBACK TO empty")
				mustExec(t, conn, want.Text())
				got := snapshotIn(t, conn, catalog.Options{})
				same(t, want, got)
				for range 2 {
					mustExec(t, conn, "SAVEPOINT change")
					exactly(t, conn, got, rapid.SampledFrom(changes).Draw(t, "change"))
					mustExec(t, conn, "ROLLBACK TO change")
				}
			})
		})
	}
}

// randomSchema returns a script that creates random things in random schemas.
func randomSchema(t *rapid.T, major int) (script string, changes []change) {
	m := &maker{major: major, choose: func(what string, n int) int { return rapid.IntRange(0, n-1).Draw(t, what) }}
	var all strings.Builder
	for range 1 + m.choose("schemas", 2) {
		m.schema = m.name("schema")
		all.WriteString("CREATE SCHEMA " + q(m.schema) + ";\n")
		for range 1 + m.choose("things", 4) {
			thing := rapid.SampledFrom(m.things()).Draw(t, "thing")()
			all.WriteString(thing.create + ";\n")
			changes = append(changes, thing.changes...)
		}
	}
	return all.String(), changes
}
