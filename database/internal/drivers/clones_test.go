package drivers

import (
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// Only what Next, NextScratch and TemplateName return counts as the name of a copy, a scratch
// database or a template.
func TestNamesOfCopies(t *testing.T) {
	o := NewOwner()
	name := o.Next()
	if key, ok := OwnerOf(name); !ok || key != o.Key {
		t.Errorf("OwnerOf(%q) = %d, %v, want %d", name, key, ok, o.Key)
	}
	if again := o.Next(); again == name {
		t.Errorf("two copies have the name %q", name)
	}
	scratch := o.NextScratch()
	if key, ok := OwnerOf(scratch); !ok || key != o.Key {
		t.Errorf("OwnerOf(%q) = %d, %v, want %d", scratch, key, ok, o.Key)
	}
	template := TemplateName("key", "a", "b")
	if !IsTemplate(template) {
		t.Errorf("IsTemplate(%q) = false", template)
	}
	if same := TemplateName("key", "a", "b"); same != template {
		t.Errorf("a template has the names %q and %q", template, same)
	}
	if other := TemplateName("key", "ab"); other == template {
		t.Errorf("two templates have the name %q", other)
	}
	spares := SpareNames(template)
	for _, spare := range spares {
		if of, ok := SpareOf(spare); !ok || of != template {
			t.Errorf("SpareOf(%q) = %q, %v, want %q", spare, of, ok, template)
		}
		if _, ok := OwnerOf(spare); ok || IsTemplate(spare) {
			t.Errorf("%q counts as a copy or a template", spare)
		}
	}
	if len(spares) != Spares || spares[0] == spares[1] {
		t.Errorf("SpareNames = %q, want %d names", spares, Spares)
	}
	for _, n := range append(spares, name, scratch, template) {
		if len(n) > 63 {
			t.Errorf("%q has %d bytes, more than PostgreSQL keeps", n, len(n))
		}
		for _, similar := range []string{n + "0", n[:len(n)-1], "x" + n, n[:len(n)-1] + "g"} {
			_, isOwned := OwnerOf(similar)
			_, isSpare := SpareOf(similar)
			if isOwned || isSpare || IsTemplate(similar) {
				t.Errorf("%q counts as a copy, a scratch database, a template or a spare", similar)
			}
		}
	}
}

func TestUnused(t *testing.T) {
	now := time.Date(2026, 11, 28, 0, 30, 0, 0, time.UTC)
	for _, tc := range []struct {
		note   string
		unused time.Duration
		want   bool
	}{
		{Used(now), 0, false},
		{Used(now.AddDate(0, 0, -6)), 0, false},
		{Used(now.AddDate(0, 0, -7)), 0, true},
		{Used(now.AddDate(0, 0, -1)), time.Nanosecond, false}, // its use today may not be noted yet
		{Used(now.AddDate(0, 0, -2)), time.Nanosecond, true},
		{"", 0, false},
		{"somebody's own note", 0, false},
		{usedPrefix + "long ago", 0, false},
	} {
		if got := Unused(tc.note, database.Template{Unused: tc.unused}, now); got != tc.want {
			t.Errorf("Unused(%q, %s) = %v, want %v", tc.note, tc.unused, got, tc.want)
		}
	}
}

func TestResting(t *testing.T) {
	now := time.Date(2026, 11, 28, 0, 30, 0, 0, time.UTC)
	for note, want := range map[string]bool{
		Used(now): false, Used(now.AddDate(0, 0, -1)): false, Used(now.AddDate(0, 0, -2)): true, "": false,
	} {
		if got := Resting(note, now); got != want {
			t.Errorf("Resting(%q) = %v, want %v", note, got, want)
		}
	}
}
