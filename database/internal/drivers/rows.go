package drivers

import (
	"context"
	"database/sql"
	"errors"
)

// Queryer is a pool, or one of its connections.
type Queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Each executes a query and calls f for each row, with a function that reads its columns.
func Each(ctx context.Context, q Queryer, query string, args []any, f func(scan func(...any) error) error) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	scan := rows.Scan // one allocation for all rows
	for rows.Next() {
		if err := f(scan); err != nil {
			return err
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

// ReadRows executes a query and returns its columns and rows; rows is nil only if there are no
// columns. convert converts each value, given the name of its column's type.
func ReadRows[T, V any](ctx context.Context, q Queryer, query string, args []any, convert func(kind string, v T) V) (columns []string, rows [][]V, err error) {
	result, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, nil, err
	}
	defer result.Close()
	types, err := result.ColumnTypes()
	if err != nil {
		return nil, nil, err
	}
	values, to := make([]T, len(types)), make([]any, len(types))
	for i, t := range types {
		columns, to[i] = append(columns, t.Name()), &values[i]
	}
	if len(types) > 0 {
		rows = [][]V{}
	}
	for result.Next() {
		if err := result.Scan(to...); err != nil {
			return nil, nil, err
		}
		row := make([]V, len(types))
		for i, v := range values {
			row[i] = convert(types[i].DatabaseTypeName(), v)
		}
		rows = append(rows, row)
	}
	return columns, rows, errors.Join(result.Err(), result.Close())
}
