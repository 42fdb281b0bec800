// Package durations parses durations with days and weeks.
package durations

import (
	"strconv"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
)

// long matches the units that package time lacks.
var long = lazyregexp.New(`^(?:([0-9]+)w)?(?:([0-9]+)d)?`)

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// Parse is time.ParseDuration with weeks and days of 24 hours, which come first and are whole
// numbers: 1w, 1d12h.
func Parse(s string) (time.Duration, error) {
	unsigned := strings.TrimLeft(s, "+-")
	m := long.FindStringSubmatch(unsigned)
	if m[0] == "" || len(s)-len(unsigned) > 1 {
		return time.ParseDuration(s)
	}
	hours := int64(0)
	for i, unit := range []time.Duration{week, day} {
		if m[i+1] == "" {
			continue
		}
		n, err := strconv.ParseInt(m[i+1], 10, 32)
		if err != nil {
			return time.ParseDuration(s) // for its error
		}
		hours += n * int64(unit/time.Hour)
	}
	// Package time detects a sum that is too large.
	return time.ParseDuration(s[:len(s)-len(unsigned)] + strconv.FormatInt(hours, 10) + "h" + unsigned[len(m[0]):])
}
