package pgcatalog

import (
	"slices"
	"strconv"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// relation is a row of pg_class, except indexes and internal parts of other objects.
type relation struct {
	oid             oid
	schema, name    string
	kind            byte // relkind
	persistence     byte
	populated       bool
	options, toast  []string
	rls, forceRLS   bool
	replicaIdentity byte
	accessMethod    string
	ofType          string
	partitionKey    string
	bound           string // of a partition
	definition      string // of a view
	rule            oid    // with the definition of a view
	server          string // of a foreign table
	serverOptions   []string

	columns     []*column
	constraints []*constraint
	parents     []oid
	sequence    *sequence
	ownedBy     *ownedSequence
	clusterOn   oid
	replicaOn   oid
}

func (r *Reader) askRelations() {
	r.ask(`SELECT c.oid, c.relnamespace, c.relname, c.relkind, c.relpersistence, c.relispopulated,
	array_to_json(c.reloptions), array_to_json(t.reloptions), c.relrowsecurity, c.relforcerowsecurity, c.relreplident,
	CASE WHEN am.amname <> 'heap' THEN am.amname END,
	CASE WHEN c.reloftype <> 0 THEN c.reloftype::regtype::text END,
	CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END,
	CASE WHEN c.relispartition THEN pg_get_expr(c.relpartbound, c.oid) END,
	CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
	(SELECT w.oid FROM pg_rewrite w WHERE w.ev_class = c.oid AND w.rulename = '_RETURN' AND c.relkind IN ('v', 'm')),
	s.srvname, (SELECT json_agg(quote_ident(option_name) || ' ' || quote_literal(option_value)) FROM pg_options_to_table(f.ftoptions))
FROM pg_class c
LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
LEFT JOIN pg_am am ON am.oid = c.relam AND c.relkind IN ('r', 'p', 'm')
LEFT JOIN pg_foreign_table f ON f.ftrelid = c.oid
LEFT JOIN pg_foreign_server s ON s.oid = f.ftserver
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND c.relnamespace IN {schemas} AND c.relpersistence <> 't'
	AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')`, r.relationRow)
	r.ask(`SELECT i.inhrelid, i.inhparent FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE c.relkind IN ('r', 'p', 'f') ORDER BY i.inhrelid, i.inhseqno`, func(a *row) {
		child, parent := a.oid(), a.oid()
		if rel := r.relations[child]; rel != nil {
			rel.parents = append(rel.parents, parent)
		}
	})
	r.build(func(b *builder) {
		for _, rel := range r.relations {
			switch rel.kind {
			case 'r', 'p', 'f':
				b.table(rel)
			case 'v', 'm':
				b.view(rel)
			}
		}
	})
}

func (r *Reader) relationRow(a *row) {
	rel := &relation{
		oid: a.oid(), schema: r.schemas[a.oid()], name: a.text(), kind: a.char(), persistence: a.char(), populated: a.bool(),
		options: a.list(), toast: a.list(), rls: a.bool(), forceRLS: a.bool(), replicaIdentity: a.char(),
		accessMethod: a.text(), ofType: a.text(), partitionKey: a.text(), bound: a.text(), definition: a.text(),
		rule: a.oid(), server: a.text(), serverOptions: a.list(),
	}
	if rel.schema == r.opts.OwnSchema && slices.Contains(r.opts.OwnTables, rel.name) {
		r.own[rel.oid] = true
		return
	}
	slices.Sort(rel.options)
	slices.Sort(rel.toast)
	r.relations[rel.oid] = rel
}

func (rel *relation) isPartition() bool { return rel.bound != "" }

var relationKinds = map[byte]catalog.Kind{
	'r': catalog.Table, 'p': catalog.Table, 'f': catalog.ForeignTable, 'v': catalog.View, 'm': catalog.MaterializedView,
	'S': catalog.Sequence, 'c': catalog.Composite,
}

// word returns the kind of relation as in ALTER and COMMENT.
func (rel *relation) word() string { return strings.ToUpper(string(relationKinds[rel.kind])) }

// sqlName returns the relation's quoted name.
func (r *Reader) sqlName(rel *relation) string { return r.qualified(rel.schema, rel.name) }

func (rel *relation) object() *catalog.Object {
	return &catalog.Object{Kind: relationKinds[rel.kind], Schema: rel.schema, Name: rel.name}
}

// table adds a table and its parts.
func (b *builder) table(rel *relation) {
	o, name := rel.object(), b.r.sqlName(rel)
	split := b.split[o.ID()]
	if rel.persistence == 'u' {
		o.Set("unlogged", "yes")
	}
	o.Set("of type", rel.ofType)
	o.Set("partition by", rel.partitionKey)
	if !rel.isPartition() {
		o.Set("inherits", b.parentNames(rel))
	} else {
		o.Set("partition of", b.parentNames(rel))
		o.Set("bound", rel.bound)
	}
	o.Set("access method", rel.accessMethod)
	o.Set("options", b.options(rel))
	o.Set("server", rel.server)
	o.Set("server options", strings.Join(rel.serverOptions, ", "))
	o.SQL = append(o.SQL, b.createTable(rel, split))
	b.attach(rel, o)
	only := "ALTER TABLE ONLY " + name
	if rel.rls {
		o.Set("row level security", "yes")
		o.SQL = append(o.SQL, "ALTER TABLE "+name+" ENABLE ROW LEVEL SECURITY")
	}
	if rel.forceRLS {
		o.Set("force row level security", "yes")
		o.SQL = append(o.SQL, only+" FORCE ROW LEVEL SECURITY")
	}
	b.replicaIdentity(rel, o, only)
	b.clustered(rel, o)
	b.add(obj{pgClass, rel.oid}, o, rel.word()+" "+name)
	for _, c := range rel.columns {
		b.column(rel, c, split)
	}
	for _, c := range rel.constraints {
		if b.inline(rel, c) {
			b.inlineConstraint(rel, c, split)
		}
	}
	for _, c := range rel.constraints { // may need the inline ones
		if !b.inline(rel, c) && b.present(rel, c) {
			b.constraint(rel, c)
		}
	}
}

func (b *builder) clustered(rel *relation, o *catalog.Object) {
	if x := b.r.indexes[rel.clusterOn]; x != nil {
		o.Set("clustered on", x.name)
		o.Late = append(o.Late, "ALTER "+rel.word()+" "+b.r.sqlName(rel)+" CLUSTER ON "+b.r.quote(x.name))
	}
}

func (b *builder) replicaIdentity(rel *relation, o *catalog.Object, only string) {
	switch x := b.r.indexes[rel.replicaOn]; {
	case rel.replicaIdentity == 'f':
		o.Set("replica identity", "full")
		o.SQL = append(o.SQL, only+" REPLICA IDENTITY FULL")
	case rel.replicaIdentity == 'n' && rel.kind != 'f':
		o.Set("replica identity", "nothing")
		o.SQL = append(o.SQL, only+" REPLICA IDENTITY NOTHING")
	case rel.replicaIdentity == 'i' && x != nil:
		o.Set("replica identity", "index "+b.r.quote(x.name))
		o.Late = append(o.Late, only+" REPLICA IDENTITY USING INDEX "+b.r.quote(x.name))
	}
}

// createTable returns the statement, with the columns and constraints that can be in it.
func (b *builder) createTable(rel *relation, split bool) string {
	sql := "CREATE "
	if rel.persistence == 'u' {
		sql += "UNLOGGED "
	}
	sql += rel.word() + " " + b.r.sqlName(rel) + clause(" OF ", rel.ofType, "")
	var items []string
	for _, c := range rel.columns {
		items = append(items, b.columnItem(rel, c, split))
	}
	for _, c := range rel.columns {
		items = append(items, b.inheritedNotNull(rel, c))
	}
	for _, c := range rel.constraints {
		if b.inline(rel, c) && !(split && c.kind == 'c') {
			items = append(items, "CONSTRAINT "+b.r.quote(c.name)+" "+c.definition)
		}
	}
	items = slices.DeleteFunc(items, func(item string) bool { return item == "" })
	switch {
	case len(items) > 0:
		sql += " (\n    " + strings.Join(items, ",\n    ") + "\n)"
	case rel.ofType == "":
		sql += " ()"
	}
	if b.inheritsAtOnce(rel) {
		sql += "\nINHERITS (" + b.parentNames(rel) + ")"
	}
	sql += clause("\nPARTITION BY ", rel.partitionKey, "")
	if rel.accessMethod != "" {
		sql += "\nUSING " + b.r.quote(rel.accessMethod)
	}
	if rel.kind == 'f' {
		sql += "\nSERVER " + b.r.quote(rel.server) + clause("\nOPTIONS (", strings.Join(rel.serverOptions, ", "), ")")
	}
	return sql + clause("\nWITH (", b.options(rel), ")")
}

// clause returns an optional clause: "" if the value is empty.
func clause(before, value, after string) string {
	if value == "" {
		return ""
	}
	return before + value + after
}

// options returns the storage parameters of a relation and its TOAST table, as in WITH.
func (b *builder) options(rel *relation) string {
	return strings.Join(append(b.storage(rel.options, ""), b.storage(rel.toast, "toast.")...), ", ")
}

func (b *builder) storage(options []string, prefix string) []string {
	list := make([]string, len(options))
	for i, o := range options {
		name, value, _ := strings.Cut(o, "=")
		if !simpleValue(value) {
			value = Literal(value)
		}
		list[i] = prefix + b.r.quote(name) + "=" + value
	}
	return list
}

// simpleValue reports whether a value needs no quotes.
func simpleValue(v string) bool {
	if _, err := strconv.ParseFloat(v, 64); err == nil {
		return v[0] != '-' && v[0] != '+'
	}
	return slices.Contains([]string{"true", "false", "on", "off", "auto", "local", "cascaded"}, v)
}

// attach attaches a partition to its parent, or a child that can't be created with INHERITS.
func (b *builder) attach(rel *relation, o *catalog.Object) {
	for _, id := range rel.parents {
		parent := b.r.relations[id]
		switch {
		case parent == nil:
		case rel.isPartition():
			o.SQL = append(o.SQL, "ALTER TABLE ONLY "+b.r.sqlName(parent)+" ATTACH PARTITION "+b.r.sqlName(rel)+" "+rel.bound)
		case !b.inheritsAtOnce(rel):
			o.SQL = append(o.SQL, "ALTER TABLE ONLY "+b.r.sqlName(rel)+" INHERIT "+b.r.sqlName(parent))
		}
	}
}

func (b *builder) parentNames(rel *relation) string {
	var names []string
	for _, id := range rel.parents {
		if parent := b.r.relations[id]; parent != nil {
			names = append(names, b.r.sqlName(parent))
		}
	}
	return strings.Join(names, ", ")
}

// inheritsAtOnce reports whether CREATE TABLE … INHERITS yields the columns in their order.
func (b *builder) inheritsAtOnce(rel *relation) bool {
	if len(rel.parents) == 0 || rel.isPartition() {
		return false
	}
	var order []string
	add := func(c *column) {
		if !slices.Contains(order, c.name) {
			order = append(order, c.name)
		}
	}
	for _, id := range rel.parents {
		parent := b.r.relations[id]
		if parent == nil {
			return false
		}
		for _, c := range parent.columns {
			add(c)
		}
	}
	for _, c := range rel.columns {
		add(c)
	}
	return slices.EqualFunc(order, rel.columns, func(name string, c *column) bool { return name == c.name })
}

// inherited returns the parent's column from which a child's column is inherited, if the child can
// be created with INHERITS; otherwise nil.
func (b *builder) inherited(rel *relation, name string) *column {
	if !b.inheritsAtOnce(rel) {
		return nil
	}
	var found *column
	for _, id := range rel.parents {
		for _, c := range b.r.relations[id].columns {
			if c.name == name && (found == nil || found.expression == "") {
				found = c
			}
		}
	}
	return found
}

// view adds a view or a materialized view.
func (b *builder) view(rel *relation) {
	o, name := rel.object(), b.r.sqlName(rel)
	definition := strings.TrimSuffix(strings.TrimSpace(rel.definition), ";")
	o.Set("options", b.options(rel))
	o.Set("access method", rel.accessMethod)
	o.Set("definition", definition)
	head := "CREATE " + rel.word() + " " + name
	if rel.accessMethod != "" {
		head += " USING " + b.r.quote(rel.accessMethod)
	}
	head += clause(" WITH (", b.options(rel), ")")
	switch {
	case rel.kind == 'm':
		o.SQL = []string{head + " AS\n" + definition + "\nWITH NO DATA"}
		if rel.populated {
			o.Late = append(o.Late, "REFRESH MATERIALIZED VIEW "+name)
		}
	case b.split[o.ID()]: // only the columns first: the view is part of a cycle
		o.SQL = []string{"CREATE VIEW " + name + " AS\nSELECT " + b.dummies(rel)}
		o.Late = []string{strings.Replace(head, "CREATE ", "CREATE OR REPLACE ", 1) + " AS\n" + definition}
	default:
		o.SQL = []string{head + " AS\n" + definition}
	}
	b.clustered(rel, o)
	b.add(obj{pgClass, rel.oid}, o, rel.word()+" "+name)
	b.at[obj{pgRewrite, rel.rule}] = o
	if b.split[o.ID()] {
		delete(b.at, obj{pgRewrite, rel.rule})
	}
	for _, c := range rel.columns {
		b.viewColumn(rel, c)
	}
}

// dummies returns a select list of NULLs with the names and types of a view's columns.
func (b *builder) dummies(rel *relation) string {
	list := make([]string, len(rel.columns))
	for i, c := range rel.columns {
		list[i] = "NULL::" + c.typ + c.collate() + " AS " + b.r.quote(c.name)
	}
	return strings.Join(list, ",\n    ")
}
