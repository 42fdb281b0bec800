package mycatalog

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// CopyScript returns statements that copy the current database, with its rows, into an empty one on
// the same server, which must be selected. They are separated by semicolons. Their session is
// changed afterwards.
//
// Rows come before triggers and events, which must not see them. Of tables with system versioning,
// only the current rows are copied.
func CopyScript(ctx context.Context, q Queryer) (string, error) {
	s, err := Read(ctx, q, catalog.Options{}, nil)
	if err != nil {
		return "", err
	}
	r, end, err := begin(ctx, q, nil)
	if err != nil {
		return "", err
	}
	defer end()
	all := append(s.Preamble, "SET sql_mode = 'NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO', unique_checks = 0")
	var rows, rest []string
	for i := range s.Objects {
		switch o := &s.Objects[i]; o.Kind {
		case catalog.Table:
			create, insert, err := r.copyTable(ctx, o.Name)
			if err != nil {
				return "", err
			}
			all = append(all, create)
			rows = append(rows, insert...)
		case catalog.Column, catalog.Constraint, catalog.Index: // in CREATE TABLE
		case catalog.Sequence:
			next, err := r.one(ctx, "SELECT next_not_cached_value FROM "+quote(o.Name))
			if err != nil {
				return "", err
			}
			all = append(append(all, o.SQL...), fmt.Sprintf("DO SETVAL(%s, %s, 0)", quote(o.Name), next))
		default:
			rest = append(append(rest, o.SQL...), o.Late...)
		}
	}
	all = append(append(all, rows...), "SET sql_mode = "+literal(r.mode))
	return strings.Join(append(all, rest...), ";\n"), nil
}

// copyTable returns the statements that create a table, and insert its rows if it has any. The
// definition is the server's, with its foreign keys and the value of AUTO_INCREMENT.
func (r *reader) copyTable(ctx context.Context, name string) (create string, insert []string, err error) {
	err = r.eachText(ctx, "SHOW CREATE TABLE "+quote(name), func(v []string) { create = r.unqualified(withoutBytes(v[1])) })
	if err != nil {
		return "", nil, err
	}
	some, err := r.one(ctx, "SELECT EXISTS (SELECT 1 FROM "+quote(name)+")")
	if err != nil || some == "0" {
		return create, nil, err
	}
	var columns []string
	err = r.eachText(ctx, "SELECT column_name"+r.from("columns", "table_schema")+" AND table_name = "+literal(name)+
		" AND coalesce(generation_expression, '') = '' ORDER BY ordinal_position", func(v []string) {
		columns = append(columns, quote(v[0]))
	})
	list := strings.Join(columns, ", ")
	return create, []string{"INSERT INTO " + quote(name) + " (" + list + ") SELECT " + list + " FROM " + quote(r.database) + "." + quote(name)}, err
}

// one returns the only value of an answer.
func (r *reader) one(ctx context.Context, query string) (value string, err error) {
	err = r.each(ctx, query, func(row *sql.Rows) error { return row.Scan(&value) })
	return value, err
}
