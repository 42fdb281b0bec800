package whimbrel_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// impossible are down scripts that can never run, and what is said of each.
var impossible = map[string]string{
	"DROP TABLE whimbrel_history":                        "1_m1.down.sql:1:1: the script uses whimbrel_history",
	"DROP TABLE \"t":                                     "1_m1.down.sql:1:12: the quoted name that begins here is not closed",
	"SET LOCAL a = 1; DROP INDEX CONCURRENTLY i; LOCK t": "1_m1.down.sql:1:1: SET LOCAL has no effect outside a transaction",
	"BEGIN; DROP TABLE t":                                "1_m1.down.sql:1:1: BEGIN begins a transaction that the script does not end",
	"DROP TABLE t; ROLLBACK":                             "1_m1.down.sql:1:15: ROLLBACK ends no transaction",
}

// What can never roll a migration back is reported when the migration is planned, applied and recorded, and keeps none of that from
// happening. Verify takes it for an error.
func TestDownScriptsThatCanNeverRun(t *testing.T) {
	t.Parallel()
	for down, want := range impossible {
		var said []string
		opts := whimbrel.Options{Observe: func(e whimbrel.Event) {
			if d, ok := e.(whimbrel.DownRefused); ok {
				said = append(said, fmt.Sprintf("%d: %v", d.Problem.Version, d.Problem.Err))
			}
		}}
		check := func(when, got string) {
			if !strings.HasPrefix(got, want) {
				t.Errorf("%s: %s: got %q, want %q", down, when, got, want)
			}
		}
		set := newSet(t, script{1, "CREATE TABLE t (x)", down}, script{2, "CREATE TABLE u (x)", "DROP TABLE u"})
		m := whimbrel.New(open(t, memdb.New()), set, opts)
		p, err := m.Plan(t.Context(), whimbrel.Latest())
		if err != nil || len(p.Downs) != 1 || p.Downs[0].Version != 1 {
			t.Fatalf("%s: got %+v, %v", down, p, err)
		}
		check("planned", p.Downs[0].Err.Error())
		if r, err := m.Apply(t.Context(), p, whimbrel.ApplyOptions{}); err != nil || len(r.Applied) != 2 || len(said) != 1 {
			t.Errorf("%s: applied %+v, %v, said %q", down, r, err, said)
		}
		check("applied", strings.TrimPrefix(said[0], "1: "))
		if err := m.Verify(t.Context()); err == nil {
			t.Errorf("%s: Verify returned no error", down)
		} else {
			check("verified", err.Error())
		}
		if _, err := m.Migrate(t.Context(), whimbrel.DownTo(whimbrel.NilVersion), whimbrel.ApplyOptions{}); err == nil {
			t.Errorf("%s: it was rolled back", down)
		} else {
			check("rolled back", err.Error())
		}

		said = nil
		m = whimbrel.New(open(t, memdb.New()), set, opts)
		if err := m.Mark(t.Context(), "it is there", 1, 2); err != nil || len(said) != 1 {
			t.Fatalf("%s: marked: %v, said %q", down, err, said)
		}
		check("marked", strings.TrimPrefix(said[0], "1: "))
	}
}

// With Atomic a rollback is one transaction, and so a down script that can't be in one is reported, too.
func TestDownScriptsThatCannotBeAtomic(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, "CREATE TABLE t (x)", "BEGIN; DROP TABLE t; COMMIT; SELECT 1"})
	for _, atomic := range []bool{false, true} {
		p, err := whimbrel.New(open(t, memdb.New()), set, whimbrel.Options{Atomic: atomic}).Plan(t.Context(), whimbrel.Latest())
		var refused *whimbrel.AtomicError
		if err != nil || (len(p.Downs) == 1 && errors.As(p.Downs[0].Err, &refused)) != atomic {
			t.Errorf("atomic %v: got %+v, %v", atomic, p, err)
		}
	}
}

// Verify reads all scripts that may still run, and reports all that is wrong with them.
func TestVerifyReadsAllScripts(t *testing.T) {
	t.Parallel()
	set := newSet(t,
		script{1, "CREATE TABLE t (x)", "DROP TABLE t; COMMIT"},
		script{2, "CREATE TABLE u (x); ROLLBACK", "DROP TABLE 'u"},
	)
	m := whimbrel.New(open(t, memdb.New()), set, whimbrel.Options{})
	err := m.Verify(t.Context())
	var all *whimbrel.ScriptsError
	var first *sqltext.Error
	if !errors.As(err, &all) || len(all.Problems) != 2 || !errors.As(err, &first) || first.Pos.String() != "2_m2.up.sql:1:21" {
		t.Errorf("got %v", err)
	}
}
