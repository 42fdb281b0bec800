package pgcatalog

import (
	"fmt"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// index is a row of pg_index.
type index struct {
	oid          oid
	table        *relation
	name         string
	definition   string // "" if it implements a constraint
	valid        bool
	parent       oid // the partitioned table's index
	isConstraint bool
	options      []string // of a constraint's index, whose definition lacks them
	statistics   []columnStatistics
}

type columnStatistics struct {
	column int
	target int64
}

func (r *Reader) askIndexes() {
	r.ask(`SELECT i.indexrelid, i.indrelid, c.relname, i.indisvalid, i.indisclustered, i.indisreplident, coalesce(h.inhparent, 0), k.oid IS NOT NULL,
	CASE WHEN k.oid IS NULL THEN pg_get_indexdef(i.indexrelid) END, CASE WHEN k.oid IS NOT NULL THEN array_to_json(c.reloptions) END
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')
LEFT JOIN pg_inherits h ON h.inhrelid = i.indexrelid
WHERE c.relnamespace IN {schemas}`, func(a *row) {
		x := &index{oid: a.oid(), table: r.relations[a.oid()], name: a.text(), valid: a.bool()}
		clustered, replica := a.bool(), a.bool()
		x.parent, x.isConstraint, x.definition, x.options = a.oid(), a.bool(), a.text(), a.list()
		if x.table == nil {
			return
		}
		r.indexes[x.oid] = x
		if clustered {
			x.table.clusterOn = x.oid
		}
		if replica {
			x.table.replicaOn = x.oid
		}
	})
	r.ask(`SELECT a.attrelid, a.attnum, a.attstattarget FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relkind IN ('i', 'I') AND a.attstattarget >= 0 AND c.relnamespace IN {schemas} AND a.attnum > 0 ORDER BY 1, 2`, func(a *row) {
		if x := r.indexes[a.oid()]; x != nil {
			x.statistics = append(x.statistics, columnStatistics{int(a.number()), a.number()})
		}
	})
	r.build(func(b *builder) {
		for _, x := range r.indexes {
			if !x.isConstraint {
				b.index(x)
			}
		}
	})
}

// index adds an index. No statement can create an invalid index, as left by a failed build; its SQL
// notes this and creates a valid one.
func (b *builder) index(x *index) {
	name := b.r.qualified(x.table.schema, x.name)
	o := &catalog.Object{Kind: catalog.Index, Schema: x.table.schema, Of: x.table.name, Name: x.name}
	o.Set("definition", x.definition)
	o.SQL = []string{x.definition}
	if !x.valid && x.table.kind != 'p' {
		o.Set("valid", "no")
		o.SQL[0] = "-- " + x.name + " is not valid\n" + o.SQL[0]
	}
	o.Needs = append(o.Needs, x.table.object().ID())
	b.attachIndex(x, o)
	for _, s := range x.statistics {
		o.Set(fmt.Sprint("statistics of column ", s.column), fmt.Sprint(s.target))
		o.SQL = append(o.SQL, fmt.Sprint("ALTER INDEX ", name, " ALTER COLUMN ", s.column, " SET STATISTICS ", s.target))
	}
	b.add(obj{pgClass, x.oid}, o, "INDEX "+name)
}

// attachIndex attaches the index of a partition to that of the partitioned table.
func (b *builder) attachIndex(x *index, o *catalog.Object) {
	parent := b.r.indexes[x.parent]
	if parent == nil {
		return
	}
	name := b.r.qualified(parent.table.schema, parent.name)
	o.Set("part of", name)
	o.SQL = append(o.SQL, "ALTER INDEX "+name+" ATTACH PARTITION "+b.r.qualified(x.table.schema, x.name))
}
