package inspect

import (
	"context"
	"errors"
	"fmt"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// place is a scratch database of the proof.
type place struct {
	db   database.Database
	drop func(context.Context) error
	ups  int // of the line: how many migrations are applied
}

func (p *place) snapshot(ctx context.Context) (*catalog.Snapshot, error) {
	return database.Snapshot(ctx, p.db, catalog.Options{})
}

// migrator returns a migrator of one migration. Each has a set of its own, so that its plan does
// not read the history of all others.
func (v *verifier) migrator(p *place, m migration.Migration) (*whimbrel.Migrator, error) {
	set, err := migration.NewSet(fmt.Sprintf("proof of %d", m.Version), m)
	if err != nil {
		return nil, err
	}
	return whimbrel.New(p.db, set, v.scratch.options(whimbrel.Options{ReadMetadata: noMetadata})), nil
}

func (v *verifier) up(ctx context.Context, p *place, m migration.Migration) error {
	return v.migrate(ctx, p, m, whimbrel.By(1))
}

func (v *verifier) down(ctx context.Context, p *place, m migration.Migration) error {
	return v.migrate(ctx, p, m, whimbrel.By(-1))
}

func (v *verifier) migrate(ctx context.Context, p *place, m migration.Migration, g whimbrel.Goal) error {
	by, err := v.migrator(p, m)
	if err == nil {
		_, err = by.Migrate(ctx, g, whimbrel.ApplyOptions{})
	}
	return err
}

// base applies the baseline that the migrations start from.
func (v *verifier) base(ctx context.Context, p *place) error {
	m := whimbrel.New(p.db, v.set, v.scratch.options(whimbrel.Options{ReadMetadata: noMetadata}))
	_, err := m.Migrate(ctx, whimbrel.UpTo(v.start.Version), whimbrel.ApplyOptions{})
	return err
}

// close drops the scratch databases.
func (v *verifier) close(ctx context.Context) error {
	return errors.Join(drop(ctx, &v.now), drop(ctx, &v.line))
}

func drop(ctx context.Context, p **place) error {
	was := *p
	*p = nil
	if was == nil {
		return nil
	}
	return was.drop(ctx)
}

// The state that a wrong down script leaves is of no use for the next migration. To create another
// database with all migrations for each of them would take a time that grows with the square of
// their number. Instead, each up script runs on a second database, the line, at most once. Its
// schema tells whether the migration can be applied again where the down script ran. If not, a
// copy of the line takes the place of that database.

// recover applies the newest migration again after its down script has left something else than
// what was there before. done, if not nil, is the schema with the migration.
func (v *verifier) recover(ctx context.Context, m migration.Migration, before, after, done *catalog.Snapshot) error {
	if v.line != nil {
		if err := v.advance(ctx); err != nil {
			return err
		}
		var err error
		if done, err = v.line.snapshot(ctx); err != nil {
			return err
		}
	}
	if done != nil {
		if same, err := v.again(ctx, m, before, after, done); same || err != nil {
			return err
		}
	}
	return v.replace(ctx)
}

// beforeDown returns the schema with the newest migration if nothing else can tell it later.
func (v *verifier) beforeDown(ctx context.Context) (*catalog.Snapshot, error) {
	if !v.uncopying {
		return nil, nil
	}
	return v.snapshot(ctx)
}

// again drops what the down script should have dropped, applies the newest migration and reports
// whether that leads to the schema it should.
func (v *verifier) again(ctx context.Context, m migration.Migration, before, after, done *catalog.Snapshot) (same bool, err error) {
	if v.dropLeft(ctx, before, after) != nil || v.up(ctx, v.now, m) != nil {
		return false, ctx.Err()
	}
	now, err := v.snapshot(ctx)
	return err == nil && len(catalog.Compare(done, now)) == 0, err
}

// dropLeft drops the objects that exist only after the down script.
func (v *verifier) dropLeft(ctx context.Context, before, after *catalog.Snapshot) error {
	existed := map[string]bool{}
	for i := range before.Objects {
		existed[before.Objects[i].ID()] = true
	}
	var left []catalog.Object
	for _, o := range after.Objects {
		if !existed[o.ID()] {
			left = append(left, o)
		}
	}
	text, whyNot := dropAll(left, after.Dialect)
	if text == "" {
		if whyNot != "" {
			return errors.New(whyNot)
		}
		return nil
	}
	script, err := v.scratch.also(migration.Text("what a down script has left", text))
	if err != nil {
		return err
	}
	set, err := migration.NewSet(fmt.Sprintf("left of %d", v.last), migration.Migration{Version: v.last, Name: "what is left", Up: script})
	if err != nil {
		return err
	}
	_, err = whimbrel.New(v.now.db, set, v.scratch.options(whimbrel.Options{ReadMetadata: noMetadata})).Up(ctx)
	return err
}

// replace continues on another database with all migrations that were proved.
func (v *verifier) replace(ctx context.Context) (err error) {
	if err := drop(ctx, &v.now); err != nil {
		return err
	}
	if v.line == nil {
		if v.line, err = v.newLine(ctx); err != nil {
			return err
		}
	}
	if err := v.advance(ctx); err != nil {
		return err
	}
	if !v.uncopying && v.scratch.Name == "" { // a copy has another name
		db, drop, err := database.CopyScratch(ctx, v.line.db)
		if err == nil {
			v.now = &place{db: db, drop: drop}
		}
		if !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	v.uncopying = true
	v.now, v.line = v.line, nil
	return nil
}

// newPlace creates an empty scratch database.
func (v *verifier) newPlace(ctx context.Context) (*place, error) {
	db, drop, err := v.scratch.make(ctx)
	if err != nil {
		return nil, err
	}
	return &place{db: db, drop: drop}, nil
}

// newLine creates the line, without migrations.
func (v *verifier) newLine(ctx context.Context) (*place, error) {
	line, err := v.newPlace(ctx)
	if err == nil && v.start != nil {
		if err = v.base(ctx, line); err != nil {
			err = errors.Join(err, line.drop(ctx))
		}
	}
	if err != nil {
		return nil, err
	}
	return line, nil
}

// advance applies all migrations that were proved to the line.
func (v *verifier) advance(ctx context.Context) error {
	for _, m := range v.list[v.line.ups:v.done] {
		if err := v.up(ctx, v.line, m); err != nil {
			return err
		}
		v.line.ups++
	}
	return nil
}
