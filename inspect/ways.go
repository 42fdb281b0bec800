package inspect

import (
	"context"
	"slices"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Way is a way to a version other than through the migrations one by one.
type Way struct {
	Version int64 // of the baseline or squash
	Name    string
	// Err is the error on the way, if any.
	Err error
	// At is the version at which the schemas differ, and Differences are the differences from the
	// schema that the migrations create. At is the way's own version, unless only later migrations
	// lead to different results.
	At          int64
	Differences []catalog.Change
}

// OK reports whether the way leads to the schema of the migrations.
func (w Way) OK() bool { return w.Err == nil && len(w.Differences) == 0 }

// Repeatability is the result for one repeatable script.
type Repeatability struct {
	Name string
	// Run and Again are the errors of the first and the second run, if any.
	Run, Again error
	// Differences are the changes by the second run.
	Differences []catalog.Change
}

// OK reports whether the script runs twice, and changes nothing the second time.
func (r Repeatability) OK() bool { return r.Run == nil && r.Again == nil && len(r.Differences) == 0 }

// ways tries the other ways, each on a scratch database of its own.
func (v *verifier) ways(ctx context.Context) error {
	if err := v.close(ctx); err != nil { // only one scratch database exists at a time
		return err
	}
	for _, b := range v.whole.Baselines() {
		if v.start != nil && b.Version == v.start.Version {
			continue // the migrations started there
		}
		w, err := v.way(ctx, b, migration.Contents{Migrations: v.whole.All(), Baselines: []migration.Migration{b}})
		if err != nil {
			return err
		}
		v.answer.Baselines = append(v.answer.Baselines, w)
	}
	for _, q := range v.whole.All() {
		if len(q.Up.Replaces) == 0 {
			continue
		}
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

// originals returns the set's contents with the originals in place of a squash.
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
	return c, true
}

// way goes up through other contents, to a version and then to the newest.
func (v *verifier) way(ctx context.Context, to migration.Migration, c migration.Contents) (Way, error) {
	w := Way{Version: to.Version, Name: to.Name}
	set, err := c.Set(v.whole.Name())
	if err != nil {
		return w, err
	}
	err = v.scratch.on(ctx, func(db database.Database) error {
		m := whimbrel.New(db, set, v.scratch.options(whimbrel.Options{ReadMetadata: noMetadata}))
		for _, w.At = range []int64{to.Version, max(v.last, to.Version)} {
			if _, w.Err = m.Migrate(ctx, whimbrel.UpTo(w.At), whimbrel.ApplyOptions{}); w.Err != nil || to.Version < v.bottom() {
				return ctx.Err() // older than all migrations: there is nothing to compare with
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

// compare compares a snapshot with the schema at a version.
func (v *verifier) compare(now *catalog.Snapshot, version int64) []catalog.Change {
	if m, ok := v.below(version); ok {
		return catalog.Compare(v.at[m.Version], now)
	}
	return catalog.Compare(v.empty, now)
}

// below returns the newest migration up to a version.
func (v *verifier) below(version int64) (newest migration.Migration, ok bool) {
	for _, m := range v.list {
		if m.Version <= version {
			newest, ok = m, true
		}
	}
	return newest, ok
}

// leads returns the versions that other ways lead to.
func (v *verifier) leads() map[int64]bool {
	wanted := map[int64]bool{}
	for _, m := range v.list {
		wanted[m.Version] = len(m.Up.Replaces) > 0
	}
	for _, b := range v.whole.Baselines() {
		if m, ok := v.below(b.Version); ok {
			wanted[m.Version] = true
		}
	}
	return wanted
}

// repeat runs the repeatable scripts after everything else, and then each once more.
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
		before, err := v.snapshot(ctx)
		if err != nil {
			return err
		}
		if f.Again = v.run(ctx, r, "repeatable scripts again"); f.Again != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		after, err := v.snapshot(ctx)
		if err != nil {
			return err
		}
		f.Differences = catalog.Compare(before, after)
	}
	return nil
}

// run runs a repeatable script in a set of its own, which has no history yet.
func (v *verifier) run(ctx context.Context, r migration.Named, as string) error {
	set, err := migration.Contents{Repeatables: []migration.Named{r}}.Set(as)
	if err != nil {
		return err
	}
	_, err = whimbrel.New(v.now.db, set, v.scratch.options(whimbrel.Options{ReadMetadata: noMetadata})).Up(ctx)
	return err
}
