package inspect

import (
	"fmt"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// dropAll returns a script that drops objects, newest first, skipping those dropped with their
// owner. If an object can't be dropped by name alone, dropAll returns the reason in whyNot.
func dropAll(objects []catalog.Object, dialect string) (script, whyNot string) {
	d := dropper{postgres: dialect == sqltext.PostgreSQL.String(), mysql: dialect == sqltext.MySQL.String()}
	relations := map[string]bool{} // by schema and name
	for i := range objects {
		if o := &objects[i]; o.Of == "" {
			relations[d.qualified(o.Schema, o.Name)] = true
		}
	}
	var b strings.Builder
	if dialect == sqltext.SQLite.String() && refers(objects) {
		// otherwise SQLite deletes row by row, perhaps in a wrong order
		b.WriteString("PRAGMA foreign_keys = off;\n")
	}
	for _, o := range slices.Backward(objects) {
		if d.goesWith(&o, relations) {
			continue
		}
		sql := d.drop(&o)
		if sql == "" {
			article := "a"
			if strings.IndexAny(string(o.Kind), "aeiou") == 0 {
				article = "an"
			}
			return "", fmt.Sprintf("%s %s can't be dropped by its name alone (%s)", article, o.Kind, o.FullName())
		}
		b.WriteString(sql + ";\n")
	}
	return b.String(), ""
}

func refers(objects []catalog.Object) bool {
	return slices.ContainsFunc(objects, func(o catalog.Object) bool {
		return slices.ContainsFunc(o.SQL, func(sql string) bool { return sqltext.List(sql, sqltext.SQLite).Index("REFERENCES") >= 0 })
	})
}

// dropper writes DROP statements for one dialect.
type dropper struct{ postgres, mysql bool }

// goesWith reports whether an object is dropped together with its owner. Foreign keys are dropped
// first: two tables that refer to each other could not be dropped otherwise.
func (d dropper) goesWith(o *catalog.Object, relations map[string]bool) bool {
	switch {
	case o.Part || o.Attr("owned by") != "" || o.Kind == catalog.PackageBody:
		return true
	case isForeignKey(o):
		return false
	}
	return o.Of != "" && relations[d.qualified(o.Schema, o.Of)]
}

func isForeignKey(o *catalog.Object) bool {
	return o.Kind == catalog.Constraint && strings.HasPrefix(o.Attr("definition"), "FOREIGN KEY")
}

// drop returns the statement that drops an object, or "" if its name isn't enough to drop it.
func (d dropper) drop(o *catalog.Object) string {
	name, table := d.qualified(o.Schema, o.Name), d.qualified(o.Schema, o.Of)
	switch o.Kind {
	case catalog.Schema:
		if o.Name == "public" { // every database has it
			return ""
		}
		return "DROP SCHEMA " + name
	case catalog.Enum, catalog.Composite, catalog.Range:
		return "DROP TYPE " + name
	case catalog.VirtualTable:
		return "DROP TABLE " + name
	case catalog.Function, catalog.Procedure, catalog.Aggregate:
		return "DROP " + strings.ToUpper(string(o.Kind)) + " " + name + o.Signature
	case catalog.Package: // MariaDB parses it only in Oracle mode
		return "SET STATEMENT sql_mode = 'ORACLE' FOR EXECUTE IMMEDIATE '" + strings.NewReplacer(`\`, `\\`, "'", "''").Replace("DROP PACKAGE "+name) + "'"
	case catalog.Constraint:
		if d.mysql && isForeignKey(o) { // MySQL before 8.0.19 has no DROP CONSTRAINT
			return "ALTER TABLE " + table + " DROP FOREIGN KEY " + d.quote(o.Name)
		}
		return "ALTER TABLE " + table + " DROP CONSTRAINT " + d.quote(o.Name)
	case catalog.Index, catalog.Statistics, catalog.Domain, catalog.Sequence, catalog.Table, catalog.ForeignTable, catalog.View,
		catalog.MaterializedView, catalog.Extension, catalog.Collation, catalog.Publication, catalog.EventTrigger, catalog.ForeignDataWrapper,
		catalog.ForeignServer, catalog.TextSearchDict, catalog.TextSearchConfig, catalog.Language, catalog.Event:
		return "DROP " + strings.ToUpper(string(o.Kind)) + " " + name
	case catalog.Trigger, catalog.Rule, catalog.Policy:
		if !d.postgres {
			return "DROP " + strings.ToUpper(string(o.Kind)) + " " + name
		}
		return "DROP " + strings.ToUpper(string(o.Kind)) + " " + d.quote(o.Name) + " ON " + table
	}
	return ""
}

func (d dropper) qualified(schema, name string) string {
	if schema == "" {
		return d.quote(name)
	}
	return d.quote(schema) + "." + d.quote(name)
}

func (d dropper) quote(name string) string {
	if d.mysql { // double quotes are strings there, unless sql_mode contains ANSI_QUOTES
		return "`" + strings.ReplaceAll(name, "`", "``") + "`"
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}
