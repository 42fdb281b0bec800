package databasetest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
)

// RunCreator proves the driver of a URL as a [database.Creator]. The URL must name a database that
// does not exist. When RunCreator returns, it does not exist again. The cases run one after the
// other.
func RunCreator(t *testing.T, url string) {
	for _, tc := range creatorCases {
		t.Run(tc.name, func(t *testing.T) {
			tc.run(newCheck(t, Target{
				Open: func(ctx context.Context, opts database.Options) (database.Database, error) {
					return database.Open(ctx, url, opts)
				},
				creator: creator{
					create: func(ctx context.Context) (bool, error) { return database.Create(ctx, url, database.Options{}) },
					drop: func(ctx context.Context, force bool) (bool, error) {
						return database.Drop(ctx, url, database.DropOptions{Force: force})
					},
				},
			}))
		})
	}
}

// creator creates and drops the database of a Target.
type creator struct {
	create func(ctx context.Context) (created bool, err error)
	drop   func(ctx context.Context, force bool) (dropped bool, err error)
}

var creatorCases = []testCase{
	{"Create", createNew, createCase},
	{"Create by several processes at once", createOnce, createAtOnce},
	{"Create of a database that exists", createExists, createAgain},
	{"Drop", dropEverything, dropCase},
	{"Drop of a database that does not exist", dropMissing, dropNothing},
	{"Drop of a database with settings", dropSettings, dropFrozen},
	{"Drop of a database with a client", dropOccupied, dropWithClient},
}

// creates calls Create. The database is dropped when the case ends.
func (c *check) creates(want bool) {
	c.Helper()
	c.Cleanup(func() { _, _ = c.creator.drop(context.Background(), true) })
	created, err := c.creator.create(c.ctx)
	c.ok(err, "Create")
	c.that(created == want, "Create returned %v, want %v", created, want)
}

func (c *check) drops(want bool) {
	c.Helper()
	dropped, err := c.creator.drop(c.ctx, false)
	c.ok(err, "Drop")
	c.that(dropped == want, "Drop returned %v, want %v", dropped, want)
}

// versionsThere returns the versions of set s in the database.
func (c *check) versionsThere() []int64 {
	c.Helper()
	db := c.db()
	defer db.Close()
	return c.state(db, "s").Applied.Versions()
}

// writes records version 1 of set s in the database, and closes it.
func (c *check) writes() {
	c.Helper()
	db := c.db()
	c.enter(db, "s", up(1))
	c.ok(db.Close(), "Close")
}

func createCase(c *check) {
	c.creates(true)
	got := c.versionsThere()
	c.that(len(got) == 0, "a new database has the versions %d", got)
	c.writes()
}

func createAtOnce(c *check) {
	const processes = 4
	c.Cleanup(func() { _, _ = c.creator.drop(context.Background(), true) })
	var all sync.WaitGroup
	var created [processes]bool
	var errs [processes]error
	for i := range processes {
		all.Go(func() { created[i], errs[i] = c.creator.create(c.ctx) })
	}
	all.Wait()
	n := 0
	for i := range processes {
		c.ok(errs[i], "Create")
		if created[i] {
			n++
		}
	}
	c.that(n == 1, "%d of %d processes created the database, want 1", n, processes)
}

func createAgain(c *check) {
	c.creates(true)
	c.creates(false)
	c.writes()
	c.creates(false)
	got := c.versionsThere()
	c.that(len(got) == 1, "after another Create the database has the versions %d, want 1", got)
}

func dropCase(c *check) {
	c.creates(true)
	c.writes()
	c.drops(true)
	c.creates(true)
	got := c.versionsThere()
	c.that(len(got) == 0, "after Drop and Create the database has the versions %d", got)
}

func dropNothing(c *check) {
	c.drops(false)
	c.creates(true)
	c.drops(true)
	c.promised(dropMissing)
	c.drops(false)
}

func dropFrozen(c *check) {
	c.creates(true)
	db := c.db()
	c.freezes(db)
	c.ok(db.Close(), "Close")
	c.drops(true)
}

func dropWithClient(c *check) {
	c.creates(true)
	c.writes()
	db := c.db()
	c.begin(db, "s")
	dropped, err := c.creator.drop(c.ctx, false)
	var e *database.OccupiedError
	c.that(errors.As(err, &e) && !dropped, "Drop with a client returned %v and %v, want an *OccupiedError", dropped, err)
	got := c.versionsThere()
	c.that(len(got) == 1, "after Drop with a client the database has the versions %d, want 1", got)

	c.promised(dropForce)
	dropped, err = c.creator.drop(c.ctx, true)
	c.ok(err, "Drop by force")
	c.that(dropped, "Drop by force returned false")
	c.creates(true)
	got = c.versionsThere()
	c.that(len(got) == 0, "after Drop by force and Create the database has the versions %d", got)
}
