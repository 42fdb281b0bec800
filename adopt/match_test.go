package adopt

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/whimbrel-db/whimbrel/migration"
)

// setOf returns a set with the given versions.
func setOf(t *testing.T, versions ...int64) *migration.Set {
	t.Helper()
	var c migration.Contents
	for _, v := range versions {
		file := fmt.Sprintf("%d_step.sql", v)
		c.Migrations = append(c.Migrations, migration.Migration{Version: v, Name: "step", Up: migration.Text(file, "SELECT 1")})
	}
	set, err := c.Set("")
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func versionsOf(matches []match) []int64 {
	all := make([]int64, 0, len(matches))
	for _, m := range matches {
		all = append(all, m.Version)
	}
	return all
}

// TestMatchingProperty compares the matching with the rules, for random folders and tables.
func TestMatchingProperty(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		var files, rows []int64
		for v := int64(1); v <= 12; v++ {
			if r.IntN(3) > 0 {
				files = append(files, v)
			}
			if r.IntN(3) > 0 {
				rows = append(rows, v)
			}
		}
		h := &history{}
		one := r.IntN(4) == 0
		if one {
			v := r.Int64N(12) + 1
			h.upTo = &v
			rows = slices.DeleteFunc(slices.Clone(files), func(f int64) bool { return f > v })
			if !slices.Contains(files, v) {
				rows = append(rows, v)
			}
		} else {
			for _, v := range rows {
				h.records = append(h.records, record{id: fmt.Sprint(v), version: v})
			}
			r.Shuffle(len(h.records), func(i, j int) { h.records[i], h.records[j] = h.records[j], h.records[i] })
		}
		matched, refused := matchAll(h, setOf(t, files...))

		wrong := map[Refused]bool{}
		newest := int64(-1)
		for _, v := range rows {
			if slices.Contains(files, v) {
				newest = max(newest, v)
			} else {
				wrong[Refused{Why: NoFile, Version: v}] = true
			}
		}
		for _, v := range files {
			if v < newest && !slices.Contains(rows, v) {
				wrong[Refused{Why: NeverRan, Version: v}] = true
			}
		}
		got := map[Refused]bool{}
		for _, x := range refused {
			if x.Reason == "" {
				t.Fatalf("seed %d: %+v has no reason", seed, x)
			}
			got[Refused{Why: x.Why, Version: x.Version}] = true
		}
		if one && len(wrong) > 0 { // nothing else is said of a version that is not known
			for x := range wrong {
				if x.Why == NeverRan {
					delete(wrong, x)
				}
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(wrong) {
			t.Fatalf("seed %d: files %v, rows %v: refused %v, want %v", seed, files, rows, got, wrong)
		}
		if len(wrong) > 0 {
			if matched != nil {
				t.Fatalf("seed %d: matched %v although something is refused", seed, versionsOf(matched))
			}
			continue
		}
		slices.Sort(rows)
		if !slices.Equal(versionsOf(matched), rows) {
			t.Fatalf("seed %d: files %v, rows %v: matched %v", seed, files, rows, versionsOf(matched))
		}
	}
}
