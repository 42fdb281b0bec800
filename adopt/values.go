package adopt

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// asText returns a value as text; "" for NULL.
func asText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	return fmt.Sprint(v)
}

// asInt returns a value that is an integer, whatever type its column has.
func asInt(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v), true
		}
	case json.Number:
		n, err := strconv.ParseInt(v.String(), 10, 64)
		return n, err == nil
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		return n, err == nil && v[0] != '+'
	}
	return 0, false
}

// asVersion returns a value that can be a version: an integer from 0 on.
func asVersion(v any) (int64, bool) {
	n, ok := asInt(v)
	return n, ok && n >= 0
}

// asBool returns a value that is a truth value.
func asBool(v any) (value, ok bool) {
	switch v := v.(type) {
	case bool:
		return v, true
	case string:
		switch strings.ToLower(v) {
		case "t", "true", `\x01`, "1":
			return true, true
		case "f", "false", `\x00`, "0":
			return false, true
		}
		return false, false
	}
	n, ok := asInt(v)
	return n == 1, ok && (n == 0 || n == 1)
}

// shown quotes a value of a row for a message.
func shown(v any) string {
	if v == nil {
		return "NULL"
	}
	if s, ok := v.(string); ok {
		return strconv.QuoteToGraphic(s)
	}
	return fmt.Sprint(v)
}

// epoch returns an expression for a time column in microseconds since 1970. utc says that a column
// without a time zone has UTC; otherwise it has the time zone of the session.
func (q *querier) epoch(column string, utc bool) string {
	column = q.ident(column)
	switch q.dialect {
	case sqltext.PostgreSQL:
		if utc {
			return "EXTRACT(epoch FROM " + column + ")"
		}
		return "EXTRACT(epoch FROM " + column + "::pg_catalog.timestamptz)"
	case sqltext.MySQL:
		if utc {
			return "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', " + column + ") / 1000000"
		}
		return "UNIX_TIMESTAMP(" + column + ")"
	}
	return "CAST(" + column + " AS TEXT)"
}

// timeLayouts are the forms in which SQLite's clients store times.
var timeLayouts = []string{
	"2006-01-02 15:04:05.999999999-07:00", "2006-01-02 15:04:05.999999999 -0700 MST", "2006-01-02T15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999",
}

// asTime returns the time of an epoch expression; zero if there is none that can be understood.
func asTime(v any) time.Time {
	s := asText(v)
	if f, err := strconv.ParseFloat(s, 64); err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
		if math.Abs(f) > 1e11 { // SQLite: milliseconds
			f /= 1000
		}
		if f <= 0 || f > 1e11 {
			return time.Time{}
		}
		return time.UnixMicro(int64(math.Round(f * 1e6))).UTC()
	}
	if i := strings.Index(s, " m=+"); i > 0 { // Go's monotonic clock
		s = s[:i]
	}
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}
