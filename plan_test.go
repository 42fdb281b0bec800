package whimbrel_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

func TestUnits(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		up     string
		kind   whimbrel.UnitKind
		why    string // of a run
		unwrap bool
		refuse string // the whole error
	}{
		{name: "an ordinary script", up: "CREATE TABLE t (x)", kind: whimbrel.BatchUnit},
		{name: "a wrapped script", up: "BEGIN;\nCREATE TABLE t (x);\nCOMMIT;", kind: whimbrel.BatchUnit, unwrap: true},
		{
			name: "what cannot be in a transaction", up: "CREATE TABLE t (x);\nCREATE INDEX CONCURRENTLY i ON t (x);", kind: whimbrel.RunUnit,
			why: "1_m1.up.sql:2:1: CREATE INDEX CONCURRENTLY can't be in a transaction",
		},
		{
			name: "a new enum value that is used", up: "ALTER TYPE mood ADD VALUE 'odd';\nINSERT INTO t VALUES ('odd');", kind: whimbrel.RunUnit,
			why: "1_m1.up.sql:2:1: a new enum value can't be used before it is committed",
		},
		{name: "a new enum value that is not used", up: "ALTER TYPE mood ADD VALUE 'odd'; INSERT INTO t VALUES ('even')", kind: whimbrel.BatchUnit},
		{
			name: "transaction control inside", up: "CREATE TABLE t (x);\nCOMMIT;\nCREATE TABLE u (x)",
			refuse: "1_m1.up.sql:2:1: COMMIT inside a script that runs in a transaction of Whimbrel's; take it out, put BEGIN and COMMIT around the whole file, or ask for no transaction (-- whimbrel: no-transaction)",
		},
		{
			name: "a wrapper that is not the whole", up: "BEGIN; CREATE TABLE t (x); COMMIT; CREATE TABLE u (x)",
			refuse: "1_m1.up.sql:1:1: BEGIN inside a script that runs in a transaction of Whimbrel's; take it out, put BEGIN and COMMIT around the whole file, or ask for no transaction (-- whimbrel: no-transaction)",
		},
		{
			name: "a wrapper with a mode", up: "BEGIN ISOLATION LEVEL SERIALIZABLE; CREATE TABLE t (x); COMMIT",
			refuse: "1_m1.up.sql:1:1: BEGIN ISOLATION LEVEL asks for another kind of transaction than Whimbrel's, which takes its place; take the mode out, or ask for no transaction (-- whimbrel: no-transaction)",
		},
		{
			name: "transaction control is shown as it is written", up: "Savepoint \"My\"; CREATE TABLE t (x)",
			refuse: "1_m1.up.sql:1:1: Savepoint \"My\" inside a script that runs in a transaction of Whimbrel's; ",
		},
		{
			name: "its own transaction around what cannot be in one", up: "BEGIN;\nCREATE TABLE t (x);\nVACUUM;\nCOMMIT;",
			refuse: "1_m1.up.sql:3:1: VACUUM can't be in a transaction, and the script begins one before it; take that BEGIN out, or put the COMMIT before this statement",
		},
		{
			name: "its own transaction, which it leaves open", up: "CREATE TABLE t (x);\nVACUUM;\nBEGIN;\nINSERT INTO t VALUES (1);",
			refuse: "1_m1.up.sql:3:1: BEGIN begins a transaction that the script does not end; its COMMIT is missing",
		},
		{
			name: "Whimbrel's own table", up: "-- ours\nDELETE FROM \"whimbrel_history\"",
			refuse: "1_m1.up.sql:2:1: the script touches whimbrel_history, which is Whimbrel's own table; leave it to Whimbrel",
		},
		{name: "an open quote", up: "INSERT INTO t VALUES ('x);", refuse: "1_m1.up.sql:1:23"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			target := memdb.New()
			m := whimbrel.New(open(t, target), newSet(t, script{1, tt.up, "-"}), whimbrel.Options{})
			p, err := m.Plan(t.Context(), whimbrel.Latest())
			if tt.refuse != "" {
				var at *sqltext.Error
				if !errors.As(err, &at) || !strings.HasPrefix(err.Error(), tt.refuse) {
					t.Errorf("got  %v\nwant %v", err, tt.refuse)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			u := p.Units[0]
			if u.Kind != tt.kind || u.Why != tt.why || u.Steps[0].Unwrapped != tt.unwrap {
				t.Errorf("got %s (%s), unwrapped %v", u.Kind, u.Why, u.Steps[0].Unwrapped)
			}
		})
	}
}

func TestAtomicRefusesWhatCannotShareATransaction(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]string{
		"2_m2.up.sql:1:1: CREATE INDEX CONCURRENTLY can't be in a transaction":                               "CREATE INDEX CONCURRENTLY i ON t1 (x)",
		"2_m2.up.sql:1:1: an enum value that an earlier migration adds can't be used before it is committed": "INSERT INTO t1 VALUES ('odd')",
	} {
		target := memdb.New()
		set := newSet(t, script{1, "ALTER TYPE mood ADD VALUE 'odd'", "-"}, script{2, second, "-"})
		_, err := whimbrel.New(open(t, target), set, whimbrel.Options{Atomic: true}).Up(t.Context())
		var atomic *whimbrel.AtomicError
		if !errors.As(err, &atomic) || atomic.Why != name {
			t.Errorf("got %v, want an *AtomicError: %s", err, name)
		}
		if own, _ := target.OwnTables(t.Context()); len(own) > 0 {
			t.Errorf("it wrote something before it refused: %v", own)
		}
	}
}
