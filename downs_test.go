package whimbrel_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// impossible are down scripts that can never run, with the problem that is reported.
var impossible = map[string]string{
	"DROP TABLE whimbrel_history":                        "1_m1.down.sql:1:1: the script uses whimbrel_history",
	"DROP TABLE \"t":                                     "1_m1.down.sql:1:12: the quoted name that begins here is not closed",
	"SET LOCAL a = 1; DROP INDEX CONCURRENTLY i; LOCK t": "1_m1.down.sql:1:1: SET LOCAL has no effect outside a transaction",
	"BEGIN; DROP TABLE t":                                "1_m1.down.sql:1:1: BEGIN begins a transaction that the script does not end",
	"DROP TABLE t; ROLLBACK":                             "1_m1.down.sql:1:15: ROLLBACK ends no transaction",
}

// A down script that can never run is reported when its migration is planned, applied and marked,
// but does not prevent any of these. For Verify it is an error.
func TestDownScriptsThatCanNeverRun(t *testing.T) {
	t.Parallel()
	for down, want := range impossible {
		t.Run(down, func(t *testing.T) {
			var reported []string
			opts := whimbrel.Options{Observe: func(_ context.Context, e whimbrel.Event) {
				if d, ok := e.(whimbrel.DownRefused); ok {
					reported = append(reported, fmt.Sprintf("%d: %v", d.Problem.Version, d.Problem.Err))
				}
			}}
			wantReported := func(when string) {
				t.Helper()
				if len(reported) != 1 {
					t.Fatalf("%s: reported %q, want one problem", when, reported)
				}
				wantText(t, when+": the problem", reported[0], "1: "+want)
				reported = nil
			}
			set := newSet(t, script{1, "CREATE TABLE t (x)", down}, script{2, "CREATE TABLE u (x)", "DROP TABLE u"})
			m := whimbrel.New(open(t, memdb.New()), set, opts)
			p := mustPlan(t, m, whimbrel.Latest())
			if len(p.Downs) != 1 {
				t.Fatalf("the plan has the problems %+v, want one", p.Downs)
			}
			wantEqual(t, "version of the problem", p.Downs[0].Version, 1)
			wantErrorText(t, p.Downs[0].Err, want)
			r, err := m.Apply(t.Context(), p, whimbrel.ApplyOptions{})
			noError(t, err)
			wantApplied(t, r, 1, 2)
			wantReported("applied")
			wantErrorText(t, m.Verify(t.Context()), want)
			wantErrorText(t, tryMigrate(t, m, whimbrel.DownTo(whimbrel.NilVersion)), want)

			reported = nil
			m = whimbrel.New(open(t, memdb.New()), set, opts)
			noError(t, m.Mark(t.Context(), "it exists", 1, 2))
			wantReported("marked")
		})
	}
}

// With Atomic a rollback is one transaction, so a down script that can't be in one is reported too.
func TestDownScriptsThatCannotBeAtomic(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, "CREATE TABLE t (x)", "BEGIN; DROP TABLE t; COMMIT; SELECT 1"})
	atomicAndNot(t, func(t *testing.T, opts whimbrel.Options) {
		p := mustPlan(t, whimbrel.New(open(t, memdb.New()), set, opts), whimbrel.Latest())
		if !opts.Atomic {
			wantEqual(t, "number of problems", len(p.Downs), 0)
			return
		}
		if len(p.Downs) != 1 {
			t.Fatalf("the plan has the problems %+v, want one", p.Downs)
		}
		wantError[*whimbrel.AtomicError](t, p.Downs[0].Err)
	})
}

// Verify reads all scripts that may still run, and reports everything that is wrong with them.
func TestVerifyReadsAllScripts(t *testing.T) {
	t.Parallel()
	set := newSet(t,
		script{1, "CREATE TABLE t (x)", "DROP TABLE t; COMMIT"},
		script{2, "CREATE TABLE u (x); ROLLBACK", "DROP TABLE 'u"},
	)
	err := migrator(t, memdb.New(), set).Verify(t.Context())
	wantEqual(t, "number of problems", len(wantError[*whimbrel.ScriptsError](t, err).Problems), 2)
	wantEqual(t, "first position", wantError[*sqltext.Error](t, err).Pos.String(), "2_m2.up.sql:1:21")
}

// The problems of many down scripts come in the order of the versions, and those of up scripts
// before them.
func TestManyDownScriptsThatCanNeverRun(t *testing.T) {
	t.Parallel()
	var scripts []script
	var want []int64
	for v := range int64(60) {
		down := "DROP TABLE t"
		if v%3 == 0 {
			down = "DROP TABLE whimbrel_history"
			want = append(want, v+1)
		}
		scripts = append(scripts, script{v + 1, "CREATE TABLE t (x)", down})
	}
	p := mustPlan(t, whimbrel.New(open(t, memdb.New()), newSet(t, scripts...), whimbrel.Options{}), whimbrel.Latest())
	var got []int64
	for _, d := range p.Downs {
		got = append(got, d.Version)
	}
	wantEqual(t, "the versions with problems", got, want)

	scripts[40].up = "CREATE TABLE whimbrel_history (x)"
	_, err := whimbrel.New(open(t, memdb.New()), newSet(t, scripts...), whimbrel.Options{}).Plan(t.Context(), whimbrel.Latest())
	wantErrorText(t, err, "41_m41.up.sql:1:1: the script uses whimbrel_history")
}
