package adopt

import (
	"context"
	"fmt"
	"time"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// timeOf returns a time as SQL, for a column that has the time zone UTC or none.
func (q *querier) timeOf(t time.Time) string {
	if t.IsZero() {
		t = time.Now()
	}
	layout := "2006-01-02 15:04:05.000000"
	if q.dialect == sqltext.PostgreSQL {
		layout += "+00"
	}
	return q.text(t.UTC().Format(layout))
}

// max returns the greatest number of a column; 0 for an empty table.
func (q *querier) max(ctx context.Context, t *table, column string) (int64, error) {
	function := "MAX"
	if q.dialect == sqltext.PostgreSQL {
		function = "pg_catalog.max"
	}
	v, err := q.one(ctx, "SELECT "+function+"("+q.ident(column)+") FROM "+q.full(t))
	n, _ := asInt(v)
	return n, err
}

// rowWriter writes a table that has one row for each applied migration.
type rowWriter struct {
	key     string // the column that identifies a migration
	columns []string
	// row returns the values of a row as SQL, the key first.
	row func(q *querier, m match) ([]string, error)
	// old returns the key of a row that the table has, as SQL; nil means the row's id as a text.
	old func(q *querier, m match) string
}

func (w rowWriter) write(ctx context.Context, q *querier, t *table, c changes) error {
	for _, m := range c.removed {
		key := q.text(m.id)
		if w.old != nil {
			key = w.old(q, m)
		}
		if err := q.exec(ctx, fmt.Sprintf("DELETE FROM %s WHERE %s %s %s", q.full(t), q.ident(w.key), q.equal(), key)); err != nil {
			return err
		}
	}
	for _, m := range c.added {
		values, err := w.row(q, m)
		if err == nil {
			err = q.insert(ctx, t, append([]string{w.key}, w.columns...), values)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// number returns the version of a match as SQL.
func number(_ *querier, m match) string { return fmt.Sprint(m.Version) }

// failedRow is a mark that inserts a row which the tool takes for a migration that has failed or is
// unknown.
func failedRow(key, value, columns, values string) func(q *querier, t *table) *mark {
	return func(q *querier, t *table) *mark {
		return &mark{
			put:  []string{fmt.Sprintf("INSERT INTO %s (%s%s) VALUES (%s%s)", q.full(t), q.ident(key), columns, value, values)},
			take: []string{fmt.Sprintf("DELETE FROM %s WHERE %s %s %s", q.full(t), q.ident(key), q.equal(), value)},
		}
	}
}
