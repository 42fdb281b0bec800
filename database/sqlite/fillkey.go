package sqlite

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
)

// keyText returns a value of a key as a constant of SQL, which keeps its type: 7, 7.0, 'seven',
// x'07'. Text that is not UTF-8 is t'…', with the bytes in hexadecimal.
func keyText(v any) (string, error) {
	switch v := v.(type) {
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		if math.IsInf(v, 0) {
			return strings.TrimPrefix(fmt.Sprint(v)[:1]+"9e999", "+"), nil
		}
		text := strconv.FormatFloat(v, 'g', -1, 64)
		if !strings.ContainsAny(text, ".e") {
			text += ".0"
		}
		return text, nil
	case string:
		if !utf8.ValidString(v) {
			return "t'" + hex.EncodeToString([]byte(v)) + "'", nil
		}
		return literal(v), nil
	case []byte:
		return "x'" + hex.EncodeToString(v) + "'", nil
	}
	return "", fmt.Errorf("a key can't be %v (%T)", v, v)
}

// keyValue returns the value that keyText has written.
func keyValue(text string) (any, error) {
	quoted := len(text) >= 2 && strings.HasSuffix(text, "'")
	switch {
	case quoted && text[0] == '\'':
		return strings.ReplaceAll(text[1:len(text)-1], "''", "'"), nil
	case quoted && (text[0] == 'x' || text[0] == 't') && len(text) > 2 && text[1] == '\'':
		b, err := hex.DecodeString(text[2 : len(text)-1])
		if err != nil {
			break
		}
		if text[0] == 't' {
			return string(b), nil
		}
		return b, nil
	case strings.HasSuffix(text, "9e999"):
		return math.Inf(1 - 2*strings.Count(text, "-")), nil
	case strings.ContainsAny(text, ".e"):
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return f, nil
		}
	default:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n, nil
		}
	}
	return nil, fmt.Errorf("%q is not the value of a key", text)
}

func keyValues(k database.Key) (values []any, err error) {
	for _, text := range k {
		v, err := keyValue(text)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}

// keyQuery builds queries for the keys of a table, which can have no name in common with Whimbrel.
type keyQuery struct {
	table   string // as SQL writes it
	columns []string
}

// newKeyQuery returns one for a table and columns as they are stored.
func newKeyQuery(table string, columns []string) keyQuery {
	q := keyQuery{table: "main." + table}
	for _, c := range columns {
		q.columns = append(q.columns, quote(c))
	}
	return q
}

// list returns the columns with something before and after each.
func (q keyQuery) list(before, after string) string {
	return before + strings.Join(q.columns, after+", "+before) + after
}

// row is the key as SQL compares it.
func (q keyQuery) row() string {
	if len(q.columns) == 1 {
		return q.columns[0]
	}
	return "(" + q.list("", "") + ")"
}

// params are the placeholders of a key, from a number on.
func (q keyQuery) params(from int) string {
	var all []string
	for i := range q.columns {
		all = append(all, "?"+strconv.Itoa(from+i))
	}
	if len(all) == 1 {
		return all[0]
	}
	return "(" + strings.Join(all, ", ") + ")"
}

// values selects the key as it is stored: the client converts the values of some columns, but not
// those of expressions.
func (q keyQuery) values() string { return "SELECT " + q.list("+", "") + " FROM " + q.table }

// between is a condition for the keys after one, if there is one, up to another, with its values.
func (q keyQuery) between(after, last database.Key) (where string, args []any, err error) {
	if after != nil {
		where = q.row() + " > " + q.params(1) + " AND "
		if args, err = keyValues(after); err != nil {
			return "", nil, err
		}
	}
	more, err := keyValues(last)
	return " WHERE " + where + q.row() + " <= " + q.params(1+len(args)), append(args, more...), err
}

// key returns the first key that a query selects, nil if there is none.
func (q keyQuery) key(ctx context.Context, c *conn, query string, args ...any) (k database.Key, err error) {
	values, to := make([]any, len(q.columns)), make([]any, len(q.columns))
	for i := range values {
		to[i] = &values[i]
	}
	err = drivers.Each(ctx, c, query, args, func(scan func(...any) error) error {
		if err := scan(to...); err != nil {
			return err
		}
		k = make(database.Key, 0, len(values))
		for _, v := range values {
			text, err := keyText(v)
			if err != nil {
				return err
			}
			k = append(k, text)
		}
		return nil
	})
	return k, err
}

// nth returns the n-th key in a range, from 0.
func (q keyQuery) nth(ctx context.Context, c *conn, after, last database.Key, n int) (database.Key, error) {
	where, args, err := q.between(after, last)
	if err != nil {
		return nil, err
	}
	return q.key(ctx, c, q.values()+where+" ORDER BY "+q.list("", "")+" LIMIT 1 OFFSET "+strconv.Itoa(n), args...)
}

// count returns the number of keys in a range.
func (q keyQuery) count(ctx context.Context, c *conn, after, last database.Key) (n int64, err error) {
	where, args, err := q.between(after, last)
	if err != nil {
		return 0, err
	}
	err = c.QueryRowContext(ctx, "SELECT count(*) FROM "+q.table+where, args...).Scan(&n)
	return n, err
}

// lastKey returns the last key of a table; nil if it has no row.
func (d *db) lastKey(ctx context.Context, c *conn, columns []string, table string) (database.Key, error) {
	q := newKeyQuery(table, columns)
	k, err := q.key(ctx, c, q.values()+" WHERE "+q.columns[0]+" IS NOT NULL ORDER BY "+q.list("", " DESC")+" LIMIT 1")
	return k, d.ownError("looking for the last row", err)
}

func equalKeys(a, b database.Key) bool { return slices.Equal(a, b) }
