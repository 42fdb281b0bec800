package mycatalog

import (
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// column creates an object from a column, and returns the column as the text must have it.
func column(o *catalog.Object, it item, t *table) item {
	o.Kind, o.Name = catalog.Column, it.toks[0].Name()
	facts := t.columns[o.Name]
	clauses := clauses(it.toks[1:])
	typ := clauses[0] // may be empty
	o.Set("type", render(typ))
	if facts.srid != "" { // MariaDB's SHOW CREATE TABLE passes over it
		o.Set("srid", facts.srid)
		at := typ.At(len(typ) - 1).End()
		it.text = it.text[:at] + " REF_SYSTEM_ID=" + facts.srid + it.text[at:]
	}
	o.Set("collation", facts.collation)
	nullable, hasDefault, generated := true, false, false
	for _, c := range clauses[1:] {
		name, value := clause(c)
		switch name {
		case "":
			continue
		case "not null":
			nullable = false
		case "default":
			if hasDefault = true; strings.EqualFold(value, "NULL") {
				continue
			}
		case "generated":
			generated = true
		}
		o.Set(name, value)
	}
	if nullable && !hasDefault && !generated && !withoutDefault(typ) {
		o.Set("no default", "yes") // not even NULL
	}
	return it
}

// withoutDefault reports whether columns of the type can't have a default in MySQL and don't say
// so.
func withoutDefault(typ sqltext.TokenList) bool {
	word := strings.ToLower(typ.At(0).Text)
	return strings.HasSuffix(word, "text") || strings.HasSuffix(word, "blob") || typ.Any(0, "json", "geometry", "point", "linestring", "polygon",
		"multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection", "vector")
}

// clauses splits the text after a column's name: first its type, then the clauses that keywords
// begin.
func clauses(list sqltext.TokenList) []sqltext.TokenList {
	var parts []sqltext.TokenList
	from := 0
	for i := 0; i < len(list); i++ {
		if i > 0 && beginsClause(list, i) {
			parts = append(parts, list[from:i])
			from = i
		}
		if list[i].Is("(") {
			i = list.Closing(i) - 1
		}
	}
	return append(parts, list[from:])
}

func beginsClause(list sqltext.TokenList, i int) bool {
	switch strings.ToUpper(list[i].Text) {
	case "NULL":
		return !list.Any(i-1, "NOT", "DEFAULT")
	case "AS":
		return !list.Is(i-1, "ALWAYS")
	case "CHARACTER", "CHARSET", "COLLATE", "GENERATED", "NOT", "DEFAULT", "ON", "AUTO_INCREMENT", "COMMENT", "CHECK", "INVISIBLE",
		"WITHOUT", "WITH", "SRID", "COLUMN_FORMAT", "STORAGE":
		return true
	}
	return list[i].Kind == sqltext.TokenName // an option of the storage engine
}

// clause returns a clause as an attribute; "" if another attribute has it.
func clause(c sqltext.TokenList) (name, value string) {
	switch first := strings.ToLower(c[0].Text); first {
	case "character", "charset", "collate", "null":
		return "", ""
	case "not":
		return "not null", "yes"
	case "generated":
		return "generated", render(c.From(3))
	case "as":
		return "generated", render(c.From(1))
	case "on":
		return "on update", render(c.From(2))
	case "default", "comment", "check", "srid", "column_format", "storage":
		return strings.ReplaceAll(first, "_", " "), render(c.From(1))
	case "auto_increment", "invisible":
		return first, "yes"
	}
	if c[0].Kind == sqltext.TokenName && c.Is(1, "=") {
		return "option " + strings.ToLower(c[0].Name()), render(c.From(2))
	}
	return strings.ToLower(render(c)), "yes" // without system versioning
}
