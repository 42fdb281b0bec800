// Package databasetest proves a database driver: it runs the contract of package
// database, sentence by sentence, against real targets.
//
// A driver's test is one call:
//
//	func TestContract(t *testing.T) {
//		databasetest.Run(t, func(t *testing.T) databasetest.Target { … })
//	}
//
// Each case has a target of its own and runs in parallel with the others. When one
// fails, the message ends with the sentence of the contract that does not hold. No
// case asserts how long anything takes.
package databasetest

import (
	"context"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Target is an empty database for one case, and what the suite must know of it.
// Open, Tables and RowCount are required. The scripts of the suite's own are plain:
// CREATE TABLE t (x int), INSERT INTO t VALUES (1), DELETE FROM t, DROP TABLE t,
// savepoints, and in a Run also BEGIN, COMMIT and ROLLBACK.
type Target struct {
	// Open opens the target. It is called several times in a case, as several
	// processes would; the suite closes what it opened.
	Open func(ctx context.Context, opts database.Options) (database.Database, error)
	// Tables returns the names of all tables in the target, Whimbrel's own among them,
	// in any order. It does not use a Database.
	Tables func(ctx context.Context) ([]string, error)
	// RowCount returns the number of rows of a table that a script made.
	RowCount func(ctx context.Context, table string) (int, error)

	// OneWriter says that the database has one writer at a time: a lock of one set keeps
	// out the others.
	OneWriter bool
	// NoDDL says that a transaction cannot take back CREATE TABLE.
	NoDDL bool
	// Schemas says that Options.Schema means something here.
	Schemas bool
	// ASCIIComments says that the comments of the target's objects hold ASCII alone, because its encoding does.
	ASCIIComments bool
	// Holders says that the database can always tell who holds a lock.
	Holders bool

	// Powers are the powers that the driver must have. The cases of a power that it doesn't have are
	// skipped if the power is not among them, and fail if it is.
	Powers []database.Power

	// What follows may be left out; the cases that need it are then skipped.

	// Session are ways in which a script can change its session.
	Session []SessionChange
	// Never returns a statement that cannot be in a transaction and that succeeds for a
	// table with a column x; each call may be for another table. Run.Outcome must
	// be able to tell whether it took effect: a case fails if it returns Unclear.
	Never func(table string) string
	// Func returns the script of a Go function that creates a table, or with NoDDL inserts a
	// row into it, and then returns fail. Func is called with a new id each time.
	Func func(id, table string, fail error) *migration.Script
	// Slow is a statement that runs for at least a minute unless it is cancelled.
	Slow string
	// Notice is a statement that makes the server send a notice or warning with
	// "whimbrel" in its message.
	Notice string
	// Break severs the connections of a Database of this target, as a network or a kill
	// would, without its knowing.
	Break func(db database.Database)
}

// SessionChange is a way in which a script can change its session.
type SessionChange struct {
	Name string
	// Change is a script that changes something.
	Change string
	// Probe is a statement that inserts a row into the table "probe" if it is
	// changed, and does nothing otherwise.
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

// testCase is one sub-test of the suite.
type testCase struct {
	name    string
	promise *promise // that its first lines check
	do      func(*check)
}

func (tc testCase) run(c *check) {
	c.promised(tc.promise)
	tc.do(c)
}

// cases returns the suite, in the order in which a driver grows.
func cases() []testCase {
	var all []testCase
	for _, part := range [][]testCase{
		stateCases, txCases, scriptCases, historyCases, nameCases, settingCases, metadataCases, resetCases,
		lockCases, runCases, journalCases, sessionCases, faultCases, closeCases,
	} {
		all = append(all, part...)
	}
	return all
}
