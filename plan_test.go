package whimbrel_test

import (
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

func TestModes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		up     string
		mode   whimbrel.Mode
		why    string // of a script that runs outside a transaction
		unwrap bool
		refuse string // the whole error
	}{
		{name: "an ordinary script", up: "CREATE TABLE t (x)", mode: whimbrel.InTransaction},
		{name: "a wrapped script", up: "BEGIN;\nCREATE TABLE t (x);\nCOMMIT;", mode: whimbrel.InTransaction, unwrap: true},
		{
			name: "what cannot be in a transaction", up: "CREATE TABLE t (x);\nCREATE INDEX CONCURRENTLY i ON t (x);", mode: whimbrel.OutsideTransaction,
			why: "1_m1.up.sql:2:1: CREATE INDEX CONCURRENTLY can't be in a transaction",
		},
		{
			name: "a new enum value that is used", up: "ALTER TYPE mood ADD VALUE 'odd';\nINSERT INTO t VALUES ('odd');", mode: whimbrel.OutsideTransaction,
			why: "1_m1.up.sql:2:1: a new enum value can't be used before it is committed",
		},
		{name: "a new enum value that is not used", up: "ALTER TYPE mood ADD VALUE 'odd'; INSERT INTO t VALUES ('even')", mode: whimbrel.InTransaction},
		{
			name: "transaction control inside", up: "CREATE TABLE t (x);\nCOMMIT;\nCREATE TABLE u (x)", mode: whimbrel.OutsideTransaction,
			why: "1_m1.up.sql:2:1: the script has its own transactions",
		},
		{
			name: "a wrapper that is not the whole", up: "BEGIN; CREATE TABLE t (x); COMMIT; CREATE TABLE u (x)", mode: whimbrel.OutsideTransaction,
			why: "1_m1.up.sql:1:1: the script has its own transactions",
		},
		{
			name: "a wrapper with a mode", up: "BEGIN ISOLATION LEVEL SERIALIZABLE; CREATE TABLE t (x); COMMIT", mode: whimbrel.OutsideTransaction,
			why: "1_m1.up.sql:1:1: BEGIN ISOLATION LEVEL sets a kind of transaction that differs from Whimbrel's",
		},
		{
			name: "SET TRANSACTION in a wrapper", up: "BEGIN;\nSET TRANSACTION ISOLATION LEVEL SERIALIZABLE; CREATE TABLE t (x); COMMIT", mode: whimbrel.OutsideTransaction,
			why: "1_m1.up.sql:2:1: SET TRANSACTION ISOLATION sets a kind of transaction that differs from Whimbrel's",
		},
		{
			name: "SET SESSION CHARACTERISTICS", up: "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY; SELECT 1", mode: whimbrel.OutsideTransaction,
			why: "1_m1.up.sql:1:1: SET SESSION CHARACTERISTICS sets a kind of transaction that differs from Whimbrel's",
		},
		{name: "savepoints", up: "SAVEPOINT a; CREATE TABLE t (x); RELEASE a", mode: whimbrel.InTransaction},
		{name: "what a transaction is needed for", up: "SET LOCAL a = 1; SELECT 1 FROM t FOR UPDATE", mode: whimbrel.InTransaction},
		{
			name: "what a transaction is needed for, in a run", up: "SET LOCAL a = 1;\nDROP INDEX CONCURRENTLY i;",
			refuse: "1_m1.up.sql:1:1: SET LOCAL has no effect outside a transaction, and this script runs outside a transaction (1_m1.up.sql:2:1: DROP INDEX CONCURRENTLY can't be in a transaction); put BEGIN before it and COMMIT after the last statement that needs it",
		},
		{
			name: "a savepoint in a run", up: "-- whimbrel: no-transaction\nVACUUM; Savepoint \"My\"",
			refuse: "1_m1.up.sql:2:9: Savepoint \"My\" needs a transaction, but this script runs outside a transaction (1_m1.up.sql:2:1: VACUUM can't be in a transaction); put BEGIN",
		},
		{
			name: "ROLLBACK without BEGIN", up: "SELECT 1;\nROLLBACK;",
			refuse: "1_m1.up.sql:2:1: ROLLBACK ends no transaction of the script; put BEGIN before the statements to roll back, or remove it",
		},
		{
			name: "a chain without BEGIN", up: "SELECT 1;\nCOMMIT AND CHAIN;",
			refuse: "1_m1.up.sql:2:1: COMMIT AND CHAIN ends no transaction of the script; replace it with BEGIN",
		},
		{
			name: "SET TRANSACTION without BEGIN", up: "SET TRANSACTION READ ONLY; SELECT 1;",
			refuse: "1_m1.up.sql:1:1: SET TRANSACTION has no effect outside a transaction, and this script runs outside a transaction",
		},
		{
			name: "PREPARE TRANSACTION", up: "BEGIN; SELECT 1; PREPARE TRANSACTION 'a'",
			refuse: "1_m1.up.sql:1:18: PREPARE TRANSACTION 'a' detaches the transaction from the session, so an interrupted script could not resume; end the transaction with COMMIT",
		},
		{
			name: "its own transaction around what cannot be in one", up: "BEGIN;\nCREATE TABLE t (x);\nVACUUM;\nCOMMIT;",
			refuse: "1_m1.up.sql:3:1: VACUUM can't be in a transaction, and the script begins one before it; remove that BEGIN, or put the COMMIT before this statement",
		},
		{
			name: "its own transaction, which it leaves open", up: "CREATE TABLE t (x);\nVACUUM;\nBEGIN;\nINSERT INTO t VALUES (1);",
			refuse: "1_m1.up.sql:3:1: BEGIN begins a transaction that the script does not end; add a COMMIT",
		},
		{
			name: "Whimbrel's own table", up: "-- ours\nDELETE FROM \"whimbrel_history\"",
			refuse: "1_m1.up.sql:2:1: the script uses whimbrel_history, which is one of Whimbrel's own tables",
		},
		{name: "an open quote", up: "INSERT INTO t VALUES ('x);", refuse: "1_m1.up.sql:1:23"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := migrator(t, memdb.New(), newSet(t, script{1, tt.up, "-"}))
			if tt.refuse != "" {
				_, err := m.Plan(t.Context(), whimbrel.Latest())
				wantError[*sqltext.Error](t, err)
				wantErrorText(t, err, tt.refuse)
				return
			}
			s := mustPlan(t, m, whimbrel.Latest()).Steps[0]
			wantEqual(t, "mode", s.Mode, tt.mode)
			wantEqual(t, "reason", s.Why, tt.why)
			wantEqual(t, "whether BEGIN and COMMIT are removed", s.Unwrapped, tt.unwrap)
		})
	}
}

// PostgreSQL 17 and later take a new value at once if the type was created in the same transaction.
func TestNewEnumValuesByVersion(t *testing.T) {
	t.Parallel()
	const made, added, used = "CREATE TYPE m AS ENUM ('a');", "ALTER TYPE m ADD VALUE 'b';", "INSERT INTO t VALUES ('b');"
	for _, tt := range []struct {
		ups            []string
		old, now, both string // the plan before and since version 17, and with Atomic since then
	}{
		{[]string{made + added + used}, "outside", "in", "in"},
		{[]string{added + used}, "outside", "outside", "refused"},
		{[]string{made, added + used}, "in outside", "in outside", "in in"},
		{[]string{made + added, used}, "in in", "in in", "in in"},
		{[]string{added, used}, "in in", "in in", "refused"},
		{[]string{"BEGIN;" + made + added + used + "COMMIT;"}, "refused", "in", "in"},
		{[]string{"BEGIN;" + added + used + "COMMIT;"}, "refused", "refused", "refused"},
		{[]string{"BEGIN;" + added + "COMMIT;" + used}, "outside", "outside", "refused"},
	} {
		for _, c := range []struct {
			major  int
			atomic bool
			want   string
		}{{0, false, tt.old}, {16, false, tt.old}, {17, false, tt.now}, {18, true, tt.both}} {
			target := memdb.New()
			target.Version(c.major)
			var scripts []script
			for i, up := range tt.ups {
				scripts = append(scripts, script{int64(i + 1), up, "-"})
			}
			p, err := whimbrel.New(open(t, target), newSet(t, scripts...), whimbrel.Options{Atomic: c.atomic}).Plan(t.Context(), whimbrel.Latest())
			var modes []string
			if err != nil {
				modes = []string{"refused"}
			} else {
				for _, s := range p.Steps {
					modes = append(modes, map[whimbrel.Mode]string{whimbrel.InTransaction: "in", whimbrel.OutsideTransaction: "outside"}[s.Mode])
				}
			}
			if got := strings.Join(modes, " "); got != c.want {
				t.Errorf("%q on version %d, atomic %v: %s (%v), want %s", tt.ups, c.major, c.atomic, got, err, c.want)
			}
		}
	}
}

func TestAtomicRefusesScriptsThatCannotShareATransaction(t *testing.T) {
	t.Parallel()
	for why, second := range map[string]string{
		"2_m2.up.sql:1:1: CREATE INDEX CONCURRENTLY can't be in a transaction":                               "CREATE INDEX CONCURRENTLY i ON t1 (x)",
		"2_m2.up.sql:1:1: an enum value that an earlier migration adds can't be used before it is committed": "INSERT INTO t1 VALUES ('odd')",
	} {
		target := memdb.New()
		set := newSet(t, script{1, "ALTER TYPE mood ADD VALUE 'odd'", "-"}, script{2, second, "-"})
		err := tryUp(t, whimbrel.New(open(t, target), set, whimbrel.Options{Atomic: true}))
		wantEqual(t, "reason", wantError[*whimbrel.AtomicError](t, err).Why, why)
		wantListed(t, "own tables after the refusal", target.OwnTables, nil)
	}
}
