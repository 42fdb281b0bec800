package diagram

import (
	"cmp"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/internal/order"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// reader collects the tables of a snapshot. A snapshot keeps keys as each server writes them; the
// reader finds their columns in the tokens of these texts.
type reader struct {
	dialect    sqltext.Dialect
	tables     []*tableReader
	byName     map[[2]string]*tableReader
	partitions map[[2]string]int // by the table that they are parts of
}

// tableReader collects what a table consists of.
type tableReader struct {
	Table
	primary []string
	uniques [][]string // all unique keys
	foreign []foreignKey
}

// foreignKey is a foreign key as written.
type foreignKey struct {
	name          string
	from          []string
	schema, table string
	to            []string // nil: the primary key
}

func newReader(s *catalog.Snapshot) *reader {
	r := &reader{byName: map[[2]string]*tableReader{}, partitions: map[[2]string]int{}}
	for _, d := range []sqltext.Dialect{sqltext.PostgreSQL, sqltext.SQLite, sqltext.MySQL} {
		if strings.EqualFold(d.String(), s.Dialect) {
			r.dialect = d
		}
	}
	return r
}

func (r *reader) object(o *catalog.Object) {
	switch o.Kind {
	case catalog.Table, catalog.ForeignTable, catalog.VirtualTable:
		r.table(o)
		return
	}
	t := r.byName[[2]string{o.Schema, o.Of}]
	if t == nil {
		return
	}
	switch o.Kind {
	case catalog.Column:
		t.addColumn(o, r)
	case catalog.Constraint:
		t.addConstraint(o.Name, r.tokens(cmp.Or(o.Attr("definition"), o.Signature)))
	case catalog.Index:
		t.addIndex(o, r)
	}
}

func (r *reader) table(o *catalog.Object) {
	if parent := o.Attr("partition of"); parent != "" {
		schema, name, _ := qualified(r.tokens(parent))
		r.partitions[[2]string{schema, name}]++
		return
	}
	t := &tableReader{Table: Table{Schema: o.Schema, Name: o.Name, Comment: r.text(o.Attr("comment"))}}
	r.tables = append(r.tables, t)
	r.byName[[2]string{o.Schema, o.Name}] = t
}

func (r *reader) tokens(text string) sqltext.TokenList { return sqltext.List(text, r.dialect) }

// text returns the value of a string constant.
func (r *reader) text(constant string) string { return r.tokens(constant).At(0).Value() }

func (t *tableReader) addColumn(o *catalog.Object, r *reader) {
	c := Column{
		Name: o.Name, Type: o.Attr("type"), Comment: r.text(o.Attr("comment")), NotNull: o.Attr("not null") != "",
	}
	if o.Attr("primary key") != "" {
		t.primary = append(t.primary, o.Name)
	}
	if o.Attr("unique") != "" {
		t.uniques = append(t.uniques, []string{o.Name})
	}
	if references := o.Attr("references"); references != "" {
		t.addReference("", []string{o.Name}, r.tokens(references))
	}
	t.Columns = append(t.Columns, c)
}

// addConstraint reads PRIMARY KEY (…), UNIQUE (…) or FOREIGN KEY (…) REFERENCES ….
func (t *tableReader) addConstraint(name string, l sqltext.TokenList) {
	open := l.Index("(")
	if open < 0 {
		return
	}
	columns, ok := names(l.Inside(open))
	switch {
	case !ok:
	case l.Is(0, "primary", "key"):
		t.primary = columns
	case l.Is(0, "unique"):
		t.uniques = append(t.uniques, columns)
	case l.Is(0, "foreign", "key"):
		if rest := l.From(l.Closing(open)); rest.Is(0, "references") {
			t.addReference(name, columns, rest.From(1))
		}
	}
}

// addReference reads the table, and the columns if they are given, that a key refers to.
func (t *tableReader) addReference(name string, from []string, l sqltext.TokenList) {
	schema, table, n := qualified(l)
	key := foreignKey{name: name, from: from, schema: cmp.Or(schema, t.Schema), table: table}
	if l.Is(n, "(") {
		key.to, _ = names(l.Inside(n))
	}
	t.foreign = append(t.foreign, key)
}

// addIndex reads a unique index of columns. One with a condition, or of expressions, says nothing
// about a column alone.
func (t *tableReader) addIndex(o *catalog.Object, r *reader) {
	definition, columns := r.tokens(o.Attr("definition")), r.tokens(o.Attr("columns"))
	unique := o.Attr("unique") != "" || definition.Is(0, "create", "unique")
	if !unique || definition.Index("where") >= 0 {
		return
	}
	if open := definition.Index("("); open >= 0 {
		columns = definition.Inside(open)
	}
	if key, ok := names(columns); ok {
		t.uniques = append(t.uniques, key)
	}
}

// qualified reads a name, and the schema before it, and returns the number of its tokens.
func qualified(l sqltext.TokenList) (schema, name string, n int) {
	name, n = l.At(0).Name(), 1
	if l.Is(1, ".") {
		schema, name, n = name, l.At(2).Name(), 3
	}
	return schema, name, n
}

// names reads a list of columns. It reports false if one is not a column but an expression, or a
// prefix of a column.
func names(l sqltext.TokenList) (all []string, ok bool) {
	for _, part := range l.Split() {
		name := part.At(0).Name()
		if name == "" || part.Index("(") >= 0 {
			return nil, false
		}
		all = append(all, name)
	}
	return all, len(all) > 0
}

// finish marks the columns of the keys.
func (t *tableReader) finish() {
	order.StableBy(t.uniques, slices.Compare)
	for _, key := range slices.CompactFunc(t.uniques, slices.Equal) {
		if len(key) > 1 {
			t.Uniques = append(t.Uniques, key)
			continue
		}
		t.mark(key, func(c *Column) { c.Unique = true })
	}
	t.mark(t.primary, func(c *Column) { c.Primary = true; c.NotNull = true })
}

func (t *tableReader) mark(columns []string, set func(*Column)) {
	for _, name := range columns {
		if c := t.column(name); c != nil {
			set(c)
		}
	}
}

// diagram returns the tables in order, and the relations between them. A foreign key whose table
// the snapshot lacks marks its columns, but is no relation.
func (r *reader) diagram() *Diagram {
	order.By(r.tables, func(a, b *tableReader) int {
		return cmp.Or(strings.Compare(a.Schema, b.Schema), strings.Compare(a.Name, b.Name))
	})
	d, at := &Diagram{}, map[*tableReader]int{}
	for i, t := range r.tables {
		at[t] = i
		t.Partitions = r.partitions[[2]string{t.Schema, t.Name}]
	}
	for i, t := range r.tables {
		for _, key := range t.foreign {
			t.mark(key.from, func(c *Column) { c.Foreign = true })
			if to := r.find(key.schema, key.table); to != nil {
				d.Relations = append(d.Relations, t.relation(i, at[to], to, key))
			}
		}
	}
	for _, t := range r.tables {
		d.Tables = append(d.Tables, t.Table)
	}
	d.label()
	return d
}

// find returns a table. SQLite ignores the case of names.
func (r *reader) find(schema, name string) *tableReader {
	if t := r.byName[[2]string{schema, name}]; t != nil || r.dialect == sqltext.PostgreSQL {
		return t
	}
	for _, t := range r.tables {
		if strings.EqualFold(t.Name, name) && t.Schema == schema {
			return t
		}
	}
	return nil
}

func (t *tableReader) relation(from, to int, target *tableReader, key foreignKey) Relation {
	rel := Relation{Name: key.name, From: from, To: to, FromColumns: key.from, ToColumns: key.to}
	if rel.ToColumns == nil {
		rel.ToColumns = target.primary
	}
	for _, name := range key.from {
		if c := t.column(name); c != nil && !c.NotNull {
			rel.Optional = true
		}
	}
	same := func(other []string) bool {
		return slices.Equal(slices.Sorted(slices.Values(other)), slices.Sorted(slices.Values(key.from)))
	}
	rel.Single = same(t.primary) || slices.ContainsFunc(t.uniques, same)
	return rel
}
