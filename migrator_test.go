package whimbrel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// script is one migration in a test: version, up and down text ("-" for none).
type script struct {
	version  int64
	up, down string
}

func newSet(t testing.TB, scripts ...script) *migration.Set {
	t.Helper()
	var ms []migration.Migration
	for _, s := range scripts {
		name := fmt.Sprintf("m%d", s.version)
		m := migration.Migration{Version: s.version, Name: name, Up: migration.Text(fmt.Sprintf("%d_%s.up.sql", s.version, name), s.up)}
		if s.down != "-" {
			m.Down = migration.Text(fmt.Sprintf("%d_%s.down.sql", s.version, name), s.down)
		}
		ms = append(ms, m)
	}
	set, err := migration.NewSet("shop", ms...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// plain returns n migrations, each of which makes a table t1, t2, ….
func plain(n int) []script {
	var all []script
	for i := 1; i <= n; i++ {
		all = append(all, script{int64(i), fmt.Sprintf("CREATE TABLE t%d (x)", i), fmt.Sprintf("DROP TABLE t%d", i)})
	}
	return all
}

func open(t testing.TB, target *memdb.Target) *memdb.Database {
	t.Helper()
	db, err := target.Open(t.Context(), database.Options{App: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func wantTables(t testing.TB, target *memdb.Target, want ...string) {
	t.Helper()
	got, err := target.Tables(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the database has the tables %v, want %v", got, want)
	}
}

func versions(done []whimbrel.Done) []int64 {
	var vs []int64
	for _, d := range done {
		vs = append(vs, d.Version)
	}
	return vs
}

func TestUpAppliesWhatIsPending(t *testing.T) {
	t.Parallel()
	for _, atomic := range []bool{false, true} {
		t.Run(fmt.Sprintf("atomic=%v", atomic), func(t *testing.T) {
			t.Parallel()
			target := memdb.New()
			db := open(t, target)
			opts := whimbrel.Options{Atomic: atomic, Note: "a release"}
			r, err := whimbrel.New(db, newSet(t, plain(2)...), opts).Up(t.Context())
			if err != nil || !slices.Equal(versions(r.Applied), []int64{1, 2}) {
				t.Fatalf("got %+v, %v", r, err)
			}
			m := whimbrel.New(db, newSet(t, plain(3)...), opts)
			r, err = m.Up(t.Context())
			if err != nil || !slices.Equal(versions(r.Applied), []int64{3}) {
				t.Fatalf("got %+v, %v", r, err)
			}
			wantTables(t, target, "t1", "t2", "t3")
			for e, err := range m.History(t.Context()) {
				if err != nil || e.Note != "a release" || e.App != "test" || e.Direction != database.Up || e.ToolVersion == "" {
					t.Errorf("the history has %+v, %v", e, err)
				}
			}
		})
	}
}

func TestNothingPendingIsOneQuestion(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	m := whimbrel.New(db, newSet(t, plain(3)...), whimbrel.Options{})
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	var calls []string
	db.SetHook(func(op string) error {
		calls = append(calls, op)
		return nil
	})
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(calls, []string{memdb.OpState}) {
		t.Errorf("Up with nothing pending called %v, want State alone", calls)
	}
	calls = nil
	if _, err := m.Status(t.Context()); err != nil || !slices.Equal(calls, []string{memdb.OpState}) {
		t.Errorf("Status called %v (%v), want State alone", calls, err)
	}
}

func TestFailureLeavesNothingOfTheMigration(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		atomic, queue bool
		tables        []string
		applied       []int64
	}{
		{false, false, []string{"t1"}, []int64{1}},
		{false, true, []string{"t1"}, []int64{1}},
		{true, false, nil, nil},
		{true, true, nil, nil},
	} {
		t.Run(fmt.Sprintf("atomic=%v,queue=%v", tt.atomic, tt.queue), func(t *testing.T) {
			t.Parallel()
			target := memdb.New()
			target.Queue(tt.queue)
			scripts := append(plain(1), script{2, "CREATE TABLE t2 (x);\n\tNONSENSE;\nCREATE TABLE t3 (x)", "-"})
			m := whimbrel.New(open(t, target), newSet(t, scripts...), whimbrel.Options{Atomic: tt.atomic})
			r, err := m.Up(t.Context())
			var me *whimbrel.MigrationError
			var se *database.StatementError
			if !errors.As(err, &me) || !errors.As(err, &se) {
				t.Fatalf("got %v, want a *MigrationError of a *StatementError", err)
			}
			if me.Version != 2 || se.Pos.String() != "2_m2.up.sql:2:2" || se.Index != 1 || se.Statement != "NONSENSE" {
				t.Errorf("the error is of version %d at %s, statement %d %q", me.Version, se.Pos, se.Index, se.Statement)
			}
			if want := "     1 | CREATE TABLE t2 (x);\n     2 | \tNONSENSE;\n       | \t^\n     3 | CREATE TABLE t3 (x)\n"; se.Excerpt != want {
				t.Errorf("excerpt\n%swant\n%s", se.Excerpt, want)
			}
			wantTables(t, target, tt.tables...)
			if !slices.Equal(versions(r.Applied), tt.applied) {
				t.Errorf("the result says that %v were applied, want %v", versions(r.Applied), tt.applied)
			}
			if len(target.Locked()) > 0 {
				t.Error("the lock is still held")
			}
		})
	}
}

func TestVerificationComesFirst(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	if _, err := whimbrel.New(db, newSet(t, plain(2)...), whimbrel.Options{}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	edited := plain(3)
	edited[0].up = "CREATE TABLE t1 (x, y)"
	m := whimbrel.New(db, newSet(t, edited...), whimbrel.Options{})
	for name, do := range map[string]func() (*whimbrel.Result, error){
		"Up":       func() (*whimbrel.Result, error) { return m.Up(t.Context()) },
		"Rollback": func() (*whimbrel.Result, error) { return m.Rollback(t.Context(), 1) },
		"To":       func() (*whimbrel.Result, error) { return m.To(t.Context(), 1) },
		"Verify":   func() (*whimbrel.Result, error) { return nil, m.Verify(t.Context()) },
	} {
		_, err := do()
		var mismatch *whimbrel.ChecksumMismatchError
		if !errors.As(err, &mismatch) {
			t.Fatalf("%s: got %v, want a *ChecksumMismatchError", name, err)
		}
		if mismatch.Version != 1 || mismatch.Stored != migration.Sum("CREATE TABLE t1 (x)") || mismatch.Expected != migration.Sum("CREATE TABLE t1 (x, y)") {
			t.Errorf("%s: %+v", name, mismatch)
		}
		if !strings.Contains(mismatch.Diff, "-CREATE TABLE t1 (x)") || !strings.Contains(mismatch.Diff, "+CREATE TABLE t1 (x, y)") || mismatch.OnlyBlank {
			t.Errorf("%s: diff %q, only blank %v", name, mismatch.Diff, mismatch.OnlyBlank)
		}
	}
	wantTables(t, target, "t1", "t2")

	// Deliberate edits are accepted, with a reason, as an event.
	if err := m.Accept(t.Context(), "", 1); err == nil {
		t.Error("Accept took no reason")
	}
	if err := m.Accept(t.Context(), "the column was added by hand", 1); err != nil {
		t.Fatal(err)
	}
	if r, err := m.Up(t.Context()); err != nil || !slices.Equal(versions(r.Applied), []int64{3}) {
		t.Errorf("after Accept: %+v, %v", r, err)
	}
}

func TestMismatchInCommentsOnlySaysSo(t *testing.T) {
	t.Parallel()
	db := open(t, memdb.New())
	if _, err := whimbrel.New(db, newSet(t, script{1, "CREATE TABLE t1 (x);", "-"}), whimbrel.Options{}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	for text, blank := range map[string]bool{
		"-- a table\nCREATE  TABLE t1 ( /* one */ x ) ;\n": true,
		"CREATE TABLE t1 (X);":                             false,
		"CREATE TABLE t1 (x); SELECT ' ';":                 false,
	} {
		err := whimbrel.New(db, newSet(t, script{1, text, "-"}), whimbrel.Options{}).Verify(t.Context())
		var mismatch *whimbrel.ChecksumMismatchError
		if !errors.As(err, &mismatch) || mismatch.OnlyBlank != blank {
			t.Errorf("%q: got %v; OnlyBlank should be %v", text, err, blank)
		}
	}
	crlf := newSet(t, script{1, "\ufeffCREATE TABLE t1 (x);", "-"})
	if err := whimbrel.New(db, crlf, whimbrel.Options{}).Verify(t.Context()); err != nil {
		t.Errorf("a byte-order mark is no difference: %v", err)
	}
}

func TestRollbackWithTheHistorysScripts(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	if _, err := whimbrel.New(db, newSet(t, plain(3)...), whimbrel.Options{}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	old := whimbrel.New(db, newSet(t, plain(1)...), whimbrel.Options{Atomic: true}) // the release before
	if r, err := old.Up(t.Context()); err != nil || len(r.Applied) > 0 {
		t.Fatalf("a newer schema stopped an older build: %+v, %v", r, err)
	}
	p, err := old.Plan(t.Context(), whimbrel.DownTo(1))
	if err != nil {
		t.Fatal(err)
	}
	if s := p.Steps(); len(p.Units) != 1 || len(s) != 2 || s[0].Version != 3 || s[0].From != whimbrel.FromHistory {
		t.Errorf("the plan is %+v", p)
	}
	r, err := old.Rollback(t.Context(), 1)
	if err != nil || !slices.Equal(versions(r.RolledBack), []int64{3, 2}) {
		t.Fatalf("got %+v, %v", r, err)
	}
	wantTables(t, target, "t1")
}

func TestTextsAboveTheLimitAreNotKept(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	if _, err := whimbrel.New(db, newSet(t, plain(1)...), whimbrel.Options{TextLimit: 10}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := whimbrel.New(db, newSet(t), whimbrel.Options{}).Rollback(t.Context(), whimbrel.NilVersion)
	var irreversible *whimbrel.IrreversibleError
	if !errors.As(err, &irreversible) || !irreversible.TextNotKept {
		t.Errorf("got %v", err)
	}
	if _, err := whimbrel.New(db, newSet(t, plain(1)...), whimbrel.Options{}).Rollback(t.Context(), whimbrel.NilVersion); err != nil {
		t.Errorf("a build that has the script: %v", err)
	}
}

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
		{name: "what cannot be in a transaction", up: "CREATE TABLE t (x);\nCREATE INDEX CONCURRENTLY i ON t (x);", kind: whimbrel.RunUnit,
			why: "1_m1.up.sql:2:1: CREATE INDEX CONCURRENTLY can't be in a transaction"},
		{name: "a new enum value that is used", up: "ALTER TYPE mood ADD VALUE 'odd';\nINSERT INTO t VALUES ('odd');", kind: whimbrel.RunUnit,
			why: "1_m1.up.sql:2:1: a new enum value can't be used before it is committed"},
		{name: "a new enum value that is not used", up: "ALTER TYPE mood ADD VALUE 'odd'; INSERT INTO t VALUES ('even')", kind: whimbrel.BatchUnit},
		{name: "transaction control inside", up: "CREATE TABLE t (x);\nCOMMIT;\nCREATE TABLE u (x)",
			refuse: "1_m1.up.sql:2:1: COMMIT inside a script that runs in a transaction of Whimbrel's; take it out, put BEGIN and COMMIT around the whole file, or ask for no transaction (-- whimbrel: no-transaction)"},
		{name: "a wrapper that is not the whole", up: "BEGIN; CREATE TABLE t (x); COMMIT; CREATE TABLE u (x)",
			refuse: "1_m1.up.sql:1:1: BEGIN inside a script that runs in a transaction of Whimbrel's; take it out, put BEGIN and COMMIT around the whole file, or ask for no transaction (-- whimbrel: no-transaction)"},
		{name: "a wrapper with a mode", up: "BEGIN ISOLATION LEVEL SERIALIZABLE; CREATE TABLE t (x); COMMIT",
			refuse: "1_m1.up.sql:1:1: BEGIN ISOLATION LEVEL asks for another kind of transaction than Whimbrel's, which takes its place; take the mode out, or ask for no transaction (-- whimbrel: no-transaction)"},
		{name: "Whimbrel's own table", up: "-- ours\nDELETE FROM \"whimbrel_history\"",
			refuse: "1_m1.up.sql:2:1: the script touches whimbrel_history, which is Whimbrel's own table; leave it to Whimbrel"},
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

func TestRunExecutesOneByOne(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	scripts := append(plain(1), script{2, "INSERT INTO t1 VALUES (1);\nCREATE INDEX CONCURRENTLY i ON t1 (x);\nCOPY t1 FROM stdin;\na\nb\n\\.\nINSERT INTO t1 VALUES (2);", "DROP INDEX CONCURRENTLY i"})
	var seen []string
	m := whimbrel.New(open(t, target), newSet(t, scripts...), whimbrel.Options{Observe: func(e whimbrel.Event) {
		if st, ok := e.(whimbrel.StatementStarted); ok {
			seen = append(seen, fmt.Sprintf("%d/%d %.6s", st.Index+1, st.Of, st.SQL))
		}
	}})
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	rows, err := target.Rows(t.Context(), "t1")
	if err != nil || !slices.Equal(rows, []string{"1", "a", "b", "2"}) {
		t.Errorf("rows %v, %v", rows, err)
	}
	if want := []string{"1/4 INSERT", "2/4 CREATE", "3/4 COPY t", "4/4 INSERT"}; !slices.Equal(seen, want) {
		t.Errorf("saw %v, want %v", seen, want)
	}
	if _, err := m.Rollback(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if idx, _ := target.Indexes(t.Context()); len(idx) > 0 {
		t.Errorf("indexes %v are left", idx)
	}
}

func TestRunThatFailsSaysWhatStands(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	set := newSet(t, script{1, "CREATE TABLE t (x);\nCREATE INDEX CONCURRENTLY i ON t (x);\nNONSENSE", "-"})
	_, err := whimbrel.New(open(t, target), set, whimbrel.Options{}).Up(t.Context())
	var me *whimbrel.MigrationError
	if !errors.As(err, &me) || me.Standing != 2 || !strings.HasSuffix(err.Error(), "2 of its statements were executed before and stand") {
		t.Errorf("got %v", err)
	}
	wantTables(t, target, "t")
}

func TestMigrationMode(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	m := whimbrel.New(db, newSet(t, plain(2)...), whimbrel.Options{})
	if _, err := m.Steps(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	off := database.SettingUpdate{Name: database.MigrationMode, Value: "false", Reason: "the big sale", At: time.Now()}
	if err := db.UpdateSetting(t.Context(), off); err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func() error{
		"Up":       func() error { _, err := m.Up(t.Context()); return err },
		"Rollback": func() error { _, err := m.Rollback(t.Context(), whimbrel.NilVersion); return err },
		"Mark":     func() error { return m.Mark(t.Context(), "", 2) },
		"Forget":   func() error { return m.Forget(t.Context(), "", 1) },
	} {
		var mode *whimbrel.MigrationModeError
		if err := do(); !errors.As(err, &mode) || mode.Reason != "the big sale" || mode.By != memdb.User || mode.Since.IsZero() {
			t.Errorf("%s: got %v, want a *MigrationModeError with reason, user and time", name, err)
		}
	}
	wantTables(t, target, "t1")
	done := whimbrel.New(db, newSet(t, plain(1)...), whimbrel.Options{})
	if _, err := done.Up(t.Context()); err != nil {
		t.Errorf("with nothing to do there is nothing to refuse: %v", err)
	}
}

// A switch that is thrown between plan and apply counts.
func TestMigrationModeUnderTheLock(t *testing.T) {
	t.Parallel()
	db := open(t, memdb.New())
	m := whimbrel.New(db, newSet(t, plain(2)...), whimbrel.Options{})
	p, err := m.Plan(t.Context(), whimbrel.Latest())
	if err != nil {
		t.Fatal(err)
	}
	if err := db.UpdateSetting(t.Context(), database.SettingUpdate{Name: database.MigrationMode, Value: "false"}); err != nil {
		t.Fatal(err)
	}
	var mode *whimbrel.MigrationModeError
	if r, err := m.Apply(t.Context(), p); !errors.As(err, &mode) || len(r.Applied) > 0 {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestMarkAndForget(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	m := whimbrel.New(db, newSet(t, plain(3)...), whimbrel.Options{})
	if err := m.Mark(t.Context(), "made by hand", 1, 2); err != nil {
		t.Fatal(err)
	}
	var already *whimbrel.AlreadyAppliedError
	if err := m.Mark(t.Context(), "", 3, 2); !errors.As(err, &already) || already.Version != 2 {
		t.Errorf("got %v", err)
	}
	var unknown *whimbrel.UnknownVersionError
	if err := m.Mark(t.Context(), "", 7); !errors.As(err, &unknown) {
		t.Errorf("got %v", err)
	}
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantTables(t, target, "t3")
	if err := m.Forget(t.Context(), "", 2); err != nil {
		t.Fatal(err)
	}
	var not *whimbrel.NotAppliedError
	if err := m.Forget(t.Context(), "", 2); !errors.As(err, &not) {
		t.Errorf("got %v", err)
	}
	var got []string
	for e, err := range m.History(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %d %s", e.Direction, e.Version, e.Note))
	}
	if want := []string{"mark 1 made by hand", "mark 2 made by hand", "up 3 ", "forget 2 "}; !cmp.Equal(got, want) {
		t.Errorf("the history has %q, want %q", got, want)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	db := open(t, memdb.New())
	if _, err := whimbrel.New(db, newSet(t, append(plain(3), plain(6)[5])...), whimbrel.Options{}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	now := plain(8)
	now[1].up = "CREATE TABLE t2 (edited)"
	now = slices.Delete(now, 2, 3) // version 3 was deleted, 4 and 5 come late, 7 and 8 are new
	st, err := whimbrel.New(db, newSet(t, now...), whimbrel.Options{}).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range st.Migrations {
		got = append(got, fmt.Sprintf("%d %s", m.Version, m.State))
	}
	want := []string{"1 applied", "2 modified", "3 unknown", "4 out_of_order", "5 out_of_order", "6 applied", "7 pending", "8 pending"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for name, tt := range map[string]struct{ got, want []int64 }{
		"all":     {st.All(), []int64{1, 2, 4, 5, 6, 7, 8}},
		"applied": {st.Applied(), []int64{1, 2, 3, 6}},
		"pending": {st.Pending(), []int64{4, 5, 7, 8}},
	} {
		if !slices.Equal(tt.got, tt.want) {
			t.Errorf("%s is %v, want %v", name, tt.got, tt.want)
		}
	}
	if st.Version != 6 {
		t.Errorf("version %d, want 6", st.Version)
	}
	empty, err := whimbrel.New(open(t, memdb.New()), newSet(t), whimbrel.Options{}).Status(t.Context())
	if err != nil || empty.Version != whimbrel.NilVersion {
		t.Errorf("an empty database has version %d, %v", empty.Version, err)
	}
}

// Several sets live in one database and do not see each other.
func TestSetsDoNotSeeEachOther(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	other, err := migration.NewSet("queue", migration.Migration{Version: 1, Up: migration.Text("q", "CREATE TABLE q (x)"), Down: migration.Text("q", "DROP TABLE q")})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, set := range []*migration.Set{newSet(t, plain(5)...), other} {
		wg.Go(func() {
			if _, err := whimbrel.New(open(t, target), set, whimbrel.Options{}).Up(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if _, err := whimbrel.New(db, newSet(t, plain(5)...), whimbrel.Options{}).Rollback(t.Context(), whimbrel.NilVersion); err != nil {
		t.Fatal(err)
	}
	wantTables(t, target, "q")
}

// Twenty processes that start at once all succeed, and each migration runs once.
func TestTwentyAtOnce(t *testing.T) {
	t.Parallel()
	for _, atomic := range []bool{false, true} {
		target := memdb.New()
		var wg sync.WaitGroup
		var mu sync.Mutex
		ran := map[int64]int{}
		for range 20 {
			db := open(t, target)
			wg.Go(func() {
				r, err := whimbrel.New(db, newSet(t, plain(8)...), whimbrel.Options{Atomic: atomic, LockTimeout: time.Minute}).Up(context.Background())
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				for _, d := range r.Applied {
					ran[d.Version]++
				}
			})
		}
		wg.Wait()
		for v := int64(1); v <= 8; v++ {
			if ran[v] != 1 {
				t.Errorf("atomic=%v: version %d was applied %d times", atomic, v, ran[v])
			}
		}
	}
}

func TestLostCommitIsLookedUp(t *testing.T) {
	t.Parallel()
	for _, cut := range []error{memdb.ErrCommitted, memdb.ErrNotCommitted} {
		target := memdb.New()
		db := open(t, target)
		once := true
		db.SetHook(func(op string) error {
			if op == memdb.OpBatchCommit && once {
				once = false
				return cut
			}
			return nil
		})
		m := whimbrel.New(db, newSet(t, plain(3)...), whimbrel.Options{})
		if _, err := m.Up(t.Context()); err != nil {
			t.Fatalf("%v: %v", cut, err)
		}
		wantTables(t, target, "t1", "t2", "t3")
		n := 0
		for range m.History(t.Context()) {
			n++
		}
		if n != 3 {
			t.Errorf("%v: the history has %d events, want 3", cut, n)
		}
	}
}

func TestLockTimeout(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	other := open(t, target)
	b, err := other.Begin(t.Context(), "shop", database.LockOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Rollback(t.Context())
	waited := 0
	m := whimbrel.New(open(t, target), newSet(t, plain(1)...), whimbrel.Options{LockTimeout: whimbrel.TryOnce, Observe: func(e whimbrel.Event) {
		if w, ok := e.(whimbrel.LockWaiting); ok && w.Holder.PID != 0 {
			waited++
		}
	}})
	_, err = m.Up(t.Context())
	var locked *database.LockedError
	if !errors.Is(err, database.ErrLocked) || !errors.As(err, &locked) || locked.Holder.PID == 0 || waited == 0 {
		t.Errorf("got %v after %d words about who holds it", err, waited)
	}
}

func TestGoFunctions(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	fail := true
	set, err := migration.NewSet("shop", migration.Migration{Version: 1, Name: "fill", Up: memdb.Func("fill v1", func(ctx context.Context, tx memdb.Tx) error {
		if err := tx.Exec(ctx, "CREATE TABLE filled (x); INSERT INTO filled VALUES (1)"); err != nil {
			return err
		}
		if fail {
			return errors.New("not today")
		}
		return nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	m := whimbrel.New(open(t, target), set, whimbrel.Options{})
	if _, err := m.Up(t.Context()); err == nil || !strings.Contains(err.Error(), "not today") {
		t.Errorf("got %v", err)
	}
	wantTables(t, target)
	fail = false
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantTables(t, target, "filled")
}

func TestCancelledContext(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	ctx, cancel := context.WithCancel(t.Context())
	m := whimbrel.New(open(t, target), newSet(t, append(plain(1), script{2, "CREATE TABLE t2 (x); SELECT forever()", "-"})...), whimbrel.Options{
		Observe: func(e whimbrel.Event) {
			if s, ok := e.(whimbrel.StepStarted); ok && s.Step.Version == 2 {
				cancel()
			}
		},
	})
	r, err := m.Up(ctx)
	if !errors.Is(err, context.Canceled) || !slices.Equal(versions(r.Applied), []int64{1}) {
		t.Errorf("got %+v, %v", r, err)
	}
	wantTables(t, target, "t1")
	if len(target.Locked()) > 0 {
		t.Error("the lock is still held")
	}
}
