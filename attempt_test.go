package whimbrel_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// failures returns the failed attempts in the history of a set.
func failures(t *testing.T, m *whimbrel.Migrator) (failed []database.Entry) {
	t.Helper()
	for e, err := range m.History(t.Context(), database.HistoryQuery{}) {
		noError(t, err)
		if e.Direction == database.Failed {
			failed = append(failed, e)
		}
	}
	return failed
}

// onlyFailure returns the one failed attempt in the history.
func onlyFailure(t *testing.T, m *whimbrel.Migrator) database.Entry {
	t.Helper()
	failed := failures(t, m)
	if len(failed) != 1 {
		t.Fatalf("the history has %d failed attempts, want 1: %+v", len(failed), failed)
	}
	return failed[0]
}

func TestFailedTransactionIsRecorded(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	set := newSet(t, script{1, "CREATE TABLE t ()", "DROP TABLE nosuch"}, script{2, "DROP TABLE other", "-"})
	m := whimbrel.New(db, set, whimbrel.Options{})
	_, err := m.Migrate(t.Context(), whimbrel.Latest(), whimbrel.ApplyOptions{Reason: "a release"})
	failed := wantError[*whimbrel.MigrationError](t, err)
	e := onlyFailure(t, m)
	wantEqual(t, "version", e.Version, 2)
	wantEqual(t, "name", e.Name, "m2")
	wantEqual(t, "direction that failed", e.Tried, database.Up)
	wantEqual(t, "error", e.Error, failed.Err.Error())
	wantEqual(t, "reason", e.Reason, "a release")
	wantEqual(t, "checksum", e.Checksum, set.All()[1].Up.Checksum)
	wantEqual(t, "who", e.OSUser, memdb.OSUser)
	if e.StartedAt.IsZero() || time.Since(e.StartedAt) > time.Minute {
		t.Errorf("the attempt started at %v", e.StartedAt)
	}
	wantHistory(t, db, "up 1")
	wantUnlocked(t, target)

	if err := tryMigrate(t, m, whimbrel.DownTo(whimbrel.NilVersion)); err == nil {
		t.Fatal("the rollback succeeded")
	}
	down := failures(t, m)[1]
	wantEqual(t, "version", down.Version, 1)
	wantEqual(t, "direction that failed", down.Tried, database.Down)
	wantEqual(t, "versions that are applied", mustStatus(t, m).AppliedVersions(), []int64{1})
}

// An attempt that fails in a run is recorded with the journal, and the process that resumes the run
// does not record it again.
func TestFailedRunIsRecordedOnce(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	m := whimbrel.New(open(t, target), newSet(t, script{1, "CREATE TABLE t (); CREATE INDEX CONCURRENTLY i ON nosuch ()", "-"}), whimbrel.Options{})
	for n := 1; n <= 2; n++ {
		_, err := m.Up(t.Context())
		failed := wantError[*whimbrel.MigrationError](t, err)
		all := failures(t, m)
		wantEqual(t, "failed attempts", len(all), n)
		wantEqual(t, "error", all[n-1].Error, failed.Err.Error())
		wantEqual(t, "error in the journal", mustStatus(t, m).Interrupted.Error, failed.Err.Error())
	}
}

func TestFailureOfTheFirstStatementOfARunIsRecorded(t *testing.T) {
	t.Parallel()
	m := whimbrel.New(open(t, memdb.New()), newSet(t, script{1, "DROP TABLE nosuch; CREATE INDEX CONCURRENTLY i ON t ()", "-"}), whimbrel.Options{})
	if _, err := m.Up(t.Context()); err == nil {
		t.Fatal("Up succeeded")
	}
	onlyFailure(t, m)
	wantNotInterrupted(t, m)
}

// The process that resumes a run records the attempt of the process that was killed.
func TestKilledRunIsRecordedByTheNextProcess(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, mixed, unmixed})
	target := stopped(t, set, 2, memdb.ErrKilled)
	m := migrator(t, target, set)
	left := mustStatus(t, m).Interrupted
	wantEqual(t, "failed attempts before the run is resumed", len(failures(t, m)), 0)
	mustUp(t, m)
	e := onlyFailure(t, m)
	wantEqual(t, "version", e.Version, 1)
	wantEqual(t, "start", e.StartedAt, left.StartedAt)
	wantText(t, "the error", e.Error, "connection lost at statement")
	wantText(t, "the error", e.Error, "host "+memdb.Host)
	wantText(t, "the error", e.Error, "OS user "+memdb.OSUser)
	mustUp(t, m)
	onlyFailure(t, m)
}

// A resolution records the killed attempt, too.
func TestResolveRecordsTheKilledAttempt(t *testing.T) {
	t.Parallel()
	target := stopped(t, newSet(t, script{1, threeStatements, "-"}), 3, memdb.ErrKilled)
	m := migrator(t, target, newSet(t, script{1, "DELETE FROM t;\nDROP TABLE t;\n" + threeStatements, "-"}))
	_, err := m.Resolve(t.Context(), 1, whimbrel.ResolveRetry, "")
	noError(t, err)
	mustUp(t, m)
	onlyFailure(t, m)
}

// If the failure can't be recorded, the error is the same.
func TestFailureThatCantBeRecorded(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, "CREATE TABLE t ()", "-"}, script{2, "DROP TABLE nosuch", "-"})
	want := whimbrel.New(open(t, memdb.New()), set, whimbrel.Options{})
	_, wanted := want.Up(t.Context())

	target := memdb.New()
	db := open(t, target)
	begun := 0
	db.SetHook(func(op string) error {
		if op == memdb.OpBegin {
			begun++
		}
		if begun == 3 {
			return errors.New("the network is down")
		}
		return nil
	})
	m := whimbrel.New(db, set, whimbrel.Options{})
	_, err := m.Up(t.Context())
	wantEqual(t, "error", err.Error(), wanted.Error())
	wantEqual(t, "transactions", begun, 3)
	db.SetHook(nil)
	wantEqual(t, "failed attempts", len(failures(t, m)), 0)
}

// An attempt that was cancelled is recorded, although its context is done.
func TestCancelledAttemptIsRecorded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	db := open(t, memdb.New())
	db.SetHook(func(op string) error {
		if op == memdb.OpTxExec {
			cancel()
		}
		return nil
	})
	m := whimbrel.New(db, newSet(t, script{1, "CREATE TABLE t ()", "-"}), whimbrel.Options{})
	if _, err := m.Up(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("Up returned %v", err)
	}
	wantEqual(t, "error", onlyFailure(t, m).Error, "cancelled")
}

func TestErrorInTheHistoryIsLimited(t *testing.T) {
	t.Parallel()
	fail := memdb.Func("long", func(context.Context, memdb.Tx) error { return errors.New(strings.Repeat("ä", 5000) + "\xff") })
	set, err := migration.NewSet("shop", migration.Migration{Version: 1, Name: "long", Up: fail})
	noError(t, err)
	m := whimbrel.New(open(t, memdb.New()), set, whimbrel.Options{})
	if _, err := m.Up(t.Context()); err == nil {
		t.Fatal("Up succeeded")
	}
	if n := len([]rune(onlyFailure(t, m).Error)); n != 2000 {
		t.Errorf("the error has %d characters, want 2000", n)
	}
}
