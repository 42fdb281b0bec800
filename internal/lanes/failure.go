package lanes

import (
	"fmt"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// A lane that has failed is tried again after firstDelay, and twice as long after each further
// failure, up to longestDelay.
const (
	firstDelay   = time.Second
	longestDelay = time.Minute
)

// Delay returns how long a lane waits that has failed so often in a row.
func Delay(failures int) time.Duration {
	d := firstDelay
	for ; failures > 1 && d < longestDelay; failures-- {
		d *= 2
	}
	return min(d, longestDelay)
}

// Rows names the rows from one key to another.
func Rows(first, last database.Key) string {
	f, l := keyText(first), keyText(last)
	switch {
	case first == nil:
		return "rows"
	case last == nil || f == l:
		return "row " + f
	}
	return "rows " + f + ".." + l
}

func keyText(k database.Key) string {
	if len(k) == 1 {
		return k[0]
	}
	return "(" + strings.Join(k, ", ") + ")"
}

// shownFailures is how many lanes a failed backfill names.
const shownFailures = 3

// Failed returns why a backfill has failed, if it has: all lanes that are left have failed for
// good.
func Failed(b database.Backfill) (why string, failed bool) {
	var all []string
	for _, l := range b.Lanes {
		if !l.Failed {
			return "", false
		}
		all = append(all, l.Error)
	}
	if len(all) == 0 || !b.AllCut() {
		return "", false
	}
	more := len(all) - shownFailures
	if more > 0 {
		all = append(all[:shownFailures], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(all, "; "), true
}
