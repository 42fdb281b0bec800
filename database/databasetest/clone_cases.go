package databasetest

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/whimbrel-db/whimbrel/database"
)

var cloneCases = []testCase{
	{"Clone", cloneCopies, cloneCase},
	{"Clone of templates with other keys", templateKey, cloneKeys},
	{"Clone by several processes at once", cloneOnce, cloneAtOnce},
	{"Clone while Fill fails", templateFails, cloneFails},
	{"Drop of a copy", copyDrop, cloneDrop},
	{"DropTemplate", templateDrop, cloneDropTemplate},
}

// template returns a template of this case, with version 1 of set s and the table t. It is removed
// when the case ends.
func (c *check) template() (t database.Template, filled *atomic.Int64) {
	c.Helper()
	filled = &atomic.Int64{}
	key := rand.Text()
	c.Cleanup(func() {
		db, err := c.Open(context.Background(), database.Options{})
		if err != nil {
			return
		}
		defer db.Close()
		if err := database.DropTemplate(context.Background(), db, key); !errors.Is(err, errors.ErrUnsupported) {
			c.ok(err, "DropTemplate")
		}
	})
	return database.Template{Key: key, Fill: func(_ context.Context, db database.Database) error {
		filled.Add(1)
		c.apply(db, "s", 1, "CREATE TABLE t (x int)")
		return nil
	}}, filled
}

// clone returns a copy, which is dropped when the case ends.
func (c *check) clone(db database.Database, t database.Template) *database.Copy {
	c.Helper()
	out, err := database.Clone(c.ctx, db, t)
	c.ok(err, "Clone")
	c.Cleanup(func() { out.Drop(context.Background()) })
	return out
}

// versions returns the versions of set s that a copy has.
func (c *check) versions(of *database.Copy) []int64 {
	c.Helper()
	return c.state(of.Database, "s").Applied.Versions()
}

func cloneCase(c *check) {
	db := c.db()
	t, filled := c.template()
	first, second := c.clone(db, t), c.clone(c.db(), t)
	for _, copied := range []*database.Copy{first, second} {
		got := c.versions(copied)
		c.that(slices.Equal(got, []int64{1}), "a copy has the versions %d, want 1", got)
		c.apply(copied.Database, "other", 1, "INSERT INTO t VALUES (1)") // the table exists
	}
	c.hasTables()

	c.promised(cloneOnce)
	c.that(filled.Load() == 1, "Fill was called %d times for two copies, want once", filled.Load())

	c.promised(copyName)
	c.that(first.Name != "" && first.Name != second.Name, "the copies have the names %q and %q", first.Name, second.Name)

	c.promised(cloneApart)
	c.apply(first.Database, "s", 2, "INSERT INTO t VALUES (1)")
	for _, copied := range []*database.Copy{second, c.clone(db, t)} {
		got := c.versions(copied)
		c.that(slices.Equal(got, []int64{1}), "a copy has the versions %d after a change of another one, want 1", got)
	}
}

func cloneKeys(c *check) {
	db := c.db()
	one, _ := c.template()
	other, filled := c.template()
	c.clone(db, one)
	c.clone(db, other)
	c.that(filled.Load() == 1, "for another key Fill was called %d times, want once", filled.Load())
}

func cloneAtOnce(c *check) {
	t, filled := c.template()
	const processes = 4
	var all [processes]database.Database
	for i := range all {
		all[i] = c.db()
	}
	var copies [processes]*database.Copy
	var errs [processes]error
	var wg sync.WaitGroup
	for i := range processes {
		wg.Go(func() { copies[i], errs[i] = database.Clone(c.ctx, all[i], t) })
	}
	wg.Wait()
	for i, err := range errs {
		c.ok(err, "Clone")
		c.Cleanup(func() { copies[i].Drop(context.Background()) })
	}
	c.that(filled.Load() == 1, "Fill was called %d times for %d processes, want once", filled.Load(), processes)
	for _, copied := range copies {
		got := c.versions(copied)
		c.that(slices.Equal(got, []int64{1}), "a copy has the versions %d, want 1", got)
	}
}

func cloneFails(c *check) {
	db := c.db()
	t, filled := c.template()
	fill, broken := t.Fill, errors.New("broken")
	t.Fill = func(ctx context.Context, db database.Database) error {
		return errors.Join(fill(ctx, db), broken)
	}
	_, err := database.Clone(c.ctx, db, t)
	err = c.powered(err)
	c.that(errors.Is(err, broken), "Clone returned %v, want the error of Fill", err)
	t.Fill = fill
	c.clone(db, t)
	c.that(filled.Load() == 2, "after an error of Fill it was called %d times in all, want 2", filled.Load())
}

func cloneDrop(c *check) {
	db := c.db()
	t, _ := c.template()
	copied := c.clone(db, t)
	c.ok(copied.Drop(done()), "Drop")
	_, err := copied.Database.State(c.ctx, "s")
	c.that(err != nil, "State of a dropped copy returned no error")
	if copied.URL != "" {
		again, err := database.Open(c.ctx, copied.URL, database.Options{})
		if err == nil {
			again.Close()
		}
		c.that(err != nil, "a dropped copy can be opened by its URL")
	}
	c.ok(copied.Drop(c.ctx), "a second Drop")
}

func cloneDropTemplate(c *check) {
	db := c.db()
	t, filled := c.template()
	copied := c.clone(db, t)
	c.ok(database.DropTemplate(c.ctx, db, t.Key), "DropTemplate")
	c.ok(database.DropTemplate(c.ctx, db, t.Key), "a second DropTemplate")
	got := c.versions(copied)
	c.that(slices.Equal(got, []int64{1}), "a copy has the versions %d after DropTemplate, want 1", got)
	c.clone(c.db(), t)
	c.that(filled.Load() == 2, "after DropTemplate Fill was called %d times in all, want 2", filled.Load())
}
