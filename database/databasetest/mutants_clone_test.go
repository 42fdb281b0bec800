package databasetest

import (
	"context"

	"github.com/whimbrel-db/whimbrel/database"
)

// clones alters Clone: the template that it is given, and the copy that it returns.
func clones(name string, breaks *promise, template func(*database.Template), alter func(*database.Copy)) mutant {
	return ofDB(name, breaks, func(d *alteredDB) {
		d.clone = func(ctx context.Context, t database.Template) (*database.Copy, error) {
			if template != nil {
				template(&t)
			}
			c, err := d.Database.Clone(ctx, t)
			if err == nil && alter != nil {
				alter(c)
			}
			return c, err
		}
	})
}

var cloneMutants = []mutant{
	clones("Clone returns an empty database", cloneCopies, func(t *database.Template) {
		fill := t.Fill
		t.Fill = func(ctx context.Context, _ database.Database) error {
			other, drop, err := database.Scratch(ctx, anotherTarget(ctx))
			if err != nil {
				return err
			}
			defer drop(ctx)
			return fill(ctx, other)
		}
	}, nil),
	{"Clone returns the same copy to everybody", cloneApart, func() alteration {
		var one *database.Copy
		return alteration{db: func(d *alteredDB) {
			d.clone = func(ctx context.Context, t database.Template) (*database.Copy, error) {
				if one != nil {
					next, err := d.Database.Clone(ctx, t) // for its name
					if err != nil {
						return nil, err
					}
					return &database.Copy{Database: one.Database, Name: next.Name, Drop: one.Drop}, next.Drop(ctx)
				}
				var err error
				one, err = d.Database.Clone(ctx, t)
				return one, err
			}
		}}
	}},
	{"every process makes its own template", cloneOnce, func() alteration {
		n := 0
		return alteration{db: func(d *alteredDB) {
			n++
			mine := string(rune('a' + n))
			d.clone = func(ctx context.Context, t database.Template) (*database.Copy, error) {
				t.Key += mine
				return d.Database.Clone(ctx, t)
			}
		}}
	}},
	clones("all keys are one template", templateKey, func(t *database.Template) { t.Key = "the same" }, nil),
	clones("what Fill left after an error is a template", templateFails, func(t *database.Template) {
		fill := t.Fill
		t.Fill = func(ctx context.Context, db database.Database) error {
			fill(ctx, db)
			return nil
		}
	}, nil),
	clones("copies have no name", copyName, nil, func(c *database.Copy) { c.Name = "" }),
	clones("Drop does nothing", copyDrop, nil, func(c *database.Copy) {
		c.Drop = func(context.Context) error { return nil }
	}),
	ofDB("DropTemplate does nothing", templateDrop, func(d *alteredDB) {
		d.forget = func(context.Context, string) error { return nil }
	}),
}

// anotherTarget opens a target that has nothing to do with any other.
func anotherTarget(ctx context.Context) database.Database {
	db, err := plain().Open(ctx, database.Options{})
	if err != nil {
		panic(err)
	}
	return db
}
