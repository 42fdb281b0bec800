package inspect

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Verified is what a proof on scratch has found.
type Verified struct {
	Set        string
	Migrations []Proof
	// Left is what is there after everything was rolled back and was not there before, and
	// Again what differs after everything was applied a second time. Both are only looked
	// for when every migration has a down script that is its up's inverse.
	Left, Again []catalog.Change
	// Baselines are the ways from a baseline, Originals those through the migrations that a
	// squash replaces, where they are all still there.
	Baselines, Originals []Way
	Repeatables          []Repeatability
}

// Proof is what was found out about one migration.
type Proof struct {
	Version int64
	Name    string
	// Up and Down are what the scripts failed with, nil if they did not.
	Up, Down error
	// NoDown reports that there is no down script, Tried that up and down were run.
	NoDown, Tried bool
	// Differences are what is different after up and down from before: none if the down
	// script is the exact inverse of the up script.
	Differences []catalog.Change
}

// Inverse reports whether the down script was seen to take back exactly what the up
// script does.
func (p Proof) Inverse() bool {
	return p.Tried && !p.NoDown && p.Up == nil && p.Down == nil && len(p.Differences) == 0
}

// OK reports whether the migration works up, and down if there is a down script.
func (p Proof) OK() bool { return p.Up == nil && (p.NoDown || p.Inverse()) }

// OK reports whether nothing was found.
func (v *Verified) OK() bool {
	for _, p := range v.Migrations {
		if !p.OK() {
			return false
		}
	}
	for _, w := range slices.Concat(v.Baselines, v.Originals) {
		if !w.OK() {
			return false
		}
	}
	for _, r := range v.Repeatables {
		if !r.OK() {
			return false
		}
	}
	return len(v.Left) == 0 && len(v.Again) == 0
}

// Verify proves a set on scratch databases: it applies each migration, rolls it back
// and applies it again, looking at the catalogue in between; then it rolls everything back,
// and applies it all once more. Where a script leaves the scratch database in disorder
// it goes on with a new one. Then the other ways to the same schema are tried, from baselines
// and through a squash's originals; and the repeatable scripts, twice. What is wrong with the
// set is in the answer; the error is about the scratch databases themselves, or an *OutsideError about scripts that reach out of them.
//
// The migrations are proved from nothing, or from the newest baseline of which no older
// migrations are in the set.
func Verify(ctx context.Context, set *migration.Set, scratch Scratch) (_ *Verified, err error) {
	t, set, err := scratch.forSet(ctx, set)
	if err != nil {
		return nil, err
	}
	v := &verifier{whole: set, scratch: t, answer: &Verified{Set: set.Name()}, at: map[int64]*catalog.Snapshot{}, last: whimbrel.NilVersion}
	if v.set, err = v.road(); err != nil {
		return nil, err
	}
	defer func() {
		if cerr := v.close(ctx); err == nil {
			err = cerr
		}
	}()
	going, err := v.begin(ctx)
	if err != nil || !going {
		return v.answer, err
	}
	for _, m := range v.set.All() {
		if going, err = v.one(ctx, m); err != nil {
			return nil, err
		} else if !going {
			return v.answer, nil
		}
	}
	for _, rest := range []func(context.Context) error{v.backAndForth, v.repeat, v.ways} {
		if err := rest(ctx); err != nil {
			return nil, err
		}
	}
	return v.answer, nil
}

type verifier struct {
	whole, set *migration.Set // all there is, and what is proved migration by migration
	scratch    *trial
	answer     *Verified

	db   database.Database
	drop func(context.Context) error
	m    *whimbrel.Migrator

	start *migration.Migration        // the baseline that the migrations begin behind
	empty *catalog.Snapshot           // before the first migration
	last  int64                       // the newest that was proved
	at    map[int64]*catalog.Snapshot // the schema at versions that other ways lead to
}

// road is the way that is proved migration by migration.
func (v *verifier) road() (*migration.Set, error) {
	c := migration.Contents{Migrations: v.whole.All()}
	if b, ok := startOf(v.whole); ok {
		v.start, c.Baselines = &b, []migration.Migration{b}
	}
	return c.Set(v.whole.Name())
}

// bottom is the version below the first migration.
func (v *verifier) bottom() int64 {
	if v.start == nil {
		return whimbrel.NilVersion
	}
	return v.start.Version
}

// begin makes the first scratch database, from the baseline if there is nothing before it.
func (v *verifier) begin(ctx context.Context) (going bool, err error) {
	if err := v.renew(ctx, whimbrel.NilVersion); err != nil {
		return false, err
	}
	if v.start != nil {
		w := Way{Version: v.start.Version, Name: v.start.Name}
		_, w.Err = v.m.Reach(ctx, whimbrel.UpTo(v.start.Version))
		v.answer.Baselines = append(v.answer.Baselines, w)
		if w.Err != nil {
			return false, ctx.Err()
		}
	}
	v.empty, err = v.look(ctx)
	return true, err
}

// renew goes on with a new scratch database, at a version.
func (v *verifier) renew(ctx context.Context, version int64) (err error) {
	if err := v.close(ctx); err != nil {
		return err
	}
	if v.db, v.drop, err = v.scratch.make(ctx); err != nil {
		return err
	}
	v.m = whimbrel.New(v.db, v.set, whimbrel.Options{AllowOutOfOrder: true, ReadMetadata: noMetadata})
	if version == whimbrel.NilVersion {
		return nil
	}
	_, err = v.m.Reach(ctx, whimbrel.UpTo(version))
	return err
}

func (v *verifier) close(ctx context.Context) error {
	if v.drop == nil {
		return nil
	}
	drop := v.drop
	v.drop = nil
	return drop(ctx)
}

func (v *verifier) look(ctx context.Context) (*catalog.Snapshot, error) {
	return database.Snapshot(ctx, v.db, catalog.Options{})
}

// one proves the next migration, and reports whether there is a way on from it.
func (v *verifier) one(ctx context.Context, m migration.Migration) (going bool, err error) {
	p := Proof{Version: m.Version, Name: m.Name, NoDown: m.Down == nil}
	defer func() { v.answer.Migrations = append(v.answer.Migrations, p) }()
	before, err := v.look(ctx)
	if err != nil {
		return false, err
	}
	if v.wanted(v.last) {
		v.at[v.last] = before
	}
	if _, p.Up = v.m.Steps(ctx, 1); p.Up != nil {
		return false, ctx.Err()
	}
	p.Tried, v.last = true, m.Version
	if p.NoDown {
		return true, nil
	}
	whole, err := v.inOneTransaction(ctx)
	if err != nil {
		return false, err
	}
	if _, p.Down = v.m.Steps(ctx, -1); p.Down != nil {
		if whole { // which has left nothing
			return true, ctx.Err()
		}
		return true, errors.Join(ctx.Err(), v.renew(ctx, m.Version))
	}
	after, err := v.look(ctx)
	if err != nil {
		return false, err
	}
	if p.Differences = catalog.Compare(before, after); len(p.Differences) > 0 {
		return true, v.renew(ctx, m.Version)
	}
	if _, err := v.m.Steps(ctx, 1); err != nil {
		p.Up = fmt.Errorf("a second time, after its down script: %w", err)
		return true, errors.Join(ctx.Err(), v.renew(ctx, m.Version))
	}
	return true, nil
}

// inOneTransaction reports whether the newest migration's down script happens whole or not at all.
func (v *verifier) inOneTransaction(ctx context.Context) (bool, error) {
	p, err := v.m.Plan(ctx, whimbrel.Steps(-1))
	return err == nil && p.Units[0].Kind == whimbrel.BatchUnit, ctx.Err()
}

// backAndForth rolls everything back and applies it all again.
func (v *verifier) backAndForth(ctx context.Context) error {
	full, err := v.look(ctx)
	if err != nil {
		return err
	}
	v.at[v.last] = full
	if slices.ContainsFunc(v.answer.Migrations, func(p Proof) bool { return !p.Inverse() }) {
		return nil
	}
	if _, err := v.m.Rollback(ctx, v.bottom()); err != nil {
		return err
	}
	nothing, err := v.look(ctx)
	if err != nil {
		return err
	}
	v.answer.Left = catalog.Compare(v.empty, nothing)
	if _, err := v.m.Reach(ctx, whimbrel.Steps(v.set.Len())); err != nil {
		return err
	}
	again, err := v.look(ctx)
	if err != nil {
		return err
	}
	v.answer.Again = catalog.Compare(full, again)
	return nil
}
