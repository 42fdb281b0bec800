package inspect

import (
	"context"
	"slices"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Way is another way to a version than through the migrations one by one.
type Way struct {
	Version int64 // of the baseline, or of the squash
	Name    string
	// Err is what failed on it, nil if nothing did.
	Err error
	// At is the version at which the schemas were found to differ, and Differences what is
	// different there from what the migrations make. It is the way's own version, unless what
	// comes behind makes something else of the same.
	At          int64
	Differences []catalog.Change
}

// OK reports whether the way leads to the schema of the migrations.
func (w Way) OK() bool { return w.Err == nil && len(w.Differences) == 0 }

// Repeatability is what was found out about one repeatable script.
type Repeatability struct {
	Name string
	// Run and Again are what it failed with, the first and the second time.
	Run, Again error
	// Differences are what the second time has changed.
	Differences []catalog.Change
}

// OK reports whether the script runs, and changes nothing when it runs once more.
func (r Repeatability) OK() bool { return r.Run == nil && r.Again == nil && len(r.Differences) == 0 }

// ways tries the other ways, each on a scratch database of its own.
func (v *verifier) ways(ctx context.Context) error {
	if err := v.close(ctx); err != nil { // there is one scratch database at a time
		return err
	}
	for _, b := range v.whole.Baselines() {
		if v.start != nil && b.Version == v.start.Version {
			continue // the migrations have begun there
		}
		w, err := v.way(ctx, b, migration.Contents{Migrations: v.whole.All(), Baselines: []migration.Migration{b}})
		if err != nil {
			return err
		}
		v.answer.Baselines = append(v.answer.Baselines, w)
	}
	for _, q := range v.whole.All() {
		c, ok := v.originals(q)
		if !ok {
			continue
		}
		w, err := v.way(ctx, q, c)
		if err != nil {
			return err
		}
		v.answer.Originals = append(v.answer.Originals, w)
	}
	return nil
}

// originals are the set's contents with what a squash replaces instead of it.
func (v *verifier) originals(q migration.Migration) (migration.Contents, bool) {
	c := migration.Contents{Migrations: slices.DeleteFunc(v.whole.All(), func(m migration.Migration) bool { return m.Version == q.Version })}
	if v.start != nil {
		c.Baselines = []migration.Migration{*v.start}
	}
	for _, r := range q.Up.Replaces {
		m, ok := v.whole.Original(r.Version)
		if !ok {
			return c, false
		}
		c.Migrations = append(c.Migrations, m)
	}
	return c, len(q.Up.Replaces) > 0
}

// way goes up through other contents: to a version, and to the newest.
func (v *verifier) way(ctx context.Context, to migration.Migration, c migration.Contents) (Way, error) {
	w := Way{Version: to.Version, Name: to.Name}
	set, err := c.Set(v.whole.Name())
	if err != nil {
		return w, err
	}
	err = v.scratch.on(ctx, func(db database.Database) error {
		m := whimbrel.New(db, set, whimbrel.Options{ReadMetadata: noMetadata})
		for _, w.At = range []int64{to.Version, max(v.last, to.Version)} {
			if _, w.Err = m.Reach(ctx, whimbrel.UpTo(w.At)); w.Err != nil || to.Version < v.bottom() {
				return ctx.Err() // what is older than all migrations can do no more than run
			}
			now, err := database.Snapshot(ctx, db, catalog.Options{})
			if err != nil {
				return err
			}
			if w.Differences = v.compare(now, w.At); len(w.Differences) > 0 {
				return nil
			}
		}
		return nil
	})
	return w, err
}

// compare compares with the schema at a version.
func (v *verifier) compare(now *catalog.Snapshot, version int64) []catalog.Change {
	if m, ok := v.below(version); ok {
		return catalog.Compare(v.at[m.Version], now)
	}
	return catalog.Compare(v.empty, now)
}

// below returns the newest migration up to a version.
func (v *verifier) below(version int64) (newest migration.Migration, ok bool) {
	for _, m := range v.set.All() {
		if m.Version <= version {
			newest, ok = m, true
		}
	}
	return newest, ok
}

// wanted reports whether another way leads to a version's schema.
func (v *verifier) wanted(version int64) bool {
	if m, ok := v.set.Get(version); ok && len(m.Up.Replaces) > 0 {
		return true
	}
	return slices.ContainsFunc(v.whole.Baselines(), func(b migration.Migration) bool {
		m, ok := v.below(b.Version)
		return ok && m.Version == version
	})
}

// repeat runs the repeatable scripts after everything else, and each of them once more.
func (v *verifier) repeat(ctx context.Context) error {
	for _, r := range v.whole.Repeatables() {
		f := Repeatability{Name: r.Name}
		if f.Run = v.run(ctx, r, "repeatable scripts"); f.Run != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		v.answer.Repeatables = append(v.answer.Repeatables, f)
	}
	for i, r := range v.whole.Repeatables() {
		f := &v.answer.Repeatables[i]
		if f.Run != nil {
			continue
		}
		before, err := v.look(ctx)
		if err != nil {
			return err
		}
		if f.Again = v.run(ctx, r, "repeatable scripts again"); f.Again != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		after, err := v.look(ctx)
		if err != nil {
			return err
		}
		f.Differences = catalog.Compare(before, after)
	}
	return nil
}

// run runs a repeatable script as a set of its own, in which it has not run yet.
func (v *verifier) run(ctx context.Context, r migration.Named, as string) error {
	set, err := migration.Contents{Repeatables: []migration.Named{r}}.Set(as)
	if err != nil {
		return err
	}
	_, err = whimbrel.New(v.db, set, whimbrel.Options{ReadMetadata: noMetadata}).Up(ctx)
	return err
}
