package inspect

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// dropAll returns a script that drops objects, newest first, without those that go with
// another. Where one can't be dropped by its name alone, whyNot says so.
func dropAll(objects []catalog.Object, dialect string) (script, whyNot string) {
	postgres := strings.EqualFold(dialect, sqltext.PostgreSQL.String())
	relations := map[string]bool{} // of the objects, by schema and name
	for i := range objects {
		if o := &objects[i]; o.Of == "" {
			relations[qualified(o.Schema, o.Name)] = true
		}
	}
	var b strings.Builder
	if !postgres && refers(objects) {
		b.WriteString("PRAGMA foreign_keys = off;\n") // else SQLite deletes row by row, in an order that may be wrong
	}
	for _, o := range slices.Backward(objects) {
		if goesWith(&o, relations) {
			continue
		}
		sql := drop(&o, postgres)
		if sql == "" {
			return "", fmt.Sprintf("a %s can't be dropped by its name alone (%s)", o.Kind, o.FullName())
		}
		b.WriteString(sql + ";\n")
	}
	return b.String(), ""
}

var references = regexp.MustCompile(`(?i)\breferences\b`)

func refers(objects []catalog.Object) bool {
	return slices.ContainsFunc(objects, func(o catalog.Object) bool {
		return slices.ContainsFunc(o.SQL, references.MatchString)
	})
}

// goesWith says that an object is dropped with another that is, too. References are not: two
// tables that refer to each other could not be dropped.
func goesWith(o *catalog.Object, relations map[string]bool) bool {
	switch {
	case o.Part || o.Attr("owned by") != "":
		return true
	case o.Kind == catalog.Constraint && strings.HasPrefix(o.Attr("definition"), "FOREIGN KEY"):
		return false
	}
	return o.Of != "" && relations[qualified(o.Schema, o.Of)]
}

// drop returns the statement that drops an object, "" if there is none that needs no more than
// its name.
func drop(o *catalog.Object, postgres bool) string {
	name, table := qualified(o.Schema, o.Name), qualified(o.Schema, o.Of)
	switch o.Kind {
	case catalog.Schema:
		if o.Name == "public" { // which every database has
			return ""
		}
		return "DROP SCHEMA " + name
	case catalog.Enum, catalog.Composite, catalog.Range:
		return "DROP TYPE " + name
	case catalog.VirtualTable:
		return "DROP TABLE " + name
	case catalog.Function, catalog.Procedure, catalog.Aggregate:
		return "DROP " + strings.ToUpper(string(o.Kind)) + " " + name + o.Signature
	case catalog.Constraint:
		return "ALTER TABLE " + table + " DROP CONSTRAINT " + quote(o.Name)
	case catalog.Index, catalog.Statistics, catalog.Domain, catalog.Sequence, catalog.Table, catalog.ForeignTable, catalog.View,
		catalog.MaterializedView, catalog.Extension, catalog.Collation, catalog.Publication, catalog.EventTrigger, catalog.ForeignDataWrapper,
		catalog.ForeignServer, catalog.TextSearchDict, catalog.TextSearchConfig, catalog.Language:
		return "DROP " + strings.ToUpper(string(o.Kind)) + " " + name
	case catalog.Trigger, catalog.Rule, catalog.Policy:
		if !postgres {
			return "DROP " + strings.ToUpper(string(o.Kind)) + " " + name
		}
		return "DROP " + strings.ToUpper(string(o.Kind)) + " " + quote(o.Name) + " ON " + table
	}
	return ""
}

func qualified(schema, name string) string {
	if schema == "" {
		return quote(name)
	}
	return quote(schema) + "." + quote(name)
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
