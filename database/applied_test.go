package database_test

import (
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"pgregory.net/rapid"
)

func versions(vs ...int64) *database.AppliedSet {
	m := &database.AppliedSet{}
	for _, v := range vs {
		m.Append(database.AppliedMigration{Version: v})
	}
	return m
}

func TestMigrationsAreOrderedAndOnce(t *testing.T) {
	m := database.NewAppliedSet(
		database.AppliedMigration{Version: 3, Name: "three"}, database.AppliedMigration{Version: 1}, database.AppliedMigration{Version: 2},
		database.AppliedMigration{Version: 3, Name: "again"}, database.AppliedMigration{Version: 0},
	)
	if got := m.Versions(); !slices.Equal(got, []int64{0, 1, 2, 3}) {
		t.Errorf("versions %d", got)
	}
	if a, _ := m.Get(3); a.Name != "three" {
		t.Errorf("Append changed version 3 to %+v", a)
	}
	if m.Append(database.AppliedMigration{Version: 2}) {
		t.Error("Append said that it added a version that is there")
	}
	if !m.Append(database.AppliedMigration{Version: 7}) {
		t.Error("Append said that it did not add a version")
	}
	m.Put(database.AppliedMigration{Version: 3, Name: "put"})
	if a, _ := m.Get(3); a.Name != "put" || m.Len() != 5 {
		t.Errorf("after Put of version 3 there are %d, with %+v", m.Len(), a)
	}
	if m.Remove(5) || !m.Remove(3) || m.Remove(3) {
		t.Error("Remove doesn't say what was there")
	}
}

func TestMigrationsNavigation(t *testing.T) {
	const none = database.NilVersion
	m := versions(0, 10, 20, math.MaxInt64)
	for _, tt := range []struct{ of, next, prev int64 }{
		{none, 0, none},
		{0, 10, none},
		{5, 10, 0},
		{10, 20, 0},
		{20, math.MaxInt64, 10},
		{21, math.MaxInt64, 20},
		{math.MaxInt64, none, 20},
		{math.MinInt64, 0, none},
	} {
		if got, ok := m.Next(tt.of); got != tt.next || ok != (tt.next != none) {
			t.Errorf("Next(%d) = %d, %v, want %d", tt.of, got, ok, tt.next)
		}
		if got, ok := m.Prev(tt.of); got != tt.prev || ok != (tt.prev != none) {
			t.Errorf("Prev(%d) = %d, %v, want %d", tt.of, got, ok, tt.prev)
		}
	}
	if v, ok := m.First(); v != 0 || !ok {
		t.Errorf("First = %d, %v", v, ok)
	}
	if v, ok := m.Last(); v != math.MaxInt64 || !ok {
		t.Errorf("Last = %d, %v", v, ok)
	}
}

func TestNoMigrations(t *testing.T) {
	for name, m := range map[string]*database.AppliedSet{"zero": {}, "nil": nil, "emptied": func() *database.AppliedSet {
		m := versions(1)
		m.Remove(1)
		return m
	}()} {
		for call, none := range map[string]func() (int64, bool){
			"First": m.First, "Last": m.Last,
			"Next": func() (int64, bool) { return m.Next(1) },
			"Prev": func() (int64, bool) { return m.Prev(1) },
		} {
			if v, ok := none(); v != database.NilVersion || ok {
				t.Errorf("%s: %s = %d, %v, want NilVersion, false", name, call, v, ok)
			}
		}
		if _, ok := m.Get(1); ok || m.Len() != 0 || len(m.Versions()) != 0 || len(slices.Collect(m.All())) != 0 {
			t.Errorf("%s: it has something", name)
		}
	}
}

// The index is a map with its keys in order.
func TestMigrationsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, model := &database.AppliedSet{}, map[int64]string{}
		version := rapid.Int64Range(0, 20)
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				a := database.AppliedMigration{Version: version.Draw(t, "version"), Name: rapid.String().Draw(t, "name")}
				_, there := model[a.Version]
				if m.Append(a) == there {
					t.Fatalf("Append(%d) returned %v", a.Version, there)
				}
				if !there {
					model[a.Version] = a.Name
				}
			},
			"put": func(t *rapid.T) {
				a := database.AppliedMigration{Version: version.Draw(t, "version"), Name: rapid.String().Draw(t, "name")}
				m.Put(a)
				model[a.Version] = a.Name
			},
			"remove": func(t *rapid.T) {
				v := version.Draw(t, "version")
				if _, there := model[v]; m.Remove(v) != there {
					t.Fatalf("Remove(%d) returned %v", v, !there)
				}
				delete(model, v)
			},
			"": func(t *rapid.T) {
				want := slices.Sorted(maps.Keys(model))
				if got := m.Versions(); !slices.Equal(got, want) {
					t.Fatalf("versions %d, want %d", got, want)
				}
				i := 0
				for a := range m.All() {
					if a.Version != want[i] || a.Name != model[a.Version] {
						t.Fatalf("All has %+v, want version %d %q", a, want[i], model[want[i]])
					}
					i++
				}
			},
		})
	})
}

func TestAllStops(t *testing.T) {
	for range versions(1, 2, 3).All() {
		break
	}
}
