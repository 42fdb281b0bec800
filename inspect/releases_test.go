package inspect_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// rewritten is DDL whose definition two minor releases of PostgreSQL 15 write differently: the
// newer one puts an AS before the alias.
const rewritten = `
	CREATE TABLE t (a integer, b text);
	CREATE VIEW v AS SELECT a, extract(year FROM now()) AS y FROM t;
	CREATE RULE r AS ON DELETE TO v DO INSTEAD DELETE FROM t AS "using" WHERE "using".a = old.a`

// TestDriftAcrossReleases: the database and the scratch database are on servers of two minor
// releases.
func TestDriftAcrossReleases(t *testing.T) {
	t.Parallel()
	older, newer := testdb.PostgresReleases(t)
	tests := []struct {
		name       string
		target     testdb.Major
		scratch    testdb.Major
		afterwards string
		want       []string
	}{
		{"a newer database", newer, older, "", nil},
		{"an older database", older, newer, "", nil},
		{"a column more", newer, older, "ALTER TABLE t ADD COLUMN c integer", []string{"column public.t.c added"}},
		{
			"another rule", older, newer, `CREATE OR REPLACE RULE r AS ON DELETE TO v DO INSTEAD DELETE FROM t AS "using" WHERE "using".a < old.a`,
			[]string{`rule public.v.r: definition CREATE RULE r AS
    ON DELETE TO public.v DO INSTEAD  DELETE FROM public.t AS "using"
  WHERE ("using".a = old.a) → CREATE RULE r AS
    ON DELETE TO public.v DO INSTEAD  DELETE FROM public.t AS "using"
  WHERE ("using".a < old.a)`},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db, beside := open(t, tt.target.New(t)), open(t, tt.scratch.New(t))
			m := whimbrel.New(db, setOf(t, step{rewritten, "-"}), whimbrel.Options{})
			if _, err := m.Up(t.Context()); err != nil {
				t.Fatal(err)
			}
			if tt.afterwards != "" {
				byHand(t, db, tt.afterwards)
			}
			changes, err := inspect.Drift(t.Context(), db, inspect.Beside(beside), nil)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range changes {
				got = append(got, c.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("drift (-want +got):\n%s", diff)
			}
		})
	}
}

// TestReleasesDiffer: without this difference, the test above proves nothing.
func TestReleasesDiffer(t *testing.T) {
	t.Parallel()
	older, newer := testdb.PostgresReleases(t)
	var snapshots []*catalog.Snapshot
	for _, m := range []testdb.Major{older, newer} {
		db := open(t, m.New(t))
		byHand(t, db, rewritten)
		s, err := database.Snapshot(t.Context(), db, catalog.Options{})
		if err != nil {
			t.Fatal(err)
		}
		snapshots = append(snapshots, s)
	}
	if snapshots[0].Server == snapshots[1].Server {
		t.Errorf("both servers are %s", snapshots[0].Server)
	}
	if len(catalog.Compare(snapshots[0], snapshots[1])) == 0 {
		t.Errorf("%s and %s write this alike: find DDL that they write differently", snapshots[0].Server, snapshots[1].Server)
	}
}
