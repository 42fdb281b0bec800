package render

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/internal/times"
	"github.com/whimbrel-db/whimbrel/source"
)

// Label formats a version.
func (d Digits) Label(v int64) string {
	switch {
	case v < 0:
		return strconv.FormatInt(v, 10)
	case d == Dotted:
		return source.DottedText(v)
	}
	digits := strconv.FormatInt(v, 10)
	return strings.Repeat("0", max(0, int(d)-len(digits))) + digits
}

// Name names a migration by its version and name, or a script without a version by its name.
func (d Digits) Name(version int64, name string) string {
	if version < 0 {
		return clean(name)
	}
	return d.Label(version) + " " + clean(name)
}

// Arg returns the argument that names a migration on the command line, or a script without a
// version.
func (d Digits) Arg(version int64, name string) string {
	if version < 0 {
		return name
	}
	return d.Label(version)
}

// Step formats a step's version, as white space for a script without one.
func (d Digits) Step(v int64) string {
	if v < 0 {
		return strings.Repeat(" ", max(int(d), 1))
	}
	return d.Label(v)
}

// took formats a duration briefly.
func took(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < 10*time.Millisecond:
		return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64) + "ms"
	case d < time.Second:
		return strconv.FormatInt(d.Round(time.Millisecond).Milliseconds(), 10) + "ms"
	case d < time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + "s"
	}
	return d.Round(time.Second).String()
}

// when formats a time for a column whose head names the zone.
func when(t instant) string { return strings.TrimSuffix(t.String(), " UTC") }

// String formats the time for a text.
func (i instant) String() string { return times.Format(time.Time(i)) }

// each converts the elements of a list. The result is never nil, which JSON would encode as null.
func each[T, U any](list []T, convert func(T) U) []U {
	all := make([]U, len(list))
	for i, e := range list {
		all[i] = convert(e)
	}
	return all
}

// count returns "1 migration" or "3 migrations".
func count[N int | int64](n N, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Count is count, for package cli.
func Count(n int, what string) string { return count(n, what) }

// some returns a list with count's words, or an empty one for 0.
func some(n int, what string) []string {
	if n == 0 {
		return nil
	}
	return []string{count(n, what)}
}

// plural returns the word for one or for several.
func plural(n int, one, several string) string {
	if n == 1 {
		return one
	}
	return several
}

// Millis is a duration in JSON: milliseconds, rounded to microseconds.
type Millis time.Duration

// took formats the duration briefly, and nil as "".
func (m *Millis) took() string {
	if m == nil {
		return ""
	}
	return took(time.Duration(*m))
}

// MarshalJSON writes the number.
func (m Millis) MarshalJSON() ([]byte, error) {
	ms := math.Round(float64(m)/float64(time.Microsecond)) / 1000
	return strconv.AppendFloat(nil, ms, 'f', -1, 64), nil
}

// instant is a time in JSON: RFC 3339 in UTC, null for the zero time.
type instant time.Time

func (i instant) MarshalJSON() ([]byte, error) {
	if time.Time(i).IsZero() {
		return []byte("null"), nil
	}
	return []byte(`"` + time.Time(i).UTC().Format(time.RFC3339Nano) + `"`), nil
}

// labels joins versions.
func (d Digits) labels(versions []int64) string { return strings.Join(each(versions, d.Label), ", ") }

// labels joins versions.
func (pg *page) labels(versions []int64) string { return pg.digits.labels(versions) }
