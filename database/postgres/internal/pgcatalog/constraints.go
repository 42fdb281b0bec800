package pgcatalog

import (
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// constraint is a row of pg_constraint.
type constraint struct {
	oid        oid
	name       string
	kind       byte   // contype
	definition string // without NOT VALID
	valid      bool
	local      bool
	noInherit  bool
	cloned     bool // created by a partitioned table's constraint
	index      oid
	columns    []int
}

func (r *Reader) askConstraints() {
	r.ask(`SELECT c.oid, c.conrelid, c.contypid, c.conname, c.contype, pg_get_constraintdef(c.oid), c.conislocal, c.connoinherit, c.conparentid <> 0, c.conindid, c.conkey::text
FROM pg_constraint c WHERE c.connamespace IN {schemas} AND c.contype IN ('p', 'u', 'x', 'c', 'f', 'n') ORDER BY c.conname`, func(a *row) {
		k := &constraint{oid: a.oid()}
		rel, domain := r.relations[a.oid()], a.oid()
		k.name, k.kind, k.definition = a.text(), a.char(), a.text()
		k.local, k.noInherit, k.cloned, k.index = a.bool(), a.bool(), a.bool(), a.oid()
		k.columns = a.numbers()
		definition, notValid := strings.CutSuffix(k.definition, " NOT VALID")
		k.definition, k.valid = definition, !notValid
		switch {
		case domain != 0:
			r.domainConstraints[domain] = append(r.domainConstraints[domain], k)
		case rel == nil:
		case k.kind == 'n':
			for _, c := range rel.columns {
				if len(k.columns) == 1 && c.number == k.columns[0] {
					c.notNullConstraint = k
				}
			}
		default:
			rel.constraints = append(rel.constraints, k)
		}
	})
}

// present reports whether a constraint is an object of its own table.
func (b *builder) present(rel *relation, k *constraint) bool {
	switch k.kind {
	case 'c': // children created with INHERITS inherit it; others must have it before
		return k.local || rel.isPartition() || len(rel.parents) > 0 && !b.inheritsAtOnce(rel)
	case 'f':
		return !k.cloned
	}
	return true
}

// inline reports whether CREATE TABLE contains a constraint. Constraints with an index are not
// inline on partitioned tables and partitions, whose indexes are attached one by one.
func (b *builder) inline(rel *relation, k *constraint) bool {
	if k.kind == 'f' || !k.valid || !b.present(rel, k) {
		return false
	}
	return k.kind == 'c' || rel.kind != 'p' && !rel.isPartition() && !b.keyOnInherited(rel, k)
}

// keyOnInherited reports whether a primary key is on a column that only inherits its NOT NULL. In
// CREATE TABLE, the key would make the NOT NULL the child's own.
func (b *builder) keyOnInherited(rel *relation, k *constraint) bool {
	return k.kind == 'p' && slices.ContainsFunc(rel.columns, func(c *column) bool {
		n := c.notNullConstraint
		return n != nil && !n.local && slices.Contains(k.columns, c.number) && b.inherited(rel, c.name) != nil
	})
}

func (b *builder) constraintObject(rel *relation, k *constraint) *catalog.Object {
	o := &catalog.Object{Kind: catalog.Constraint, Schema: rel.schema, Of: rel.name, Name: k.name}
	o.Set("definition", k.definition)
	if !k.valid {
		o.Set("valid", "no")
	}
	return o
}

func (b *builder) addConstraint(rel *relation, k *constraint, o *catalog.Object) {
	x := b.r.indexes[k.index]
	if x != nil && k.kind != 'f' && len(x.options) > 0 {
		slices.Sort(x.options)
		options := strings.Join(b.storage(x.options, ""), ", ")
		o.Set("index options", options)
		o.SQL = append(o.SQL, "ALTER INDEX "+b.r.qualified(rel.schema, x.name)+" SET ("+options+")")
	}
	b.add(obj{pgConstraint, k.oid}, o, "CONSTRAINT "+b.r.quote(k.name)+" ON "+b.r.sqlName(rel))
	if x == nil || k.kind == 'f' {
		return
	}
	b.at[obj{pgClass, x.oid}] = o
	b.comment(o, sub{obj{pgClass, x.oid}, 0}, "index comment", "INDEX "+b.r.qualified(rel.schema, x.name))
}

// inlineConstraint adds a constraint that is part of CREATE TABLE.
func (b *builder) inlineConstraint(rel *relation, k *constraint, split bool) {
	o := b.constraintObject(rel, k)
	o.Part = true
	if !split || k.kind != 'c' {
		b.addConstraint(rel, k, o)
		return
	}
	o.Late = append(o.Late, b.alterAdd(rel, k))
	b.addConstraint(rel, k, o)
	o.Late, o.SQL = append(o.Late, o.SQL...), nil
	delete(b.at, obj{pgConstraint, k.oid})
}

func (b *builder) alterAdd(rel *relation, k *constraint) string {
	only := "ONLY "
	if rel.kind == 'p' && k.kind == 'f' {
		only = "" // not supported by the server
	}
	if k.kind == 'c' && !k.noInherit {
		only = "" // children inherit it
	}
	sql := "ALTER TABLE " + only + b.r.sqlName(rel) + " ADD CONSTRAINT " + b.r.quote(k.name) + " " + k.definition
	if rel.kind == 'f' {
		sql = strings.Replace(sql, "ALTER TABLE", "ALTER FOREIGN TABLE", 1)
	}
	if !k.valid {
		sql += " NOT VALID"
	}
	return sql
}

// constraint adds a constraint that is created after its table.
func (b *builder) constraint(rel *relation, k *constraint) {
	o := b.constraintObject(rel, k)
	o.Needs = append(o.Needs, rel.object().ID())
	if from := b.comesFrom(rel, k); from != "" {
		o.Needs = append(o.Needs, from)
	} else {
		o.SQL = append(o.SQL, b.alterAdd(rel, k))
		if k.kind == 'c' {
			b.needsChildren(o, rel)
		}
	}
	if x := b.r.indexes[k.index]; x != nil && k.kind != 'f' {
		b.attachIndex(x, o)
	}
	b.addConstraint(rel, k, o)
}

// comesFrom returns the ID of the parent's constraint from which a constraint is inherited, if both
// are not valid; otherwise "".
func (b *builder) comesFrom(rel *relation, k *constraint) string {
	if k.kind != 'c' || k.valid || k.local {
		return ""
	}
	for _, id := range rel.parents {
		parent := b.r.relations[id]
		if parent == nil {
			continue
		}
		for _, p := range parent.constraints {
			if p.name == k.name && !p.valid && !p.noInherit && p.kind == 'c' {
				return b.constraintObject(parent, p).ID()
			}
		}
	}
	return ""
}

// needsChildren orders a constraint that children inherit after all of them.
func (b *builder) needsChildren(o *catalog.Object, rel *relation) {
	for _, child := range b.children()[rel.oid] {
		o.Needs = append(o.Needs, child.object().ID())
		b.needsChildren(o, child)
	}
}

// children returns the tables that inherit from a table, by its oid.
func (b *builder) children() map[oid][]*relation {
	if b.inheriting == nil {
		b.inheriting = map[oid][]*relation{}
		for _, rel := range b.r.relations {
			for _, parent := range rel.parents {
				b.inheriting[parent] = append(b.inheriting[parent], rel)
			}
		}
	}
	return b.inheriting
}
