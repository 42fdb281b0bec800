package pgcatalog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// column is a row of pg_attribute.
type column struct {
	number      int
	name, typ   string
	collation   string // "" for the type's default
	notNull     bool
	identity    byte
	generated   byte
	defaultOID  oid
	expression  string // default or generation expression
	local       bool
	storage     string // "" for the type's default
	compression string
	statistics  int64
	options     []string
	fdwOptions  []string

	notNullConstraint *constraint // from version 18
}

func (r *Reader) askColumns() {
	compression := "NULL"
	if r.opts.Major >= 14 {
		compression = "CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END"
	}
	r.ask(`SELECT a.attrelid, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod),
	CASE WHEN a.attcollation <> 0 AND a.attcollation <> t.typcollation THEN (SELECT quote_ident(n.nspname) || '.' || quote_ident(l.collname) FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace WHERE l.oid = a.attcollation) END,
	a.attnotnull, a.attidentity, a.attgenerated, d.oid, pg_get_expr(d.adbin, d.adrelid), a.attislocal,
	CASE WHEN a.attstorage <> t.typstorage THEN CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' WHEN 'x' THEN 'EXTENDED' END END,
	`+compression+`, coalesce(a.attstattarget, -1), array_to_json(a.attoptions),
	(SELECT json_agg(quote_ident(option_name) || ' ' || quote_literal(option_value)) FROM pg_options_to_table(a.attfdwoptions))
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relnamespace IN {schemas} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum`, func(a *row) {
		rel := r.relations[a.oid()]
		c := &column{
			number: int(a.number()), name: a.text(), typ: a.text(), collation: a.text(), notNull: a.bool(), identity: a.char(), generated: a.char(),
			defaultOID: a.oid(), expression: a.text(), local: a.bool(), storage: a.text(), compression: a.text(), statistics: a.number(),
			options: visible(a.list()), fdwOptions: a.list(),
		}
		if rel != nil {
			rel.columns = append(rel.columns, c)
		}
	})
}

// visible omits the options that the server reserves for itself. Their names begin with pg_, no
// statement can set them, pg_dump does not write them, and their values differ between equal
// columns (pg_attver=N in the minor releases from November 2026 on; PostgreSQL docs, 53.7).
func visible(options []string) []string {
	return slices.DeleteFunc(options, func(o string) bool { return strings.HasPrefix(o, "pg_") })
}

func (c *column) collate() string { return clause(" COLLATE ", c.collation, "") }

// value returns the DEFAULT, GENERATED or identity clause of a column, or "".
func (b *builder) value(rel *relation, c *column) string {
	switch {
	case c.generated == 's':
		return " GENERATED ALWAYS AS (" + c.expression + ") STORED"
	case c.generated == 'v':
		return " GENERATED ALWAYS AS (" + c.expression + ")"
	case c.identity != 0:
		return clause(" ", b.identity(rel, c), "")
	}
	return clause(" DEFAULT ", c.expression, "")
}

// columnItem returns a column as in CREATE TABLE, or "" if it is inherited or has the type's form.
func (b *builder) columnItem(rel *relation, c *column, split bool) string {
	value := b.value(rel, c)
	if split && c.generated == 0 && c.identity == 0 {
		value = ""
	}
	item, notNull := b.r.quote(c.name), b.notNullClause(rel, c)
	switch {
	case rel.ofType != "" && value == "" && notNull == "":
		return ""
	case rel.ofType != "":
		item += " WITH OPTIONS"
	case !c.local && b.inherited(rel, c.name) != nil:
		return ""
	default:
		item += " " + c.typ + clause(" OPTIONS (", strings.Join(c.fdwOptions, ", "), ")") + c.collate()
	}
	return item + value + notNull
}

// notNullClause returns " NOT NULL", with the name of the constraint unless it is the default.
func (b *builder) notNullClause(rel *relation, c *column) string {
	if !c.notNull {
		return ""
	}
	k := c.notNullConstraint
	if k == nil {
		return " NOT NULL"
	}
	if !k.valid {
		return "" // added later
	}
	if parent := b.inherited(rel, c.name); parent.handsDownNotNull() && !k.local {
		return "" // inherited
	}
	clause := " NOT NULL"
	if name := k.unusualName(rel, c); name != "" {
		clause = " CONSTRAINT " + b.r.quote(name) + clause
	}
	if k.noInherit {
		clause += " NO INHERIT"
	}
	return clause
}

// handsDownNotNull reports whether children inherit the column's NOT NULL.
func (c *column) handsDownNotNull() bool {
	return c != nil && c.notNull && (c.notNullConstraint == nil || !c.notNullConstraint.noInherit)
}

// inheritedNotNull returns the NOT NULL constraint of an inherited column that is both inherited
// and the child's own, or "". If the child's primary key created it, it would get another name.
func (b *builder) inheritedNotNull(rel *relation, c *column) string {
	k := c.notNullConstraint
	if c.local || k == nil || !k.valid || !k.local || !b.inherited(rel, c.name).handsDownNotNull() {
		return ""
	}
	return "CONSTRAINT " + b.r.quote(k.name) + " NOT NULL " + b.r.quote(c.name)
}

// column adds a table's column.
func (b *builder) column(rel *relation, c *column, split bool) {
	o := &catalog.Object{Kind: catalog.Column, Schema: rel.schema, Of: rel.name, Name: c.name, Part: true}
	alter := "ALTER TABLE ONLY " + b.r.sqlName(rel) + " ALTER COLUMN " + b.r.quote(c.name)
	if rel.kind == 'f' {
		alter = strings.Replace(alter, "TABLE", "FOREIGN TABLE", 1)
	}
	o.Set("type", c.typ)
	o.Set("collation", c.collation)
	if c.local && b.inherited(rel, c.name) != nil {
		o.Set("not only by the parent", "yes")
	}
	switch value := b.value(rel, c); {
	case c.generated == 's':
		o.Set("generated (stored)", c.expression)
	case c.generated == 'v':
		o.Set("generated (virtual)", c.expression)
	case c.identity != 0:
		o.Set("identity", strings.TrimPrefix(value, " "))
	default:
		o.Set("default", c.expression)
		if split && value != "" {
			o.Late = append(o.Late, alter+" SET"+value)
		}
	}
	b.notNullAttr(rel, c, o)
	b.differingFromParent(rel, c, o, alter)
	b.columnStorage(c, o, alter)
	o.Set("server options", strings.Join(c.fdwOptions, ", "))
	b.owned(rel, c, o)
	b.identitySequence(rel, c, o)
	b.addSub(sub{obj{pgClass, rel.oid}, c.number}, o, "COLUMN "+b.r.sqlName(rel)+"."+b.r.quote(c.name))
	if c.defaultOID != 0 && (!split || c.generated != 0) {
		b.at[obj{pgAttrdef, c.defaultOID}] = o
	}
}

func (b *builder) notNullAttr(rel *relation, c *column, o *catalog.Object) {
	k := c.notNullConstraint
	switch {
	case !c.notNull && (k == nil || k.valid):
	case k == nil:
		o.Set("not null", "yes")
	default:
		state := "yes"
		if name := k.unusualName(rel, c); name != "" {
			state += ", constraint " + b.r.quote(name)
		}
		if k.noInherit {
			state += ", no inherit"
		}
		if k.local && b.inherited(rel, c.name).handsDownNotNull() {
			state += ", not only by the parent"
		}
		if !k.valid {
			state += ", not valid"
			o.SQL = append(o.SQL, "ALTER TABLE ONLY "+b.r.sqlName(rel)+" ADD CONSTRAINT "+b.r.quote(k.name)+" NOT NULL "+b.r.quote(c.name)+" NOT VALID")
		}
		o.Set("not null", state)
		b.comment(o, sub{obj{pgConstraint, k.oid}, 0}, "not null comment", "CONSTRAINT "+b.r.quote(k.name)+" ON "+b.r.sqlName(rel))
	}
}

// differingFromParent adds the statements that make an inherited column differ from its parent's.
func (b *builder) differingFromParent(rel *relation, c *column, o *catalog.Object, alter string) {
	if c.local {
		return
	}
	parent := b.inherited(rel, c.name)
	if parent == nil {
		return
	}
	if parent.generated == 0 && c.generated == 0 && parent.expression != c.expression {
		if c.expression == "" {
			o.SQL = append(o.SQL, alter+" DROP DEFAULT")
		} else {
			o.SQL = append(o.SQL, alter+" SET DEFAULT "+c.expression)
		}
	}
	switch k := c.notNullConstraint; {
	case !c.notNull || parent.handsDownNotNull():
	case k == nil:
		o.SQL = append(o.SQL, alter+" SET NOT NULL")
	case k.valid:
		o.SQL = append(o.SQL, "ALTER TABLE ONLY "+b.r.sqlName(rel)+" ADD CONSTRAINT "+b.r.quote(k.name)+" NOT NULL "+b.r.quote(c.name))
	}
}

func (b *builder) columnStorage(c *column, o *catalog.Object, alter string) {
	set := func(attr, value, clause string) {
		if value != "" {
			o.Set(attr, value)
			o.SQL = append(o.SQL, alter+" SET "+clause)
		}
	}
	set("storage", c.storage, "STORAGE "+c.storage)
	set("compression", c.compression, "COMPRESSION "+c.compression)
	if c.statistics >= 0 {
		set("statistics", fmt.Sprint(c.statistics), fmt.Sprint("STATISTICS ", c.statistics))
	}
	options := strings.Join(b.storage(c.options, ""), ", ")
	set("options", options, "("+options+")")
}

// owned makes a column the owner of its sequences.
func (b *builder) owned(rel *relation, c *column, o *catalog.Object) {
	for _, s := range b.r.sequencesOf[columnKey{rel.oid, c.number}] {
		if s.sequence == nil || s.ownedBy.identity {
			continue
		}
		seq := s.object()
		o.Needs = append(o.Needs, seq.ID())
		o.SQL = append(o.SQL, "ALTER SEQUENCE "+b.r.sqlName(s)+" OWNED BY "+b.r.sqlName(rel)+"."+b.r.quote(c.name))
	}
}

// identitySequence adds the comment and privileges of an identity column's sequence.
func (b *builder) identitySequence(rel *relation, c *column, o *catalog.Object) {
	for _, s := range b.r.sequencesOf[columnKey{rel.oid, c.number}] {
		if !s.ownedBy.identity {
			continue
		}
		key, name := sub{obj{pgClass, s.oid}, 0}, "SEQUENCE "+b.r.sqlName(s)
		b.comment(o, key, "sequence comment", name)
		if p := b.r.privileges[key]; p != nil {
			(&grantSQL{r: b.r, on: name, owner: "CURRENT_USER", of: "sequence "}).all(o, p)
		}
	}
}

// viewColumn adds a view's column.
func (b *builder) viewColumn(rel *relation, c *column) {
	name := b.r.sqlName(rel) + "." + b.r.quote(c.name)
	o := &catalog.Object{Kind: catalog.Column, Schema: rel.schema, Of: rel.name, Name: c.name, Part: true}
	alter := "ALTER " + rel.word() + " " + b.r.sqlName(rel) + " ALTER COLUMN " + b.r.quote(c.name)
	o.Set("type", c.typ)
	if c.expression != "" {
		o.Set("default", c.expression)
		o.SQL = append(o.SQL, alter+" SET DEFAULT "+c.expression)
	}
	if rel.kind == 'm' {
		b.columnStorage(c, o, alter)
	}
	b.addSub(sub{obj{pgClass, rel.oid}, c.number}, o, "COLUMN "+name)
	if c.defaultOID != 0 {
		b.at[obj{pgAttrdef, c.defaultOID}] = o
	}
}

// unusualName returns the name of a NOT NULL constraint, or "" if it is the server's default.
func (k *constraint) unusualName(rel *relation, c *column) string {
	if k.name == rel.name+"_"+c.name+"_not_null" {
		return ""
	}
	return k.name
}
