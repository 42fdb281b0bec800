// Package classictest tests drivers of package classic: it runs the contract, promise by promise,
// against real databases.
//
// A driver's test is one call:
//
//	func TestContract(t *testing.T) {
//		classictest.Run(t, func(t *testing.T) classictest.Target { … })
//	}
//
// Each case has a database of its own and runs in parallel with the others. The message of a
// failure begins with the row of the contract (docs/contract.md) that the driver broke.
package classictest

import (
	"testing"

	"github.com/whimbrel-db/whimbrel/adopt/classic"
)

// Target is an empty database for one case. The suite's scripts use CREATE TABLE t (x int),
// INSERT INTO t VALUES (1), DELETE FROM t and DROP TABLE t, and some that fail.
type Target struct {
	// Open opens the database. A case calls it several times, as several processes would. The suite
	// closes each driver.
	Open func() (classic.Driver, error)
	// RowCount returns the number of rows of a table, and an error if it doesn't exist. It doesn't
	// use a driver.
	RowCount func(table string) (int, error)

	// URL is the URL of the database for Driver.Open; "" if it has none.
	URL string
	// NoDDL says that a transaction can't roll back CREATE TABLE.
	NoDDL bool
	// Document is a metadata document of a table t, for ApplyMetadata, and File the text of a file
	// of type meta with it. nil if the driver has no metadata.
	Document any
	File     string
	// Request is what Query executes to insert a row into the table t; nil if the driver has no
	// requests.
	Request any
	// Protect makes Reset refuse; nil if the driver can't.
	Protect func(d classic.Driver) error
	// Interrupt leaves an interrupted migration in the database; nil if the driver never does.
	Interrupt func() error
}

// Run runs the contract. newTarget is called once for each case.
func Run(t *testing.T, newTarget func(t *testing.T) Target) {
	for _, tc := range cases {
		t.Run(tc.row+" "+tc.name, func(t *testing.T) {
			t.Parallel()
			target := newTarget(t)
			if tc.needs != nil && !tc.needs(target) {
				t.Skip("the target has nothing for this case")
			}
			tc.do(&check{reporter: t, target: target, row: tc.row})
		})
	}
}

// reporter is the part of a testing.T that cases use.
type reporter interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(f func())
}

// testCase is one subtest. Without needs, every target has what it needs.
type testCase struct {
	row, name string
	needs     func(Target) bool
	do        func(*check)
}

// check is one run of a case.
type check struct {
	reporter
	target Target
	row    string
}

// open opens the target once more.
func (c *check) open() classic.Driver {
	c.Helper()
	d, err := c.target.Open()
	if err != nil || d == nil {
		c.fail("Open returned %v, %v; want a driver", d, err)
	}
	c.Cleanup(func() { _ = d.Close() })
	return d
}

func (c *check) fail(format string, args ...any) {
	c.Helper()
	c.Fatalf(c.row+": "+format, args...)
}

// ok expects no error of a call.
func (c *check) ok(call string, err error) {
	c.Helper()
	if err != nil {
		c.fail("%s returned %v; want no error", call, err)
	}
}

// refused expects an error of a call.
func (c *check) refused(call string, err error) {
	c.Helper()
	if err == nil {
		c.fail("%s returned no error", call)
	}
}

// locked expects exactly ErrLocked.
func (c *check) locked(call string, err error) {
	c.Helper()
	if err != classic.ErrLocked { //nolint:errorlint // programs of the contract compare like this
		c.fail("%s returned %v; want ErrLocked itself", call, err)
	}
}

// version expects what Version returns.
func (c *check) version(d classic.Driver, want int64) {
	c.Helper()
	got, dirty, err := d.Version()
	if got != want || dirty || err != nil {
		c.fail("Version returned %d, %t, %v; want %d, false and no error", got, dirty, err, want)
	}
}

// rows expects the number of rows of a table.
func (c *check) rows(table string, want int) {
	c.Helper()
	if got, err := c.target.RowCount(table); got != want || err != nil {
		c.fail("table %s has %d rows, %v; want %d", table, got, err, want)
	}
}

// missing expects that a table doesn't exist.
func (c *check) missing(table string) {
	c.Helper()
	if n, err := c.target.RowCount(table); err == nil {
		c.fail("table %s exists and has %d rows; want none", table, n)
	}
}
