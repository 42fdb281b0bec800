// Package times gives every text one form of times, and reads what people type.
package times

import "time"

// form is the form of a time in a text. Parse reads it, so that a printed time can be copied into a
// command.
const form = "2006-01-02 15:04:05 UTC"

// Format returns a time for a text: "2026-11-30 08:00:00 UTC". The zero time is "".
func Format(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(form)
}

// forms are what Parse accepts. A time without a zone is UTC.
var forms = []string{
	form, time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04 UTC", "2006-01-02 15:04", time.DateOnly,
}

// Parse returns the time that a person typed: a date, or a date with a time. It reports whether the
// text is one.
func Parse(text string) (time.Time, bool) {
	for _, f := range forms {
		if t, err := time.Parse(f, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
