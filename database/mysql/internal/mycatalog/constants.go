package mycatalog

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// MariaDB writes the constants in a definition in utf8mb3: for characters of four bytes, such as
// emoji, it writes a question mark. In expressions it writes them correctly.

// unclear is a default in which there is a question mark.
type unclear struct {
	t      *table
	column string
}

// clearDefaults reads the defaults in which SHOW CREATE TABLE may have replaced characters.
func (r *reader) clearDefaults(ctx context.Context) error {
	if !r.mariadb {
		return nil
	}
	var columns []unclear
	for _, t := range r.tables {
		for _, it := range t.definition.items {
			i := constantDefault(it)
			if !isName(it.toks, 0) || i < 0 || !strings.Contains(it.toks[i].Text, "?") {
				continue
			}
			if name := it.toks[0].Name(); t.columns[name].collation != "" {
				columns = append(columns, unclear{t, name})
			}
		}
	}
	for some := range slices.Chunk(columns, r.perBlock) {
		if err := r.askDefaults(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

// askDefaults sends one query. DEFAULT needs a row, but not one of the table.
func (r *reader) askDefaults(ctx context.Context, columns []unclear) error {
	selects := make([]string, len(columns))
	for i, c := range columns {
		selects[i] = fmt.Sprintf("SELECT %d, convert(DEFAULT(t.%s) USING utf8mb4) FROM (SELECT 1) AS d LEFT JOIN %s AS t ON false", i, quote(c.column), quote(c.t.name))
	}
	return r.each(ctx, strings.Join(selects, " UNION ALL "), func(row *sql.Rows) error {
		var i int
		var value string
		err := row.Scan(&i, &value)
		if err == nil {
			columns[i].t.setDefault(columns[i].column, value)
		}
		return err
	})
}

// constantDefault returns the index of the string that is a column's default, -1 for none.
func constantDefault(it item) int {
	for i := 1; i < len(it.toks); i++ {
		switch {
		case it.toks[i].Is("("):
			i = it.toks.Closing(i) - 1
		case it.toks.Is(i-1, "DEFAULT") && it.toks[i].Kind == sqltext.TokenString:
			return i
		}
	}
	return -1
}

func (t *table) setDefault(column, value string) {
	for n, it := range t.definition.items {
		if isName(it.toks, 0) && it.toks[0].Name() == column {
			text := it.toks[constantDefault(it)]
			t.definition.items[n] = newItem(it.text[:text.Pos] + literal(value) + it.text[text.End():])
		}
	}
}

// lostElements lists the columns in whose elements SHOW CREATE TABLE may have replaced characters.
func (r *reader) lostElements(t *table) {
	for _, it := range t.definition.items {
		if !r.mariadb || !isName(it.toks, 0) || !it.toks.Any(1, "enum", "set") {
			continue
		}
		if strings.Contains(render(it.toks[:it.toks.Closing(2)].From(2)), "?") {
			r.omitted = append(r.omitted, "the characters shown as ? in the elements of column "+t.name+"."+it.toks[0].Name()+": MariaDB replaces characters of four bytes there")
		}
	}
}

// withoutBytes writes strings that are not valid text, such as the default of a binary column, as
// hexadecimal digits.
func withoutBytes(sql string) string {
	if utf8.ValidString(sql) {
		return sql
	}
	var b strings.Builder
	kept := 0
	for _, t := range sqltext.List(sql, sqltext.MySQL) {
		if t.Kind == sqltext.TokenString && !utf8.ValidString(t.Text) {
			b.WriteString(sql[kept:t.Pos] + "X'" + strings.ToUpper(hex.EncodeToString([]byte(t.Value()))) + "'")
			kept = t.End()
		}
	}
	return b.String() + sql[kept:]
}
