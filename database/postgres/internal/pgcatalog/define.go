package pgcatalog

import (
	"cmp"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// define adds an object that depends on no other row. name is the one in GRANT and COMMENT, with
// the kind of object. Each run of the builders gets a copy.
func (r *Reader) define(key obj, o catalog.Object, name string) {
	r.build(func(b *builder) {
		o := o
		o.Attrs, o.Needs = slices.Clone(o.Attrs), slices.Clone(o.Needs)
		o.SQL, o.Late = slices.Clone(o.SQL), slices.Clone(o.Late)
		b.add(key, &o, name)
	})
}

// defineAll queries objects of the form CREATE [adjective] kind name definition. The columns are
// oid, schema (0 for none), name, signature, adjective and definition.
func (r *Reader) defineAll(class oid, kind catalog.Kind, sql string) {
	r.ask(sql, func(a *row) {
		id := a.oid()
		o := catalog.Object{Kind: kind, Schema: r.schemas[a.oid()], Name: a.text(), Signature: a.text()}
		adjective, definition := a.text(), a.text()
		name := strings.ToUpper(string(kind)) + " " + r.qualified(o.Schema, o.Name) + o.Signature
		create := "CREATE "
		if adjective != "" {
			o.Set(strings.ToLower(adjective), "yes")
			create += adjective + " "
		}
		o.Set("definition", definition)
		o.SQL = []string{create + name + " " + definition}
		r.define(obj{class, id}, o, name)
	})
}

// defineSettings queries objects that consist of settings. The columns are oid, schema (0 for
// none), name and settings; format formats the settings for CREATE.
func (r *Reader) defineSettings(class oid, kind catalog.Kind, format func(settings) string, sql string) {
	r.ask(sql, func(a *row) {
		id := a.oid()
		o := catalog.Object{Kind: kind, Schema: r.schemas[a.oid()], Name: a.text()}
		s := a.settings()
		o.Attrs = s.attrs()
		name := strings.ToUpper(string(kind)) + " " + r.qualified(o.Schema, o.Name)
		o.SQL = []string{"CREATE " + name + format(s)}
		r.define(obj{class, id}, o, name)
	})
}

// settings are the settings in a CREATE statement, in order. Those without a value are flags.
type settings []catalog.Attr

// settings reads a JSON array of "NAME = value" and "NAME"; it ignores NULL.
func (a *row) settings() (s settings) {
	for _, setting := range a.list() {
		if setting != "" {
			name, value, _ := strings.Cut(setting, " = ")
			s = append(s, catalog.Attr{Name: name, Value: value})
		}
	}
	return s
}

// join formats each setting as its name, equals and value.
func (s settings) join(equals, separator string) string {
	list := make([]string, len(s))
	for i, a := range s {
		list[i] = a.Name
		if a.Value != "" {
			list[i] += equals + a.Value
		}
	}
	return strings.Join(list, separator)
}

// inParens formats the settings as CREATE OPERATOR and others need them.
func (s settings) inParens() string { return " (\n    " + s.join(" = ", ",\n    ") + "\n)" }

// asWords formats the settings as CREATE SERVER and others need them.
func (s settings) asWords() string { return strings.TrimRight(" "+s.join(" ", " "), " ") }

func (s settings) attrs() []catalog.Attr {
	attrs := make([]catalog.Attr, len(s))
	for i, a := range s {
		attrs[i] = catalog.Attr{Name: strings.ToLower(a.Name), Value: cmp.Or(a.Value, "yes")}
	}
	return attrs
}

// creation is an object with the statement that creates it, which is written clause by clause.
type creation struct {
	*catalog.Object
	sql string
}

// add sets an attribute and appends its clause, unless the value is empty.
func (c *creation) add(attr, value, clause string) {
	if value != "" {
		c.Set(attr, value)
		c.sql += clause
	}
}

// flag sets an attribute to "yes" and appends its clause, if it is on.
func (c *creation) flag(on bool, attr, clause string) {
	if on {
		c.add(attr, "yes", clause)
	}
}
