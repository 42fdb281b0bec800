package times_test

import (
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/internal/times"
)

// A time is printed in UTC, whatever its zone, and what is printed can be typed.
func TestFormatAndParse(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 30, 9, 5, 6, 0, time.FixedZone("CET", 3600))
	text := times.Format(at)
	if want := "2026-11-30 08:05:06 UTC"; text != want {
		t.Errorf("Format = %q, want %q", text, want)
	}
	if back, ok := times.Parse(text); !ok || !back.Equal(at) {
		t.Errorf("Parse(%q) = %v, %v; want %v", text, back, ok, at)
	}
	if got := times.Format(time.Time{}); got != "" {
		t.Errorf("Format of the zero time = %q, want nothing", got)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2026-11-30":                "2026-11-30 00:00:00 UTC",
		"2026-11-30 08:05":          "2026-11-30 08:05:00 UTC",
		"2026-11-30 08:05 UTC":      "2026-11-30 08:05:00 UTC",
		"2026-11-30T08:05:06":       "2026-11-30 08:05:06 UTC",
		"2026-11-30T08:05:06Z":      "2026-11-30 08:05:06 UTC",
		"2026-11-30T09:05:06+01:00": "2026-11-30 08:05:06 UTC",
	} {
		got, ok := times.Parse(text)
		if !ok || times.Format(got) != want {
			t.Errorf("Parse(%q) = %s, %v; want %s", text, times.Format(got), ok, want)
		}
	}
	for _, text := range []string{"", "tomorrow", "08:05", "2026-11-30 08:05 CET"} {
		if got, ok := times.Parse(text); ok {
			t.Errorf("Parse(%q) = %v, want none", text, got)
		}
	}
}
