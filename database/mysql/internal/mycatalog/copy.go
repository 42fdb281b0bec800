package mycatalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// CopyScript returns statements that copy the current database, with its rows, into an empty one on
// the same server, which must be selected. They are separated by semicolons. Their session is
// changed afterwards.
//
// Rows come before triggers and events, which must not see them. Of tables with system versioning,
// only the current rows are copied. CopyScript takes one value of each sequence.
func CopyScript(ctx context.Context, q Queryer) (string, error) {
	r, end, err := begin(ctx, q, nil)
	if err != nil {
		return "", err
	}
	defer end()
	r.whole = true
	s, err := r.snapshot(ctx, catalog.Options{})
	if err != nil {
		return "", err
	}
	all := append(s.Preamble, "SET unique_checks = 0")
	rows := []string{"SET sql_mode = 'NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO'"}
	var rest []string
	for i := range s.Objects {
		o := &s.Objects[i]
		switch {
		case o.Part:
			all = append(all, o.SQL...) // if its table does not create it
		case o.Kind == catalog.Table:
			all = append(all, o.SQL...)
			insert, err := r.copyRows(ctx, o.Name)
			if err != nil {
				return "", err
			}
			rows = append(rows, insert...)
		case o.Kind == catalog.Sequence:
			next, err := r.next(ctx, o.Name)
			if err != nil {
				return "", err
			}
			all = append(append(all, o.SQL...), fmt.Sprintf("DO SETVAL(%s, %s, 0)", quote(o.Name), next))
		default:
			rest = append(rest, o.SQL...)
		}
		rest = append(rest, o.Late...)
	}
	all = append(append(all, rows...), "SET sql_mode = "+literal(r.mode))
	return strings.Join(append(all, rest...), "\n;\n"), nil // the last line of a body may be a comment
}

// copyRows returns a statement that inserts the rows of a table, if it has any.
func (r *reader) copyRows(ctx context.Context, name string) ([]string, error) {
	some, err := r.one(ctx, "SELECT EXISTS (SELECT 1 FROM "+quote(name)+")")
	if err != nil || some == "0" {
		return nil, err
	}
	var columns []string
	err = r.eachText(ctx, "SELECT column_name"+r.from("columns", "table_schema")+" AND table_name = "+literal(name)+
		" AND coalesce(generation_expression, '') = '' ORDER BY ordinal_position", func(v []string) {
		columns = append(columns, quote(v[0]))
	})
	list := strings.Join(columns, ", ")
	return []string{"INSERT INTO " + quote(name) + " (" + list + ") SELECT " + list + " FROM " + quote(r.database) + "." + quote(name)}, err
}

// next returns the next value of a sequence. Only taking it tells, since the server reserves many.
func (r *reader) next(ctx context.Context, sequence string) (string, error) {
	value, err := r.one(ctx, "SELECT nextval("+quote(sequence)+")")
	const exhausted = 4084
	if e := (*mysql.MySQLError)(nil); errors.As(err, &e) && e.Number == exhausted {
		value, err = r.one(ctx, "SELECT next_not_cached_value FROM "+quote(sequence))
	}
	return value, err
}

// one returns the only value of an answer.
func (r *reader) one(ctx context.Context, query string) (value string, err error) {
	err = r.each(ctx, query, func(row *sql.Rows) error { return row.Scan(&value) })
	return value, err
}
