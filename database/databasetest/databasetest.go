// Package databasetest proves a database driver: it runs the contract of package database, promise
// by promise, against real targets.
//
// A driver's test is one call:
//
//	func TestContract(t *testing.T) {
//		databasetest.Run(t, func(t *testing.T) databasetest.Target { … })
//	}
//
// A driver that creates databases also calls [RunCreator].
//
// Each case has its own target and runs in parallel with the others. The message of a failure ends
// with the promise that the driver broke. No case asserts how long anything takes.
package databasetest

import (
	"context"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Target is an empty database for one case, and what the suite needs to know about it. Open, Tables
// and RowCount are required. The suite's own scripts only use CREATE TABLE t (x int), INSERT INTO t
// VALUES (1), DELETE FROM t, DROP TABLE t, savepoints and, in a Run, BEGIN, COMMIT and ROLLBACK.
type Target struct {
	// Open opens the target. A case calls it several times, as several processes would. The suite
	// closes each Database.
	Open func(ctx context.Context, opts database.Options) (database.Database, error)
	// Tables returns the names of all tables in the target, including Whimbrel's own, in any order.
	// It does not use a Database.
	Tables func(ctx context.Context) ([]string, error)
	// RowCount returns the number of rows of a table that a script created.
	RowCount func(ctx context.Context, table string) (int, error)

	// OneWriter says that the database has one writer at a time: the lock of one set blocks the
	// others.
	OneWriter bool
	// NoDDL says that a transaction can't roll back CREATE TABLE.
	NoDDL bool
	// Schemas says that Options.Schema has an effect.
	Schemas bool
	// ASCIIComments says that the comments of the target's objects can only hold ASCII, because of
	// its encoding.
	ASCIIComments bool
	// Holders says that the database always knows which process holds a lock.
	Holders bool

	// Powers are the powers that the driver must have. If the driver lacks a power, its cases fail
	// if the power is in Powers, and are skipped otherwise.
	Powers []database.Power

	// The fields below are optional. The cases that need one that is not set are skipped.

	// Session are ways in which a script can change its session.
	Session []SessionChange
	// Never returns a statement that can't be in a transaction and that succeeds for a table with a
	// column x. Each call can be for another table. Run.Outcome must be able to determine whether
	// it took effect: a case fails if it returns Unclear.
	Never func(table string) string
	// Again is a statement that can't be in a transaction, that may run twice without harm, and that
	// has an effect which outlasts its session: Run.Outcome does not check whether it took effect.
	Again string
	// Half returns a statement that can't be in a transaction, for a table with a column x, and a
	// function that leaves what remains of it if the server stops while it executes the statement:
	// something that Outcome.First can't remove.
	Half func(ctx context.Context, table string) (statement string, leave func() error, err error)
	// Func returns the script of a Go function that creates a table (with NoDDL: inserts a row into
	// it) and then returns fail. Each call has a new id.
	Func func(id, table string, fail error) *migration.Script
	// Slow is a statement that runs for at least a minute unless it is cancelled.
	Slow string
	// Notice is a statement for which the server sends a notice or warning that contains
	// "whimbrel".
	Notice string
	// Block lets another session hold a lock on a table, in a transaction that does nothing more:
	// every other statement that uses the table waits. end ends the session, from any goroutine; it
	// returns nil if the session was terminated.
	Block func(ctx context.Context, table string) (end func() error, err error)
	// Deadlock lets another session lock the table wanted and then wait for the table held, which
	// the caller has changed in a transaction. It returns when the session waits, and will not be
	// the one that the database chooses when the caller waits for it.
	Deadlock func(ctx context.Context, held, wanted string) (end func() error, err error)
	// Blockers says that the database can tell which sessions block a statement, Terminates that
	// the driver can terminate them. Both need Block.
	Blockers, Terminates bool
	// Counters are the table that the cases of backfills work on.
	Counters *Counters
	// Break severs the connections of a Database of this target without its knowledge, as a failing
	// network or a kill would.
	Break func(db database.Database)

	creator creator // of the cases of RunCreator
}

// SessionChange is a way in which a script can change its session.
type SessionChange struct {
	Name string
	// Change is a script that changes something.
	Change string
	// Probe is a statement that inserts a row into the table "probe" if the session is changed, and
	// has no effect otherwise.
	Probe string
}

// Run proves a driver. newTarget is called once for each case.
func Run(t *testing.T, newTarget func(t *testing.T) Target) {
	for _, tc := range cases() {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tc.run(newCheck(t, newTarget(t)))
		})
	}
}

// testCase is one subtest of the suite.
type testCase struct {
	name    string
	promise *promise // the one that its first lines check
	do      func(*check)
}

func (tc testCase) run(c *check) {
	c.promised(tc.promise)
	tc.do(c)
}

// cases returns the suite, in the order in which an author implements a driver.
func cases() []testCase {
	var all []testCase
	for _, part := range [][]testCase{
		stateCases, txCases, scriptCases, historyCases, nameCases, settingCases, metadataCases, resetCases,
		lockCases, blockedCases, runCases, journalCases, sessionCases, faultCases, closeCases, cloneCases, backfillCases,
	} {
		all = append(all, part...)
	}
	return all
}
