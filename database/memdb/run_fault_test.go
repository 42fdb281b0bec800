package memdb_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// once is a hook that returns fault for the first call of op.
func once(op string, fault error) func(string) error {
	return func(called string) error {
		if called != op || fault == nil {
			return nil
		}
		err := fault
		fault = nil
		return err
	}
}

// exec executes one statement, with its mark if there is one.
func exec(t *testing.T, r database.Run, text string, mark *database.Journal) error {
	t.Helper()
	all, err := sqltext.Split(text, sqltext.PostgreSQL, sqltext.Options{})
	ok(t, err)
	return r.Exec(t.Context(), migration.Text("1.sql", text), all[0], nil, mark)
}

// A call of a Run that is cut off or killed while it is under way has done what the fault says, and
// the run is over.
func TestFaultsOfARun(t *testing.T) {
	const (
		insert  = "INSERT INTO t VALUES (1)"
		index   = "CREATE INDEX CONCURRENTLY i ON t (x)"
		drop    = "DROP INDEX CONCURRENTLY IF EXISTS i"
		killed  = "killed"
		cut     = "cut" // and what was to be committed is unknown
		lost    = "lost"
		refused = "refused"
	)
	mark := func() *database.Journal {
		return &database.Journal{Version: 1, Direction: database.Up, Done: 2}
	}
	announce := func(r database.Run) error {
		j := mark()
		j.Begun = index
		return r.Announce(t.Context(), sqltext.Statement{Text: index}, j)
	}
	for name, tc := range map[string]struct {
		op    string
		fault error
		do    func(r database.Run) error
		// The result: the rows, the index and whether it is invalid, how many statements have been
		// executed, and the number of entries.
		end                    string
		rows                   int
		index, invalid         bool
		executed, entriesAfter int
	}{
		"a statement, done":                {memdb.OpRunExec, memdb.ErrDone, func(r database.Run) error { return exec(t, r, insert, nil) }, killed, 1, false, false, 1, 0},
		"a statement, halfway":             {memdb.OpRunExec, memdb.ErrHalfway, func(r database.Run) error { return exec(t, r, insert, nil) }, killed, 0, false, false, 1, 0},
		"a statement, cut after it":        {memdb.OpRunExec, memdb.ErrCommitted, func(r database.Run) error { return exec(t, r, insert, nil) }, lost, 1, false, false, 1, 0},
		"a statement, cut before it":       {memdb.OpRunExec, memdb.ErrNotCommitted, func(r database.Run) error { return exec(t, r, insert, nil) }, lost, 0, false, false, 1, 0},
		"a statement and its mark, done":   {memdb.OpRunExec, memdb.ErrDone, func(r database.Run) error { return exec(t, r, insert, mark()) }, killed, 1, false, false, 2, 0},
		"a transaction, halfway":           {memdb.OpRunExec, memdb.ErrHalfway, func(r database.Run) error { return exec(t, r, insert, mark()) }, killed, 0, false, false, 1, 0},
		"a transaction, cut after COMMIT":  {memdb.OpRunExec, memdb.ErrCommitted, func(r database.Run) error { return exec(t, r, insert, mark()) }, cut, 1, false, false, 2, 0},
		"a transaction, cut before COMMIT": {memdb.OpRunExec, memdb.ErrNotCommitted, func(r database.Run) error { return exec(t, r, insert, mark()) }, cut, 0, false, false, 1, 0},
		"an index, done":                   {memdb.OpRunExec, memdb.ErrDone, func(r database.Run) error { return exec(t, r, index, nil) }, killed, 0, true, false, 1, 0},
		"an index, halfway":                {memdb.OpRunExec, memdb.ErrHalfway, func(r database.Run) error { return exec(t, r, index, nil) }, killed, 0, true, true, 1, 0},
		"no index, halfway":                {memdb.OpRunExec, memdb.ErrHalfway, func(r database.Run) error { return exec(t, r, drop, nil) }, killed, 0, false, false, 1, 0},
		"a failing statement, cut":         {memdb.OpRunExec, memdb.ErrCommitted, func(r database.Run) error { return exec(t, r, "INSERT INTO missing VALUES (1)", mark()) }, refused, 0, false, false, 1, 0},
		"a journal, done":                  {memdb.OpRunJournal, memdb.ErrDone, func(r database.Run) error { return r.Journal(t.Context(), mark()) }, killed, 0, false, false, 2, 0},
		"a journal, cut after COMMIT":      {memdb.OpRunJournal, memdb.ErrCommitted, func(r database.Run) error { return r.Journal(t.Context(), nil) }, cut, 0, false, false, 0, 0},
		"a journal, cut before COMMIT":     {memdb.OpRunJournal, memdb.ErrNotCommitted, func(r database.Run) error { return r.Journal(t.Context(), nil) }, cut, 0, false, false, 1, 0},
		"an announcement, done":            {memdb.OpRunAnnounce, memdb.ErrDone, announce, killed, 0, false, false, 2, 0},
		"an announcement, cut":             {memdb.OpRunAnnounce, memdb.ErrNotCommitted, announce, cut, 0, false, false, 1, 0},
		"an entry, done":                   {memdb.OpRunRecord, memdb.ErrDone, record(t), killed, 0, false, false, 0, 1},
		"an entry, cut after COMMIT":       {memdb.OpRunRecord, memdb.ErrCommitted, record(t), cut, 0, false, false, 0, 1},
		"an entry, cut before COMMIT":      {memdb.OpRunRecord, memdb.ErrNotCommitted, record(t), cut, 0, false, false, 1, 0},
		"a call, not begun":                {memdb.OpRunExec, errors.New("refused"), func(r database.Run) error { return exec(t, r, insert, mark()) }, refused, 0, false, false, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			target := memdb.New()
			db := open(t, target)
			r, _, err := db.Guard(t.Context(), "s", database.LockOptions{})
			ok(t, err)
			defer r.Close(t.Context())
			ok(t, exec(t, r, "CREATE TABLE t (x int)", &database.Journal{Version: 1, Direction: database.Up, Done: 1}))
			db.SetHook(once(tc.op, tc.fault))
			err = tc.do(r)
			var lockLost *database.LockLostError
			var unknown *database.CommitUnknownError
			end := "none"
			switch {
			case errors.As(err, &lockLost) && errors.Is(err, memdb.ErrKilled):
				end = killed
			case errors.As(err, &lockLost):
				end = lost
			case errors.As(err, &unknown):
				end = cut
			case err != nil:
				end = refused
			}
			if end != tc.end {
				t.Errorf("the error is of the kind %q, want %q: %v", end, tc.end, err)
			}
			if tc.fault != nil && name != "a call, not begun" {
				if err := exec(t, r, insert, nil); err == nil {
					t.Error("the run still works afterwards")
				}
				if held := target.Locked(); len(held) > 0 {
					t.Errorf("locks are held: %v", held)
				}
			}
			rows, err := target.Rows(t.Context(), "t")
			ok(t, err)
			indexes, _ := target.Indexes(t.Context())
			invalid, _ := target.Invalid(t.Context())
			if got, want := len(rows), tc.rows; got != want {
				t.Fatalf("len(rows) = %v, want %v", got, want)
			}
			if got, want := slices.Contains(indexes, "i"), tc.index; got != want {
				t.Errorf("slices.Contains(indexes, \"i\") = %v, want %v", got, want)
			}
			if got, want := slices.Contains(invalid, "i"), tc.invalid; got != want {
				t.Errorf("slices.Contains(invalid, \"i\") = %v, want %v", got, want)
			}
			st, err := open(t, target).State(t.Context(), "s")
			ok(t, err)
			executed := 0
			if st.Interrupted != nil {
				executed = st.Interrupted.Done
			}
			if executed != tc.executed {
				t.Errorf("executed = %v, want %v", executed, tc.executed)
			}
			if got, want := st.Applied.Len(), tc.entriesAfter; got != want {
				t.Errorf("st.Applied.Len() = %v, want %v", got, want)
			}
		})
	}
}

func record(t *testing.T) func(database.Run) error {
	return func(r database.Run) error {
		_, err := r.Record(t.Context(), database.Entry{Version: 1, Direction: database.Up})
		return err
	}
}

// A COMMIT of the script's own that is killed halfway leaves nothing of its transaction.
func TestKilledInTheScriptsTransaction(t *testing.T) {
	for fault, rows := range map[error]int{memdb.ErrHalfway: 0, memdb.ErrNotCommitted: 0, memdb.ErrKilled: 0, memdb.ErrDone: 1, memdb.ErrCommitted: 1} {
		target := memdb.New()
		db := open(t, target)
		r, _, err := db.Guard(t.Context(), "s", database.LockOptions{})
		ok(t, err)
		for _, text := range []string{"CREATE TABLE t ()", "BEGIN", "INSERT INTO t VALUES (1)"} {
			ok(t, exec(t, r, text, nil))
		}
		mark := &database.Journal{Version: 1, Direction: database.Up, Done: 3}
		if err := exec(t, r, "INSERT INTO t VALUES (2)", mark); err == nil {
			t.Error("a mark inside of the script's transaction was no error")
		}
		db.SetHook(once(memdb.OpRunExec, fault))
		if err := exec(t, r, "COMMIT", mark); err == nil {
			t.Errorf("%v: no error", fault)
		}
		got, err := target.Rows(t.Context(), "t")
		ok(t, err)
		st, err := open(t, target).State(t.Context(), "s")
		ok(t, err)
		if len(got) != rows {
			t.Fatalf("%v: len(got) = %v, want %v", fault, len(got), rows)
		}
		if got, want := (st.Interrupted != nil), (rows == 1); got != want {
			t.Errorf("%v: (st.Interrupted != nil) = %v, want %v", fault, got, want)
		}
	}
}

// The cleanup statements of an Outcome can be executed twice.
func TestAnInvalidIndexIsDroppedTwice(t *testing.T) {
	target := memdb.New()
	db := open(t, target)
	r, _, err := db.Guard(t.Context(), "s", database.LockOptions{})
	ok(t, err)
	ok(t, exec(t, r, "CREATE TABLE t (x int)", nil))
	all, err := sqltext.Split("CREATE INDEX CONCURRENTLY i ON t (x)", sqltext.PostgreSQL, sqltext.Options{})
	ok(t, err)
	j := &database.Journal{Version: 1, Direction: database.Up, Begun: all[0].Text}
	ok(t, r.Announce(t.Context(), all[0], j))
	db.SetHook(once(memdb.OpRunExec, memdb.ErrHalfway))
	if err := exec(t, r, all[0].Text, nil); !errors.Is(err, memdb.ErrKilled) {
		t.Fatalf("the error is %v", err)
	}
	next, _, err := open(t, target).Guard(t.Context(), "s", database.LockOptions{})
	ok(t, err)
	o, err := next.Outcome(t.Context(), all[0], j.Before, database.LockOptions{})
	ok(t, err)
	if o.Verdict != database.NotHappened {
		t.Fatalf("o.Verdict = %v, want %v", o.Verdict, database.NotHappened)
	}
	if len(o.First) != 1 {
		t.Fatalf("len(o.First) = %v, want 1", len(o.First))
	}
	ok(t, exec(t, next, o.First[0], nil))
	ok(t, exec(t, next, o.First[0], nil))
	ok(t, exec(t, next, all[0].Text, nil))
	if invalid, _ := target.Invalid(t.Context()); len(invalid) > 0 {
		t.Errorf("invalid: %v", invalid)
	}
}
