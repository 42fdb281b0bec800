package memdb

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// Snapshot implements database.Snapshotter. The objects are tables with their columns, and indexes;
// they have no schema.
func (d *Database) Snapshot(ctx context.Context, opts catalog.Options) (*catalog.Snapshot, error) {
	if err := d.enter(ctx, OpSnapshot); err != nil {
		return nil, err
	}
	d.target.mu.Lock()
	defer d.target.mu.Unlock()
	if opts.Schemas != nil {
		return catalog.New(d.Dialect().String(), "", nil), nil
	}
	return d.snapshot(), nil
}

func (c *content) objects() (objects []catalog.Object) {
	for _, name := range slices.Sorted(maps.Keys(c.tables)) {
		t := c.tables[name]
		objects = append(objects, catalog.Object{
			Kind: catalog.Table, Name: name, SQL: []string{"CREATE TABLE " + quote(name) + " (" + t.defined + ")"},
		})
		for column, definition := range t.definitions() {
			o := catalog.Object{Kind: catalog.Column, Of: name, Name: column, Part: true}
			o.Set("definition", definition)
			objects = append(objects, o)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.indexes)) {
		i := c.indexes[name]
		o := catalog.Object{Kind: catalog.Index, Of: i.on, Name: name, SQL: []string{"CREATE INDEX " + quote(name) + " ON " + quote(i.on) + " (" + i.columns + ")"}}
		o.Set("columns", i.columns)
		if i.invalid {
			o.Set("valid", "no")
		}
		o.Needs = []string{(&catalog.Object{Kind: catalog.Table, Name: i.on}).ID()}
		objects = append(objects, o)
	}
	return objects
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
