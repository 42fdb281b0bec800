package classictest

import (
	"errors"
	"io"
	"log"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/whimbrel-db/whimbrel/adopt/classic"
)

// The scripts of the suite.
const (
	createT = "CREATE TABLE t (x int)"
	insertT = "INSERT INTO t VALUES (1)"
	dropT   = "DROP TABLE t"
)

// cases are the suite, in the order of the contract.
var cases = []testCase{
	{row: "B1", name: "no version", do: func(c *check) {
		d := c.open()
		c.version(d, classic.NilVersion)
		c.applied(d)
	}},
	{row: "B2", name: "locked by the driver itself", do: func(c *check) {
		d := c.open()
		c.ok("Lock", d.Lock())
		c.locked("a second Lock", d.Lock())
		c.ok("UnLock", d.UnLock())
		c.ok("Lock after UnLock", d.Lock())
		c.ok("UnLock", d.UnLock())
	}},
	{row: "B2", name: "locked by another process", do: func(c *check) {
		c.setUp()
		d, other := c.open(), c.open()
		c.ok("Lock", d.Lock())
		c.locked("Lock of another process", other.Lock())
		c.ok("UnLock", d.UnLock())
		c.ok("Lock of another process after UnLock", other.Lock())
		c.locked("Lock of the first process", d.Lock())
		c.ok("UnLock", other.UnLock())
	}},
	{row: "B4", name: "a URL", needs: hasURL, do: func(c *check) {
		c.setUp()
		for _, logger := range []*log.Logger{nil, log.New(io.Discard, "", 0)} {
			d, err := c.open().Open(c.target.URL, logger != nil, logger)
			c.ok("Open", err)
			c.version(d, 1)
			c.unit(d, func() { c.run(d, insertT, 2); c.ok("RemoveVersion", d.RemoveVersion(2)) })
			c.ok("Close", d.Close())
		}
	}},
	{row: "B4", name: "no URL", do: func(c *check) {
		_, err := c.open().Open("no-such-scheme://nowhere", false, nil)
		c.refused("Open of an unknown scheme", err)
	}},
	{row: "B5", name: "closed", do: func(c *check) {
		d := c.open()
		c.ok("Close", d.Close())
		_, _, err := d.Version()
		c.refused("Version after Close", err)
		c.refused("Lock after Close", d.Lock())
	}},
	{row: "B5", name: "closed with the lock", do: func(c *check) {
		c.setUp()
		d := c.open()
		c.ok("Lock", d.Lock())
		c.run(d, insertT, 2)
		c.ok("Close", d.Close())
		other := c.open()
		c.ok("Lock after the process that had it closed", other.Lock())
		c.ok("UnLock", other.UnLock())
		c.version(other, 1)
		c.rows("t", 0)
	}},
	{row: "B6", name: "nothing before UnLock", do: func(c *check) {
		c.setUp()
		d, other := c.open(), c.open()
		c.ok("Lock", d.Lock())
		c.run(d, insertT, 2)
		c.run(d, insertT, 3)
		c.version(other, 1)
		c.rows("t", 0)
		c.ok("UnLock", d.UnLock())
		c.version(other, 3)
		c.rows("t", 2)
	}},
	{row: "B6", name: "all or nothing", do: func(c *check) {
		c.setUp()
		d := c.open()
		c.fails(d, func() (err error) {
			c.run(d, insertT, 2)
			return c.tryRun(d, "INSERT INTO missing VALUES (1)", "missing.up.sql", 3)
		})
		c.version(d, 1)
		c.version(c.open(), 1)
		c.rows("t", 0)
		c.unit(d, func() { c.run(d, insertT, 2) })
		c.rows("t", 1)
	}},
	{row: "B6", name: "all DDL or nothing", needs: func(t Target) bool { return !t.NoDDL }, do: func(c *check) {
		d := c.open()
		c.fails(d, func() (err error) {
			c.run(d, createT, 1)
			return c.tryRun(d, "INSERT INTO missing VALUES (1)", "missing.up.sql", 2)
		})
		c.version(d, classic.NilVersion)
		c.missing("t")
	}},
	{row: "B6", name: "nothing queued", do: func(c *check) {
		d := c.open()
		c.ok("UnLock without Lock", d.UnLock())
		c.unit(d, func() {})
		c.version(d, classic.NilVersion)
	}},
	{row: "B6", name: "several processes at once", do: func(c *check) {
		c.setUp()
		var all sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			d := c.open()
			all.Go(func() { errs[i] = c.insertOnce(d) })
		}
		all.Wait()
		c.ok("one of the processes", errors.Join(errs...))
		c.rows("t", 1)
		c.applied(c.open(), 1, 2)
	}},
	{row: "B7", name: "the file's name", do: func(c *check) {
		c.setUp()
		d := c.open()
		for _, script := range []string{"INSERT INTO missing VALUES (1)", "INSERT INTO t VALUES ('"} {
			err := c.fails(d, func() error { return c.tryRun(d, script, "0002_broken.up.sql", 2) })
			if !strings.Contains(err.Error(), "0002_broken.up.sql") {
				c.fail("the error is %q; want the file's name in it", err)
			}
			c.version(d, 1)
		}
		err := c.fails(d, func() error {
			c.run(d, insertT, 2)
			return d.Run(strings.NewReader("INSERT INTO missing VALUES (1)"), "sql", "rows.sql")
		})
		if !strings.Contains(err.Error(), "rows.sql") {
			c.fail("the error is %q; want the file's name in it", err)
		}
		c.rows("t", 0)
	}},
	{row: "B7", name: "an empty script", do: func(c *check) {
		d := c.open()
		c.unit(d, func() { c.run(d, "", 1); c.run(d, "-- nothing\n", 2) })
		c.version(d, 2)
	}},
	{row: "B7", name: "metadata", needs: hasDocument, do: func(c *check) {
		c.setUp()
		d := c.open()
		c.unit(d, func() {
			c.run(d, insertT, 2)
			c.ok("Run of metadata", d.Run(strings.NewReader(c.target.File), "meta", "2.up.yaml"))
		})
		got, err := d.ExportMetadata()
		c.ok("ExportMetadata", err)
		c.ok("ApplyMetadata", d.ApplyMetadata(c.target.Document))
		want, err := d.ExportMetadata()
		c.ok("ExportMetadata", err)
		if !reflect.DeepEqual(got, want) {
			c.fail("the metadata is %v after Run; want %v", got, want)
		}
	}},
	{row: "B8", name: "ResetQuery", do: func(c *check) {
		c.setUp()
		d, other := c.open(), c.open()
		c.ok("Lock", d.Lock())
		c.run(d, insertT, 2)
		d.ResetQuery()
		c.locked("Lock of another process after ResetQuery", other.Lock())
		c.run(d, insertT, 3)
		c.ok("UnLock", d.UnLock())
		c.rows("t", 1)
		c.applied(c.open(), 1, 3)
	}},
	{row: "B8", name: "ResetQuery after an error", do: func(c *check) {
		c.setUp()
		d := c.open()
		c.ok("Lock", d.Lock())
		c.run(d, insertT, 2)
		c.refused("Run of an unknown file type", d.Run(strings.NewReader(insertT), "exe", "3.exe"))
		d.ResetQuery()
		c.ok("UnLock after ResetQuery", d.UnLock())
		c.version(d, 1)
		c.rows("t", 0)
	}},
	{row: "B9", name: "record and un-record", do: func(c *check) {
		c.setUp()
		d := c.open()
		c.unit(d, func() {
			c.run(d, insertT, 2)
			c.ok("InsertVersion without a script", d.InsertVersion(3))
			c.ok("RemoveVersion without a script", d.RemoveVersion(2))
		})
		c.applied(c.open(), 1, 3)
		c.rows("t", 1)
	}},
	{row: "B9", name: "in the unit of the script", do: func(c *check) {
		c.setUp()
		d := c.open()
		c.unit(d, func() { c.run(d, insertT, 2) })
		c.fails(d, func() error {
			c.ok("Run", d.Run(strings.NewReader("DELETE FROM t"), "sql", "2.down.sql"))
			c.ok("RemoveVersion", d.RemoveVersion(2))
			return c.tryRun(d, "INSERT INTO missing VALUES (1)", "missing.up.sql", 3)
		})
		c.applied(d, 1, 2)
		c.rows("t", 1)
	}},
	{row: "B9", name: "a version twice", do: func(c *check) {
		c.setUp()
		d := c.open()
		c.fails(d, func() error { return c.tryRun(d, insertT, "1.up.sql", 1) })
		c.applied(d, 1)
		c.rows("t", 0)
	}},
	{row: "B9", name: "a version below -1", do: func(c *check) {
		d := c.open()
		c.fails(d, func() error { return d.InsertVersion(-2) })
		c.version(d, classic.NilVersion)
	}},
	{row: "B10", name: "the newest version", do: func(c *check) {
		d := c.open()
		c.unit(d, func() {
			c.ok("InsertVersion", d.InsertVersion(7))
			c.ok("InsertVersion", d.InsertVersion(20240229123456))
			c.ok("InsertVersion", d.InsertVersion(9))
		})
		c.version(d, 20240229123456)
		c.version(c.open(), 20240229123456)
	}},
	{row: "B10", name: "dirty", needs: func(t Target) bool { return t.Interrupt != nil }, do: func(c *check) {
		c.ok("Interrupt", c.target.Interrupt())
		if _, dirty, err := c.open().Version(); !dirty || err != nil {
			c.fail("Version returned dirty %t, %v after an interruption; want true", dirty, err)
		}
	}},
	{row: "B10", name: "not dirty once the script is corrected", do: func(c *check) {
		d := c.open()
		c.fails(d, func() error { return c.tryRun(d, "CREATE INDEX i ON missing (x)", "1.up.sql", 1) })
		c.unit(d, func() { c.run(d, createT, 1) })
		c.version(d, 1)
		c.version(c.open(), 1)
	}},
	{row: "B11", name: "Reset", do: func(c *check) {
		c.setUp()
		d := c.open()
		c.unit(d, func() { c.run(d, insertT, 2) })
		c.ok("Reset", d.Reset())
		c.missing("t")
		c.version(d, classic.NilVersion)
		c.applied(c.open())
		c.unit(d, func() { c.run(d, createT, 1) })
		c.rows("t", 0)
	}},
	{row: "B11", name: "Reset with the lock", do: func(c *check) {
		c.setUp()
		d, other := c.open(), c.open()
		c.ok("Lock", d.Lock())
		c.ok("Reset", d.Reset())
		c.locked("Lock of another process after Reset", other.Lock())
		c.ok("UnLock", d.UnLock())
		c.missing("t")
		c.version(other, classic.NilVersion)
	}},
	{row: "B11", name: "protected", needs: func(t Target) bool { return t.Protect != nil }, do: func(c *check) {
		c.setUp()
		d := c.open()
		c.ok("Protect", c.target.Protect(d))
		c.refused("Reset of a protected database", d.Reset())
		c.rows("t", 0)
		c.version(d, 1)
	}},
	{row: "B12", name: "the applied versions", do: func(c *check) {
		d := c.open()
		c.unit(d, func() {
			for _, v := range []int64{3, 1, 5} {
				c.ok("InsertVersion", d.InsertVersion(v))
			}
		})
		for _, d := range []classic.Driver{d, c.open()} {
			c.applied(d, 1, 3, 5)
		}
		c.unit(d, func() { c.ok("RemoveVersion", d.RemoveVersion(3)) })
		c.applied(d, 1, 5)
	}},
	{row: "B12", name: "after Lock", do: func(c *check) {
		c.setUp()
		d, other := c.open(), c.open()
		c.unit(other, func() { c.run(other, insertT, 2) })
		c.ok("Lock", d.Lock())
		c.applied(d, 1, 2)
		c.ok("UnLock", d.UnLock())
	}},
	{row: "B14", name: "defaults", do: func(c *check) {
		d := c.open()
		if got, err := d.GetSetting("migration_mode"); got != "true" || err != nil {
			c.fail("GetSetting of migration_mode returned %q, %v; want true", got, err)
		}
		for i := range classic.Settings {
			s := &classic.Settings[i]
			if got, err := d.GetSetting(s.GetName()); got != s.GetDefaultValue() || err != nil {
				c.fail("GetSetting of %s returned %q, %v; want %q", s.GetName(), got, err, s.GetDefaultValue())
			}
		}
	}},
	{row: "B14", name: "migration_mode", do: func(c *check) {
		c.setUp()
		d := c.open()
		c.ok("UpdateSetting", d.UpdateSetting("migration_mode", "false"))
		if got, err := c.open().GetSetting("migration_mode"); got != "false" || err != nil {
			c.fail("GetSetting returned %q, %v in another process; want false", got, err)
		}
		err := c.fails(d, func() error { return c.tryRun(d, insertT, "2.up.sql", 2) })
		if !strings.Contains(err.Error(), "migration_mode") {
			c.fail("the error is %q; want it to name migration_mode", err)
		}
		c.version(d, 1)
		c.rows("t", 0)
		c.ok("UpdateSetting", d.UpdateSetting("migration_mode", "true"))
		c.unit(d, func() { c.run(d, insertT, 2) })
		c.rows("t", 1)
	}},
	{row: "B15", name: "a document", needs: hasDocument, do: func(c *check) {
		c.setUp()
		d := c.open()
		none, err := d.ExportMetadata()
		c.ok("ExportMetadata", err)
		c.ok("ApplyMetadata", d.ApplyMetadata(c.target.Document))
		one, err := c.open().ExportMetadata()
		c.ok("ExportMetadata", err)
		if reflect.DeepEqual(one, none) {
			c.fail("ExportMetadata returned %v before and after ApplyMetadata", one)
		}
		c.ok("ReloadMetadata", d.ReloadMetadata())
		c.ok("ResetMetadata", d.ResetMetadata())
		c.exports(d, none)
		c.ok("ApplyMetadata of what was exported", d.ApplyMetadata(one))
		c.exports(d, one)
	}},
	{row: "B15", name: "inconsistent entries", needs: hasDocument, do: func(c *check) {
		c.setUp()
		d := c.open()
		none, err := d.ExportMetadata()
		c.ok("ExportMetadata", err)
		c.ok("ApplyMetadata", d.ApplyMetadata(c.target.Document))
		consistent, all, err := d.GetInconsistentMetadata()
		if !consistent || len(all) != 0 || err != nil {
			c.fail("GetInconsistentMetadata returned %t, %v, %v; want true and no entries", consistent, all, err)
		}
		c.unit(d, func() {
			c.ok("Run", d.Run(strings.NewReader(dropT), "sql", "1.down.sql"))
			c.ok("RemoveVersion", d.RemoveVersion(1))
		})
		consistent, all, err = d.GetInconsistentMetadata()
		if consistent || len(all) == 0 || err != nil {
			c.fail("GetInconsistentMetadata returned %t, %v, %v; want false and an entry", consistent, all, err)
		}
		if e := all[0]; e.GetType() == "" || !strings.Contains(e.GetName(), "t") || e.GetReason() == "" {
			c.fail("the entry is of type %q, name %q, reason %q; want all three", e.GetType(), e.GetName(), e.GetReason())
		}
		c.ok("DropInconsistentMetadata", d.DropInconsistentMetadata())
		c.exports(d, none)
	}},
	{row: "B15", name: "Query", needs: func(t Target) bool { return t.Request != nil }, do: func(c *check) {
		c.setUp()
		d := c.open()
		c.ok("Query", d.Query([]any{c.target.Request, c.target.Request}))
		c.rows("t", 2)
		c.version(d, 1)
		c.refused("Query of a number", d.Query([]any{c.target.Request, 7}))
		c.rows("t", 2)
	}},
	{row: "B17", name: "a program", do: func(c *check) {
		d := c.open()
		// Up, as programs of the contract do it: the script, the version, the metadata.
		c.unit(d, func() {
			c.run(d, createT, 1)
			c.run(d, insertT, 2)
			if c.target.Document != nil {
				c.ok("Run of metadata", d.Run(strings.NewReader(c.target.File), "meta", "2.up.yaml"))
			}
			c.run(d, insertT, 3)
		})
		c.rows("t", 2)
		c.applied(d, 1, 2, 3)
		// Two down: each version is removed after each of its files.
		c.unit(d, func() {
			for _, v := range []int64{3, 2} {
				c.ok("Run of an empty file", d.Run(strings.NewReader(""), "meta", "down.yaml"))
				c.ok("RemoveVersion", d.RemoveVersion(v))
				c.ok("Run", d.Run(strings.NewReader("DELETE FROM t"), "sql", "down.sql"))
				c.ok("RemoveVersion", d.RemoveVersion(v))
			}
		})
		c.rows("t", 0)
		c.applied(d, 1)
		// Skip the execution of one, forget the other.
		c.unit(d, func() { c.ok("InsertVersion", d.InsertVersion(2)); c.ok("RemoveVersion", d.RemoveVersion(1)) })
		c.rows("t", 0)
		c.applied(c.open(), 2)
	}},
	{row: "B18", name: "errors explain", do: func(c *check) {
		d := c.open()
		c.fails(d, func() error { return d.Run(strings.NewReader(createT), "exe", "1.exe") })
		c.fails(d, func() error { return d.Run(failing{}, "sql", "1.up.sql") })
		_, err := d.GetSetting("no_such_setting")
		c.refused("GetSetting of an unknown setting", err)
		c.refused("UpdateSetting of an unknown setting", d.UpdateSetting("no_such_setting", "true"))
		c.refused("UpdateSetting of migration_mode to maybe", d.UpdateSetting("migration_mode", "maybe"))
		c.version(d, classic.NilVersion)
		c.missing("t")
	}},
}

func hasURL(t Target) bool { return t.URL != "" }

func hasDocument(t Target) bool { return t.Document != nil }

// failing is a file that can't be read.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("can't read the file") }

// setUp creates the table t as version 1.
func (c *check) setUp() {
	c.Helper()
	d := c.open()
	c.unit(d, func() { c.run(d, createT, 1) })
	c.ok("Close", d.Close())
	c.rows("t", 0)
}

// unit calls queue between Lock and UnLock.
func (c *check) unit(d classic.Driver, queue func()) {
	c.Helper()
	c.ok("Lock", d.Lock())
	queue()
	c.ok("UnLock", d.UnLock())
}

// insertOnce waits for the lock and applies version 2, unless it is applied.
func (c *check) insertOnce(d classic.Driver) error {
	err := d.Lock()
	for ; err == classic.ErrLocked; err = d.Lock() { //nolint:errorlint // see locked
		time.Sleep(20 * time.Millisecond)
	}
	if err == nil && !d.Read(2) {
		err = c.tryRun(d, insertT, "2.up.sql", 2)
	}
	return errors.Join(err, d.UnLock())
}

// fails calls queue between Lock and UnLock, and expects that it or UnLock returns an error. The
// lock is free afterwards.
func (c *check) fails(d classic.Driver, queue func() error) error {
	c.Helper()
	c.ok("Lock", d.Lock())
	err := queue()
	if uerr := d.UnLock(); err == nil {
		err = uerr
	}
	c.refused("UnLock after a call that returned no error", err)
	other := c.open()
	c.ok("Lock of another process after a failure", other.Lock())
	c.ok("UnLock", other.UnLock())
	return err
}

// run queues a script and its version.
func (c *check) run(d classic.Driver, script string, version int64) {
	c.Helper()
	c.ok("Run and InsertVersion", c.tryRun(d, script, "script.up.sql", version))
}

func (*check) tryRun(d classic.Driver, script, file string, version int64) error {
	if err := d.Run(strings.NewReader(script), "sql", file); err != nil {
		return err
	}
	return d.InsertVersion(version)
}

// exports expects what ExportMetadata returns.
func (c *check) exports(d classic.Driver, want any) {
	c.Helper()
	if got, err := d.ExportMetadata(); !reflect.DeepEqual(got, want) || err != nil {
		c.fail("ExportMetadata returned %v, %v; want %v", got, err, want)
	}
}

// applied expects the applied versions, in ascending order, of all methods that navigate.
func (c *check) applied(d classic.Driver, want ...uint64) {
	c.Helper()
	first, last := newAnswer(0, false), newAnswer(0, false)
	if n := len(want); n > 0 {
		first, last = newAnswer(want[0], true), newAnswer(want[n-1], true)
	}
	c.answers("First", newAnswer(d.First()), first)
	c.answers("Last", newAnswer(d.Last()), last)
	for i, v := range want {
		next, prev := newAnswer(0, false), newAnswer(0, false)
		if i > 0 {
			prev = newAnswer(want[i-1], true)
		}
		if i < len(want)-1 {
			next = newAnswer(want[i+1], true)
		}
		c.answers("Next", newAnswer(d.Next(v)), next)
		c.answers("Prev", newAnswer(d.Prev(v)), prev)
		c.answers("Read", newAnswer(0, d.Read(v)), newAnswer(0, true))
	}
	const unknown = 4
	c.answers("Read of another version", newAnswer(0, d.Read(unknown)), newAnswer(0, false))
	c.answers("Next of another version", newAnswer(d.Next(unknown)), newAnswer(0, false))
	c.answers("Prev of another version", newAnswer(d.Prev(unknown)), newAnswer(0, false))
}

// answer is what a method that navigates returns.
type answer struct {
	version uint64
	ok      bool
}

func newAnswer(version uint64, ok bool) answer {
	if !ok {
		version = 0 // it has no meaning
	}
	return answer{version, ok}
}

func (c *check) answers(call string, got, want answer) {
	c.Helper()
	if got != want {
		c.fail("%s returned %d, %t; want %d, %t", call, got.version, got.ok, want.version, want.ok)
	}
}
