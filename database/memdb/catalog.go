package memdb

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// Snapshot implements database.Snapshotter: tables with their columns, and indexes, in
// no schema.
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
		columns := c.defined["table "+name]
		objects = append(objects, catalog.Object{
			Kind: catalog.Table, Name: name, SQL: []string{"CREATE TABLE " + quote(name) + " (" + columns + ")"},
		})
		for part := range strings.SplitSeq(columns, ",") {
			column, definition, _ := strings.Cut(strings.TrimSpace(part), " ")
			if column == "" {
				continue
			}
			o := catalog.Object{Kind: catalog.Column, Of: name, Name: unquote(column), Part: true}
			o.Set("definition", strings.TrimSpace(definition))
			objects = append(objects, o)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.indexes)) {
		on, columns := c.indexes[name], c.defined["index "+name]
		o := catalog.Object{Kind: catalog.Index, Of: on, Name: name, SQL: []string{"CREATE INDEX " + quote(name) + " ON " + quote(on) + " (" + columns + ")"}}
		o.Set("columns", columns)
		if c.invalid[name] {
			o.Set("valid", "no")
		}
		o.Needs = []string{(&catalog.Object{Kind: catalog.Table, Name: on}).ID()}
		objects = append(objects, o)
	}
	return objects
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
