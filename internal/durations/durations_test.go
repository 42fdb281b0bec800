package durations_test

import (
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/internal/durations"
)

func TestParse(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for s, want := range map[string]time.Duration{
		"1d": day, "1w": 7 * day, "2w1d": 15 * day, "1d12h": 36 * time.Hour, "1w1d1h1m1s1ms": 8*day + time.Hour + time.Minute + time.Second + time.Millisecond,
		"-1d": -day, "+1d": day, "0d": 0, "0": 0, "15s": 15 * time.Second, "1.5h": 90 * time.Minute,
	} {
		got, err := durations.Parse(s)
		if err != nil {
			t.Errorf("%s: %v", s, err)
		}
		if got != want {
			t.Errorf("%s: got %v, want %v", s, got, want)
		}
	}
	for _, s := range []string{"", "d", "1", "1.5d", "1d1w", "1h1d", "--1d", "1 d", "1D", "99999999999d", "999999999w", "200000w", "1dd"} {
		if got, err := durations.Parse(s); err == nil {
			t.Errorf("%q: got %v, want an error", s, got)
		}
	}
}
