package mysql

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
)

// keyColumn is a column of a key. Its type says how its values are read and written.
type keyColumn struct {
	name  string // as stored
	kind  keyKind
	zoned bool // a TIMESTAMP, whose text depends on the session's time zone
}

type keyKind uint8

const (
	keyText   keyKind = iota // characters, and what SQL writes as such: dates, UUIDs
	keyNumber                // digits
	keyFloat                 // read as a double, which is exact
	keyBytes                 // in hexadecimal
	keyBits                  // read as a number
)

// kindOf returns how a type of information_schema.columns is read and written. ok is false for a
// type whose order is another one when it is compared with a constant.
func kindOf(dataType string) (kind keyKind, ok bool) {
	switch strings.ToLower(dataType) {
	case "tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "year":
		return keyNumber, true
	case "float", "double":
		return keyFloat, true
	case "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob":
		return keyBytes, true
	case "bit":
		return keyBits, true
	case "char", "varchar", "tinytext", "text", "mediumtext", "longtext", "date", "time", "datetime", "timestamp", "uuid", "inet4", "inet6":
		return keyText, true
	}
	return 0, false // enum, set, geometry, json
}

// read is an expression for the text of a value.
func (c keyColumn) read() string {
	name := quote(c.name)
	switch c.kind {
	case keyFloat:
		return "CAST(" + name + " + 0e0 AS char)"
	case keyBytes:
		return "HEX(" + name + ")"
	case keyBits:
		return "CAST(" + name + " + 0 AS char)"
	}
	return "CAST(" + name + " AS char CHARACTER SET utf8mb4)"
}

// text returns what read has selected as a part of a Key.
func (c keyColumn) text(read string) string {
	if c.kind == keyBytes {
		return "x'" + strings.ToLower(read) + "'"
	}
	return read
}

// constant returns a part of a Key as SQL writes it. A text of another form is an error: it can't
// be data.
func (c keyColumn) constant(text string) (string, error) {
	switch c.kind {
	case keyNumber, keyBits:
		if !plainNumber.MatchString(text) {
			return "", fmt.Errorf("%q is not the value of column %s", text, c.name)
		}
		return signed(text), nil
	case keyFloat:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return "", fmt.Errorf("%q is not the value of column %s", text, c.name)
		}
		return signed(strconv.FormatFloat(f, 'e', -1, 64)), nil
	case keyBytes:
		b, err := bytesOf(text)
		return "x'" + hex.EncodeToString(b) + "'", err
	}
	return literal(text), nil
}

// signed encloses a negative number: a minus before it would begin a comment.
func signed(number string) string {
	if strings.HasPrefix(number, "-") {
		return "(" + number + ")"
	}
	return number
}

func bytesOf(text string) ([]byte, error) {
	digits, ok := strings.CutPrefix(text, "x'")
	digits, end := strings.CutSuffix(digits, "'")
	b, err := hex.DecodeString(digits)
	if !ok || !end || err != nil {
		return nil, fmt.Errorf("%q is not the bytes of a key", text)
	}
	return b, nil
}

// value returns a part of a Key as a value of Go.
func (c keyColumn) value(text string) (any, error) {
	switch c.kind {
	case keyNumber, keyBits:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n, nil
		}
		if n, err := strconv.ParseUint(text, 10, 64); err == nil {
			return n, nil
		}
	case keyFloat:
		return strconv.ParseFloat(text, 64)
	case keyBytes:
		return bytesOf(text)
	}
	return text, nil
}

// keyOf is the key of a table, with the index that sorts it.
type keyOf struct {
	table   string // as SQL writes it
	index   string // "" if the server chooses
	columns []keyColumn
}

func (k keyOf) names() []string {
	names := make([]string, len(k.columns))
	for i, c := range k.columns {
		names[i] = c.name
	}
	return names
}

// list returns the columns, each with something after it.
func (k keyOf) list(after string) string {
	all := make([]string, len(k.columns))
	for i, c := range k.columns {
		all[i] = quote(c.name) + after
	}
	return strings.Join(all, ", ")
}

func (k keyOf) from() string {
	if k.index == "" {
		return " FROM " + k.table
	}
	return " FROM " + k.table + " FORCE INDEX (" + quote(k.index) + ")"
}

func (k keyOf) values() string {
	all := make([]string, len(k.columns))
	for i, c := range k.columns {
		all[i] = c.read()
	}
	return strings.Join(all, ", ")
}

// constants returns a key as SQL writes it.
func (k keyOf) constants(key database.Key) ([]string, error) {
	if len(key) != len(k.columns) {
		return nil, fmt.Errorf("the key %q does not have %d columns", key, len(k.columns))
	}
	all := make([]string, len(key))
	for i, c := range k.columns {
		var err error
		if all[i], err = c.constant(key[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// compared is a condition for the keys on one side of another. The server does not use an index to
// compare rows: (a, b) > (1, 2) becomes a > 1 OR a = 1 AND b > 2.
func (k keyOf) compared(key database.Key, strict, last string) (string, error) {
	values, err := k.constants(key)
	if err != nil {
		return "", err
	}
	var all []string
	for i := range values {
		var equal []string
		for j := range i {
			equal = append(equal, quote(k.columns[j].name)+" = "+values[j])
		}
		op := strict
		if i == len(values)-1 {
			op = last
		}
		all = append(all, strings.Join(append(equal, quote(k.columns[i].name)+" "+op+" "+values[i]), " AND "))
	}
	return "(" + strings.Join(all, " OR ") + ")", nil
}

// between is a condition for the keys after one, if there is one, up to another.
func (k keyOf) between(after, last database.Key) (string, error) {
	where, err := k.compared(last, "<", "<=")
	if err == nil && after != nil {
		var more string
		more, err = k.compared(after, ">", ">")
		where = more + " AND " + where
	}
	return " WHERE " + where, err
}

// read returns the keys that a query selects, with the number in front of each.
func (k keyOf) read(ctx context.Context, c *conn, query string) (keys map[int]database.Key, err error) {
	keys = map[int]database.Key{}
	err = c.each(ctx, query, nil, func(scan func(...any) error) error {
		var n int
		texts, to := make([]sql.RawBytes, len(k.columns)), []any{&n}
		for i := range texts {
			to = append(to, &texts[i])
		}
		if err := scan(to...); err != nil {
			return err
		}
		key := make(database.Key, len(texts))
		for i, text := range texts {
			key[i] = k.columns[i].text(string(text))
		}
		keys[n] = key
		return nil
	})
	return keys, err
}

// last returns the last key of the table; nil if it has no row.
func (k keyOf) last(ctx context.Context, c *conn) (database.Key, error) {
	keys, err := k.read(ctx, c, "SELECT 1, "+k.values()+k.from()+" ORDER BY "+k.list(" DESC")+" LIMIT 1")
	return keys[1], ownError("looking for the last row", err)
}

// nth returns the n-th key in a range, from 0; nil if it has fewer.
func (k keyOf) nth(ctx context.Context, c *conn, after, last database.Key, n int) (database.Key, error) {
	where, err := k.between(after, last)
	if err != nil {
		return nil, err
	}
	keys, err := k.read(ctx, c, "SELECT 1, "+k.values()+k.from()+where+" ORDER BY "+k.list("")+" LIMIT 1 OFFSET "+strconv.Itoa(n))
	return keys[1], err
}

// rowRange is the rows of a batch. The last key is that of the lane if no more rows are left.
type rowRange struct {
	first, last database.Key // nil: no row is left
	rows        int64
	done        bool
}

// next looks for the next rows after a key.
func (k keyOf) next(ctx context.Context, c *conn, after, last database.Key, rows int) (r rowRange, err error) {
	where, err := k.between(after, last)
	if err != nil {
		return r, err
	}
	one := func(n string, offset int) string {
		return "(SELECT " + n + " AS n, " + k.values() + k.from() + where + " ORDER BY " + k.list("") + " LIMIT 1 OFFSET " + strconv.Itoa(offset) + ")"
	}
	keys, err := k.read(ctx, c, one("1", 0)+" UNION ALL "+one("2", rows-1)+" LIMIT 2")
	if err != nil {
		return r, err
	}
	r.first, r.last, r.rows = keys[1], keys[2], int64(rows)
	switch {
	case r.first == nil:
		return rowRange{done: true}, nil
	case r.last == nil:
		r.last, r.done = last, true
		err = c.row(ctx, "SELECT count(*)"+k.from()+where, nil, &r.rows)
	default:
		r.done = slices.Equal(r.last, last)
	}
	return r, err
}
