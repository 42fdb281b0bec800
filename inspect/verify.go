package inspect

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Verified is the result of proving a set on scratch.
type Verified struct {
	Set        string
	Migrations []Proof
	// Left is what remains after rolling everything back and did not exist before. Again is what
	// differs after applying everything a second time. Verify checks both only if every migration
	// has a down script that reverts its up script exactly.
	Left, Again []catalog.Change
	// Baselines are the ways that start from a baseline. Originals are those through the migrations
	// that a squash replaces, if all their files exist.
	Baselines, Originals []Way
	Repeatables          []Repeatability
}

// Proof is the result for one migration.
type Proof struct {
	Version int64
	Name    string
	// Up and Down are the errors of the scripts, if any.
	Up, Down error
	// NoDown: there is no down script. Tried: up and down ran.
	NoDown, Tried bool
	// Differences are those after up and down: none if the down script reverts the up script
	// exactly.
	Differences []catalog.Change
}

// Inverse reports whether the down script reverted exactly what the up script did.
func (p Proof) Inverse() bool {
	return p.Tried && !p.NoDown && p.Up == nil && p.Down == nil && len(p.Differences) == 0
}

// OK reports whether the migration works up, and down if there is a down script.
func (p Proof) OK() bool { return p.Up == nil && (p.NoDown || p.Inverse()) }

// OK reports whether Verify found no problem.
func (v *Verified) OK() bool {
	return !slices.ContainsFunc(v.Migrations, func(p Proof) bool { return !p.OK() }) &&
		!slices.ContainsFunc(slices.Concat(v.Baselines, v.Originals), func(w Way) bool { return !w.OK() }) &&
		!slices.ContainsFunc(v.Repeatables, func(r Repeatability) bool { return !r.OK() }) &&
		len(v.Left)+len(v.Again) == 0
}

// Verify proves a set on scratch databases. It applies each migration, rolls it back and applies it
// again, comparing the schema each time. Then it rolls everything back and applies it once more. If
// a script leaves the scratch database in another state than it should, Verify continues with a
// copy of one on which only up scripts ran (database.CopyScratch), or with a new one if the driver
// can't copy scratch databases.
// Finally it tries the other ways to the same schema, from baselines and through a squash's
// originals, and runs the repeatable scripts twice. The result contains the problems of the set.
// The error is about the scratch databases, or an *OutsideError.
//
// The proof starts from an empty database, or from the newest baseline without older migrations in
// the set.
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
	v.list = v.set.All()
	v.wanted = v.leads()
	for i, m := range v.list {
		v.scratch.index, v.scratch.of = i, len(v.list)
		if going, err = v.one(ctx, m); err != nil {
			return nil, err
		} else if !going {
			return v.answer, nil
		}
	}
	v.scratch.of = 0
	for _, rest := range []func(context.Context) error{v.backAndForth, v.repeat, v.ways} {
		if err := rest(ctx); err != nil {
			return nil, err
		}
	}
	return v.answer, nil
}

type verifier struct {
	whole, set *migration.Set // the given set, and the part proved one by one
	list       []migration.Migration
	scratch    *trial
	answer     *Verified

	now *place // where the migrations are proved
	// line is where only up scripts run. It is created when a down script leaves something else
	// than what was there before.
	line      *place
	uncopying bool // the scratch databases can't be copied

	start *migration.Migration // the baseline that the migrations start from
	empty *catalog.Snapshot    // before the first migration
	last  int64                // the newest version proved
	done  int                  // the number of versions proved

	wanted map[int64]bool              // the versions that other ways lead to
	at     map[int64]*catalog.Snapshot // the schemas at these versions
}

// road returns the set that is proved one by one.
func (v *verifier) road() (*migration.Set, error) {
	c := migration.Contents{Migrations: v.whole.All()}
	if b, ok := startOf(v.whole); ok {
		v.start, c.Baselines = &b, []migration.Migration{b}
	}
	return c.Set(v.whole.Name())
}

// bottom returns the version before the first migration.
func (v *verifier) bottom() int64 {
	if v.start == nil {
		return whimbrel.NilVersion
	}
	return v.start.Version
}

// begin creates the first scratch database, and applies the baseline if there is one.
func (v *verifier) begin(ctx context.Context) (going bool, err error) {
	if v.now, err = v.newPlace(ctx); err != nil {
		return false, err
	}
	if v.start != nil {
		w := Way{Version: v.start.Version, Name: v.start.Name}
		w.Err = v.base(ctx, v.now)
		v.answer.Baselines = append(v.answer.Baselines, w)
		if w.Err != nil {
			return false, ctx.Err()
		}
	}
	v.empty, err = v.snapshot(ctx)
	return true, err
}

func (v *verifier) snapshot(ctx context.Context) (*catalog.Snapshot, error) {
	return v.now.snapshot(ctx)
}

// one proves the next migration, and reports whether the proof can continue.
func (v *verifier) one(ctx context.Context, m migration.Migration) (going bool, err error) {
	p := Proof{Version: m.Version, Name: m.Name, NoDown: m.Down == nil}
	defer func() { v.answer.Migrations = append(v.answer.Migrations, p) }()
	before, err := v.snapshot(ctx)
	if err != nil {
		return false, err
	}
	if v.wanted[v.last] {
		v.at[v.last] = before
	}
	if p.Up = v.up(ctx, v.now, m); p.Up != nil {
		return false, ctx.Err()
	}
	p.Tried, v.last, v.done = true, m.Version, v.done+1
	if p.NoDown {
		return true, nil
	}
	return true, v.back(ctx, m, &p, before)
}

// back proves the down script of the newest migration. Afterwards the migration is applied again.
func (v *verifier) back(ctx context.Context, m migration.Migration, p *Proof, before *catalog.Snapshot) error {
	done, err := v.beforeDown(ctx)
	if err != nil {
		return err
	}
	by, err := v.migrator(v.now, m)
	if err != nil {
		return err
	}
	plan, err := by.Plan(ctx, whimbrel.By(-1))
	if err != nil { // nothing has run
		p.Down = err
		return ctx.Err()
	}
	if _, p.Down = by.Apply(ctx, plan, whimbrel.ApplyOptions{}); p.Down != nil {
		if plan.Steps[0].Mode == whimbrel.InTransaction { // it rolled back
			return ctx.Err()
		}
		return errors.Join(ctx.Err(), v.replace(ctx))
	}
	after, err := v.snapshot(ctx)
	if err != nil {
		return err
	}
	if p.Differences = catalog.Compare(before, after); len(p.Differences) > 0 {
		return v.recover(ctx, m, before, after, done)
	}
	if err := v.up(ctx, v.now, m); err != nil {
		p.Up = fmt.Errorf("a second time, after its down script: %w", err)
		return errors.Join(ctx.Err(), v.replace(ctx))
	}
	return nil
}

// backAndForth rolls everything back and applies it again.
func (v *verifier) backAndForth(ctx context.Context) error {
	full, err := v.snapshot(ctx)
	if err != nil {
		return err
	}
	v.at[v.last] = full
	if slices.ContainsFunc(v.answer.Migrations, func(p Proof) bool { return !p.Inverse() }) {
		return nil
	}
	for i, m := range slices.Backward(v.list) {
		v.scratch.index, v.scratch.of = len(v.list)-1-i, len(v.list)
		if err := v.down(ctx, v.now, m); err != nil {
			return err
		}
	}
	nothing, err := v.snapshot(ctx)
	if err != nil {
		return err
	}
	v.answer.Left = catalog.Compare(v.empty, nothing)
	for i, m := range v.list {
		v.scratch.index = i
		if err := v.up(ctx, v.now, m); err != nil {
			return err
		}
	}
	v.scratch.of = 0
	again, err := v.snapshot(ctx)
	if err != nil {
		return err
	}
	v.answer.Again = catalog.Compare(full, again)
	return nil
}
