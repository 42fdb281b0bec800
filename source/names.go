package source

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
)

// numbered is a name that begins with a version.
type numbered struct {
	digits  string // as written, with leading zeros, without dashes
	version int64
	name    string
}

// dated matches versions that are written as a date: only the digits count.
var dated = lazyregexp.New(`^[0-9]{4}-[0-9]{2}-[0-9]{2}(-[0-9]+)*`)

// cutVersion cuts the version off the beginning of a name: digits, or a date with dashes. The error
// is a message without the name.
func cutVersion(name string) (n numbered, rest string, err error) {
	end := 0
	if isDashed(name) {
		end = len(dated.FindString(name))
	}
	if end == 0 {
		end = leadingDigits(name)
	}
	n.digits, rest = strings.ReplaceAll(name[:end], "-", ""), name[end:]
	if n.version, err = strconv.ParseInt(n.digits, 10, 64); err != nil {
		return n, rest, fmt.Errorf("the version %s is too large; the largest is %d", n.digits, int64(1<<63-1))
	}
	return n, rest, nil
}

// leadingDigits returns how many digits a name begins with.
func leadingDigits(name string) int {
	n := 0
	for n < len(name) && isDigit(name[n]) {
		n++
	}
	return n
}

func startsWithDigit(name string) bool { return name != "" && isDigit(name[0]) }

// hasSQLSuffix reports whether a name ends in .sql, in any case.
func hasSQLSuffix(name string) bool {
	const suffix = ".sql"
	return len(name) >= len(suffix) && strings.EqualFold(name[len(name)-len(suffix):], suffix)
}

// isDashed reports whether a version is written as a date with dashes.
func isDashed(name string) bool {
	return len(name) > 4 && name[4] == '-' && dated.MatchString(name)
}

// date returns the version's digits if it looks like a date: a day, or a day and a time.
func (n numbered) date() (digits string, ok bool) {
	return n.digits, len(n.digits)%2 == 0 && len(n.digits) <= len(secondsLayout) && n.beginsWithDay()
}
