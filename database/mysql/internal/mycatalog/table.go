package mycatalog

import (
	"context"
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// table is a table as the lists have it.
type table struct {
	name, collation string
	columns         map[string]columnFacts
	definition      *definition
}

// columnFacts is what SHOW CREATE doesn't say of a column.
type columnFacts struct {
	collation string // also where it is the table's
	srid      string
}

// listTables lists tables, views and sequences.
func (r *reader) listTables(ctx context.Context) error {
	tables := map[string]*table{}
	// MariaDB says in the comment that a view is not valid if it has to open it, as it has for create_options.
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
					t.definition, err = cutTable(r.unqualified(withoutBytes(row[1])))
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

// definition is a CREATE TABLE, cut into pieces.
type definition struct {
	items   []item
	options []tok  // up to PARTITION BY
	tail    string // from the closing parenthesis on
	parts   []tok  // PARTITION BY …
}

// item is what stands between two commas of a CREATE TABLE.
type item struct {
	toks []tok
	text string
}

func newItem(text string) item { return item{tokens(text), text} }

func cutTable(sql string) (*definition, error) {
	list := tokens(sql)
	open := 0
	for open < len(list) && list[open].text != "(" {
		open++
	}
	end := closing(list, open)
	if open == len(list) || list[end-1].text != ")" {
		return nil, fmt.Errorf("this is not understood: %.100s", sql)
	}
	d := &definition{}
	from := open + 1
	for i := from; i < end; i++ {
		switch {
		case list[i].text == "(":
			i = closing(list, i) - 1
		case list[i].text == "," || i == end-1:
			d.items = append(d.items, newItem(strings.TrimSpace(sql[list[from-1].end:list[i].pos])))
			from = i + 1
		}
	}
	d.options = list[end:]
	for i := range d.options {
		if is(d.options, i, "PARTITION", "BY") {
			d.options, d.parts = d.options[:i], d.options[i:]
			break
		}
	}
	d.tail = withoutCounter(sql[list[end-1].end:], list[end-1].end, d.options)
	return d, nil
}

// has says that words are among the options.
func (d *definition) has(words ...string) bool {
	for i := range d.options {
		if is(d.options, i, words...) {
			return true
		}
	}
	return false
}

// withoutCounter cuts AUTO_INCREMENT = n out of the tail of a definition, which begins at offset.
func withoutCounter(tail string, offset int, options []tok) string {
	for i := range options {
		if is(options, i, "AUTO_INCREMENT", "=") && i+2 < len(options) {
			from, to := options[i].pos-offset, options[i+2].end-offset
			return strings.TrimSuffix(tail[:from], " ") + tail[to:]
		}
	}
	return tail
}

// makeTables makes objects of the tables' definitions.
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
		case is(it.toks, 0, "PERIOD", "FOR"):
			o.Set("period for "+strings.ToLower(it.toks[2].unquote()), render(it.toks[3:]))
			lines = append(lines, it.text)
			continue
		case is(it.toks, 0, "CONSTRAINT"):
			p.Kind, p.Name = catalog.Constraint, it.toks[1].unquote()
			p.Set("definition", render(it.toks[2:]))
			if is(it.toks, 2, "FOREIGN") {
				p.Part = false
				p.SQL = []string{"ALTER TABLE " + quote(t.name) + " ADD " + it.text}
				keys = append(keys, p)
				continue
			}
		case is(it.toks, 0, "PRIMARY"):
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

// compared returns the partitioning without what comes from the time at which it was made: where intervals of
// history start, and the partitions that the server adds by itself.
func compared(parts []tok) []tok {
	if !is(parts, 2, "SYSTEM_TIME") {
		return parts
	}
	var kept []tok
	for i := 0; i < len(parts); i++ {
		if is(parts, i, "STARTS", "TIMESTAMP") {
			i += 3
		}
		kept = append(kept, parts[min(i, len(parts)-1)])
		if is(parts, i, "AUTO") {
			break
		}
	}
	return kept
}

// tableOptions tells the options one by one: NAME = value, or words.
func tableOptions(o *catalog.Object, options []tok, collation string) {
	o.Set("collation", collation)
	for i := 0; i < len(options); {
		from := i
		for i < len(options) && options[i].text != "=" && !is(options, i, "WITH", "SYSTEM") && !is(options, i, "TABLESPACE") {
			i++
		}
		switch {
		case i == len(options):
			o.Set(strings.ToLower(render(options[from:])), "yes")
		case is(options, i, "WITH", "SYSTEM"):
			o.Set("system versioning", "yes")
			i += 3
		case is(options, i, "TABLESPACE"):
			o.Set("tablespace", render(options[i+1:i+2]))
			i += 2
		default:
			name, value := strings.ToLower(strings.Trim(render(options[from:i]), " `")), i+1
			if i = value + 1; is(options, value, "(") { // UNION
				i = closing(options, value)
			}
			switch name {
			case "auto_increment", "default charset", "charset", "collate":
			default:
				o.Set(strings.ReplaceAll(name, "_", " "), render(options[value:min(i, len(options))]))
			}
		}
	}
}

// index makes an object of a key.
func index(o *catalog.Object, it item) error {
	o.Kind = catalog.Index
	i := 0
	for ; i < len(it.toks) && !isAny(it.toks, i, "KEY", "INDEX"); i++ {
		if is(it.toks, i, "UNIQUE") {
			o.Set("unique", "yes")
		} else {
			o.Set("type", strings.ToLower(it.toks[i].text)) // fulltext, spatial
		}
	}
	if i++; !isName(it.toks, i) || !is(it.toks, i+1, "(") {
		return fmt.Errorf("this is not understood: %s", it.text)
	}
	o.Name = it.toks[i].unquote()
	end := closing(it.toks, i+1)
	o.Set("columns", render(it.toks[i+2:end-1]))
	var others []tok
	for i = end; i < len(it.toks); i++ {
		switch {
		case is(it.toks, i, "USING"):
			i++
			o.Set("using", strings.ToLower(render(it.toks[i:i+1])))
		case is(it.toks, i, "COMMENT"):
			i++
			o.Set("comment", render(it.toks[i:i+1]))
		case isAny(it.toks, i, "IGNORED", "INVISIBLE"):
			o.Set(strings.ToLower(it.toks[i].text), "yes")
		default:
			others = append(others, it.toks[i])
		}
	}
	o.Set("options", render(others))
	return nil
}
