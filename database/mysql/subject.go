package mysql

import (
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// subject is what a statement that changes the schema is about.
type subject struct {
	// objects are those that it creates, changes or drops. Which of them exist shows whether it took
	// effect.
	objects []catalog.Object
	// deep reports that it may change objects that exist before and after it, so that only their
	// definitions show whether it took effect.
	deep bool
	// outside reports that it changes objects that belong to no database, such as users.
	outside bool
}

// subjectOf reads the subject of a statement from its grammar: the names of columns and aliases,
// and what is in strings, name nothing here. current is the session's database. known is false if
// the statement changes no schema, or is none that subjectOf can read.
func subjectOf(st sqltext.Statement, current string, fold bool) (s subject, known bool) {
	h := header{list: sqltext.List(st.Text, sqltext.MySQL), current: current, fold: fold}
	h.at = h.list.Skip(0, "(") // as Verb does
	switch verb := st.Verb(); verb {
	case "CREATE", "DROP":
		h.verb = verb
	case "ALTER", "RENAME":
		h.verb, s.deep = verb, true
	default:
		return s, false
	}
	h.at++
	h.modifiers()
	if h.outside() {
		return subject{outside: true}, true
	}
	s.objects = h.objects()
	return s, len(s.objects) > 0
}

// header reads the beginning of a statement, up to the names of what it is about.
type header struct {
	list    sqltext.TokenList
	at      int
	verb    string
	current string // the session's database
	fold    bool   // the names of tables and databases are case-insensitive
}

// take moves past the next token if it is one of these words.
func (h *header) take(words ...string) bool {
	if !h.list.Any(h.at, words...) {
		return false
	}
	h.at++
	return true
}

// modifiers moves past the words between the verb and the kind of object.
func (h *header) modifiers() {
	for {
		switch {
		case h.list.Is(h.at, "SPATIAL", "REFERENCE"):
			return
		case h.take("OR", "REPLACE", "TEMPORARY", "ONLINE", "OFFLINE", "IGNORE", "UNIQUE", "FULLTEXT", "SPATIAL", "VECTOR", "AGGREGATE"):
		case h.list.Is(h.at, "ALGORITHM", "="), h.list.Is(h.at, "SQL", "SECURITY"):
			h.at += 3
		case h.list.Is(h.at, "DEFINER", "="):
			h.at += 3
			if h.list.Is(h.at, "(") { // of CURRENT_USER()
				h.at = h.list.Closing(h.at)
			}
			if h.take("@") {
				h.at++
			}
		default:
			return
		}
	}
}

// outside reports whether the next words are a kind of object that belongs to no database.
func (h *header) outside() bool {
	return h.list.Any(h.at, "USER", "ROLE", "SERVER", "TABLESPACE", "UNDO", "LOGFILE", "RESOURCE", "INSTANCE", "SPATIAL")
}

// kinds are the words for kinds of objects that have one name each, or a list of names.
var kinds = map[string]catalog.Kind{
	"TABLE": catalog.Table, "TABLES": catalog.Table, "VIEW": catalog.View, "SEQUENCE": catalog.Sequence, "FUNCTION": catalog.Function,
	"PROCEDURE": catalog.Procedure, "PACKAGE": catalog.Package, "EVENT": catalog.Event, "TRIGGER": catalog.Trigger, "INDEX": catalog.Index,
	"DATABASE": catalog.Schema, "SCHEMA": catalog.Schema,
}

// objects reads the kind of object and the names; nil if it can't.
func (h *header) objects() (all []catalog.Object) {
	word := h.list.At(h.at)
	kind, ok := kinds[strings.ToUpper(word.Text)]
	if !ok || word.Kind != sqltext.TokenWord {
		return nil
	}
	h.at++
	if kind == catalog.Package && h.take("BODY") {
		kind = catalog.PackageBody
	}
	if h.take("IF") {
		h.take("NOT")
		h.take("EXISTS")
	}
	for {
		o, ok := h.name(kind)
		if !ok {
			return nil
		}
		all = append(all, o)
		if h.verb == "RENAME" {
			if h.until("TO"); !h.take("TO") {
				return nil
			}
			if o, ok = h.name(kind); !ok {
				return nil
			}
			all = append(all, o)
		}
		if h.verb != "DROP" && h.verb != "RENAME" || !h.take(",") {
			return all
		}
	}
}

// until moves to the next of some words, which may be the current token.
func (h *header) until(word string) {
	for h.at < len(h.list) && !h.list.Is(h.at, word) {
		h.at++
	}
}

// name reads a name, qualified or not.
func (h *header) name(kind catalog.Kind) (o catalog.Object, ok bool) {
	first, second, ok := h.qualified()
	switch kind {
	case catalog.Schema:
		return catalog.Object{Kind: kind, Name: h.folded(second)}, ok && first == ""
	case catalog.Table, catalog.View, catalog.Sequence:
		second = h.folded(second)
	case catalog.Index, catalog.Trigger:
		return h.onTable(catalog.Object{Kind: kind, Schema: h.schema(first), Name: second}, ok)
	}
	return catalog.Object{Kind: kind, Schema: h.schema(first), Name: second}, ok
}

// onTable reads the table of an index or of a new trigger. Its database is that of the object.
func (h *header) onTable(o catalog.Object, ok bool) (catalog.Object, bool) {
	if o.Kind == catalog.Trigger && h.verb == "DROP" {
		return o, ok
	}
	if h.until("ON"); !h.take("ON") {
		return o, false
	}
	schema, table, there := h.qualified()
	o.Schema, o.Of = h.schema(schema), h.folded(table)
	return o, ok && there
}

// qualified reads a name and what is before its dot.
func (h *header) qualified() (first, second string, ok bool) {
	second = h.list.At(h.at).Name()
	if h.at++; h.take(".") {
		first, second = second, h.list.At(h.at).Name()
		h.at++
		ok = first != ""
	} else {
		ok = true
	}
	return first, second, ok && second != ""
}

// schema returns the database of an object, given what is before the dot of its name.
func (h *header) schema(name string) string {
	if name == "" {
		name = h.current
	}
	return h.folded(name)
}

func (h *header) folded(name string) string {
	if h.fold {
		return strings.ToLower(name)
	}
	return name
}

// exists returns an SQL condition: an object exists. The names are constants, so the server looks
// at nothing else.
func exists(o catalog.Object) string {
	is := func(table string, columns ...string) string {
		var all []string
		for i := 0; i < len(columns); i += 2 {
			all = append(all, columns[i]+" = "+literal(columns[i+1]))
		}
		return "EXISTS (SELECT 1 FROM information_schema." + table + " WHERE " + strings.Join(all, " AND ") + ")"
	}
	switch o.Kind {
	case catalog.Schema:
		return is("schemata", "schema_name", o.Name)
	case catalog.Function, catalog.Procedure, catalog.Package, catalog.PackageBody:
		return is("routines", "routine_schema", o.Schema, "routine_name", o.Name, "routine_type", strings.ToUpper(string(o.Kind)))
	case catalog.Event:
		return is("events", "event_schema", o.Schema, "event_name", o.Name)
	case catalog.Index:
		return is("statistics", "table_schema", o.Schema, "table_name", o.Of, "index_name", o.Name)
	case catalog.Trigger:
		if o.Of == "" {
			return is("triggers", "trigger_schema", o.Schema, "trigger_name", o.Name)
		}
		return is("triggers", "event_object_schema", o.Schema, "event_object_table", o.Of, "trigger_schema", o.Schema, "trigger_name", o.Name)
	}
	return is("tables", "table_schema", o.Schema, "table_name", o.Name) // also views and sequences
}
