package mycatalog

import (
	"context"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// table is a table of the lists.
type table struct {
	name, collation string
	columns         map[string]columnFacts
	definition      *definition
}

// columnFacts are properties of a column that SHOW CREATE omits.
type columnFacts struct {
	collation string // also where it is the table's
	srid      string
}

// listTables lists tables, views and sequences.
func (r *reader) listTables(ctx context.Context) error {
	tables := map[string]*table{}
	// MariaDB writes into the comment that a view is not valid if it has to open it, as it has for
	// create_options.
	err := r.eachText(ctx, "SELECT table_name, table_type, table_collation, table_comment, create_options"+r.from("tables", "table_schema")+" ORDER BY table_name", func(v []string) {
		name := v[0]
		if r.only != nil && !r.only[name] {
			return
		}
		switch v[1] {
		case "BASE TABLE", "SYSTEM VERSIONED":
			if !r.own[strings.ToLower(name)] {
				t := &table{name: name, collation: v[2], columns: map[string]columnFacts{}}
				tables[name] = t
				r.tables = append(r.tables, t)
				r.show("TABLE", name, func(row []string) (err error) {
					t.definition, err = cutTable(r.unqualified(withoutBytes(row[1])), r.whole)
					return err
				})
			}
		case "VIEW":
			valid := strings.EqualFold(v[3], "VIEW")
			r.show("VIEW", name, func(row []string) error { return r.view(name, row[1], valid) })
		case "SEQUENCE":
			r.show("SEQUENCE", name, func(row []string) error { return r.sequence(name, row[1]) })
		}
	})
	if err != nil {
		return err
	}
	facts := func(query string, set func(*columnFacts, string)) error {
		return r.eachText(ctx, query, func(v []string) {
			if t := tables[v[0]]; t != nil {
				f := t.columns[v[1]]
				set(&f, v[2])
				t.columns[v[1]] = f
			}
		})
	}
	err = facts("SELECT table_name, column_name, collation_name"+r.from("columns", "table_schema")+" AND collation_name IS NOT NULL", func(f *columnFacts, value string) { f.collation = value })
	if err == nil && r.mariadb { // MySQL has it in the definition
		err = facts("SELECT g_table_name, g_geometry_column, srid"+r.from("geometry_columns", "g_table_schema")+" AND srid <> 0", func(f *columnFacts, value string) { f.srid = value })
	}
	return err
}

// definition is a CREATE TABLE, split into its parts.
type definition struct {
	items   []item
	options sqltext.TokenList // up to PARTITION BY
	tail    string            // from the closing parenthesis on
	parts   sqltext.TokenList // PARTITION BY …
}

// item is the text between two commas of a CREATE TABLE.
type item struct {
	toks sqltext.TokenList
	text string
}

func newItem(text string) item { return item{sqltext.List(text, sqltext.MySQL), text} }

// cutTable splits a CREATE TABLE. The value of AUTO_INCREMENT is left out, unless counter is set.
func cutTable(sql string, counter bool) (*definition, error) {
	list := sqltext.List(sql, sqltext.MySQL)
	open := list.Index("(")
	end := list.Closing(open)
	if open < 0 || !list.Is(end-1, ")") {
		return nil, notUnderstood(sql)
	}
	d := &definition{}
	from := open + 1
	for i := from; i < end; i++ {
		switch {
		case list[i].Is("("):
			i = list.Closing(i) - 1
		case list[i].Is(",") || i == end-1:
			d.items = append(d.items, newItem(strings.TrimSpace(sql[list[from-1].End():list[i].Pos])))
			from = i + 1
		}
	}
	d.options = list[end:]
	if i := d.options.Index("PARTITION", "BY"); i >= 0 {
		d.options, d.parts = d.options[:i], d.options[i:]
	}
	d.tail = sql[list[end-1].End():]
	if i := d.options.Index("AUTO_INCREMENT", "="); i >= 0 && i+2 < len(d.options) && !counter {
		d.tail = strings.TrimSuffix(sql[list[end-1].End():d.options[i].Pos], " ") + sql[d.options[i+2].End():]
	}
	return d, nil
}

// makeTables creates objects from the tables' definitions.
func (r *reader) makeTables(ctx context.Context) error {
	if err := r.clearDefaults(ctx); err != nil {
		return err
	}
	for _, t := range r.tables {
		r.lostElements(t)
		if err := r.table(t); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) table(t *table) error {
	d := t.definition
	o := catalog.Object{Kind: catalog.Table, Name: t.name}
	tableOptions(&o, d.options, t.collation)
	o.Set("partition by", strings.TrimPrefix(render(compared(d.parts)), "PARTITION BY "))
	var parts, keys []catalog.Object
	var lines []string // of the statement
	for _, it := range d.items {
		p := catalog.Object{Of: t.name, Part: true}
		switch {
		case isName(it.toks, 0):
			it = column(&p, it, t)
		case it.toks.Is(0, "PERIOD", "FOR"):
			o.Set("period for "+strings.ToLower(it.toks.At(2).Name()), render(it.toks.From(3)))
			lines = append(lines, it.text)
			continue
		case it.toks.Is(0, "CONSTRAINT"):
			p.Kind, p.Name = catalog.Constraint, it.toks.At(1).Name()
			p.Set("definition", render(it.toks.From(2)))
			if it.toks.Is(2, "FOREIGN") {
				p.Part = false
				if r.whole {
					lines = append(lines, it.text)
					continue
				}
				p.SQL = []string{"ALTER TABLE " + quote(t.name) + " ADD " + it.text}
				keys = append(keys, p)
				continue
			}
		case it.toks.Is(0, "PRIMARY"):
			p.Kind, p.Name = catalog.Constraint, "PRIMARY"
			p.Set("definition", render(it.toks))
		default:
			if err := index(&p, it); err != nil {
				return err
			}
		}
		parts = append(parts, p)
		lines = append(lines, it.text)
	}
	o.SQL = []string{"CREATE TABLE " + quote(t.name) + " (\n  " + strings.Join(lines, ",\n  ") + "\n)" + d.tail}
	if strings.Contains(o.SQL[0], "-00") { // a default that is no date
		o.SQL = r.inMode(tolerant, o.SQL[0])
	}
	r.objects = append(r.objects, o)
	r.objects = append(r.objects, parts...)
	r.objects = append(r.objects, keys...)
	return nil
}

// compared returns the partitioning without what depends on its creation time: where intervals of
// history start, and the partitions that the server adds by itself.
func compared(parts sqltext.TokenList) sqltext.TokenList {
	if !parts.Is(2, "SYSTEM_TIME") {
		return parts
	}
	var kept sqltext.TokenList
	for i := 0; i < len(parts); i++ {
		if parts.Is(i, "STARTS", "TIMESTAMP") {
			i += 3
		}
		kept = append(kept, parts[min(i, len(parts)-1)])
		if parts.Is(i, "AUTO") {
			break
		}
	}
	return kept
}

// tableOptions sets the options one by one: NAME = value, or words.
func tableOptions(o *catalog.Object, options sqltext.TokenList, collation string) {
	o.Set("collation", collation)
	for i := 0; i < len(options); {
		from := i
		for i < len(options) && !options[i].Is("=") && !options.Is(i, "WITH", "SYSTEM") && !options.Is(i, "TABLESPACE") {
			i++
		}
		switch {
		case i == len(options):
			o.Set(strings.ToLower(render(options[from:])), "yes")
		case options.Is(i, "WITH", "SYSTEM"):
			o.Set("system versioning", "yes")
			i += 3
		case options.Is(i, "TABLESPACE"):
			o.Set("tablespace", options.At(i+1).Text)
			i += 2
		default:
			name, value := strings.ToLower(strings.Trim(render(options[from:i]), " `")), i+1
			if i = value + 1; options.Is(value, "(") { // UNION
				i = options.Closing(value)
			}
			switch name {
			case "auto_increment", "default charset", "charset", "collate":
			default:
				o.Set(strings.ReplaceAll(name, "_", " "), render(options[:min(i, len(options))].From(value)))
			}
		}
	}
}

// index creates an object from a key.
func index(o *catalog.Object, it item) error {
	o.Kind = catalog.Index
	i := 0
	for ; i < len(it.toks) && !it.toks.Any(i, "KEY", "INDEX"); i++ {
		if it.toks.Is(i, "UNIQUE") {
			o.Set("unique", "yes")
		} else {
			o.Set("type", strings.ToLower(it.toks[i].Text)) // fulltext, spatial
		}
	}
	if i++; !isName(it.toks, i) || !it.toks.Is(i+1, "(") {
		return notUnderstood(it.text)
	}
	o.Name = it.toks[i].Name()
	o.Set("columns", render(it.toks.Inside(i+1)))
	var others sqltext.TokenList
	for i = it.toks.Closing(i + 1); i < len(it.toks); i++ {
		switch {
		case it.toks.Is(i, "USING"):
			i++
			o.Set("using", strings.ToLower(it.toks.At(i).Text))
		case it.toks.Is(i, "COMMENT"):
			i++
			o.Set("comment", it.toks.At(i).Text)
		case it.toks.Any(i, "IGNORED", "INVISIBLE"):
			o.Set(strings.ToLower(it.toks[i].Text), "yes")
		default:
			others = append(others, it.toks[i])
		}
	}
	o.Set("options", render(others))
	return nil
}
