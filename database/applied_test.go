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
	if a, _ := m.Get(3); a.Name != "put" {
		t.Errorf("m.Get(3): a.Name = %q, want %q", a.Name, "put")
	} else if m.Len() != 5 {
		t.Errorf("m.Get(3): m.Len() = %v, want 5", m.Len())
	}
	if m.Remove(5) {
		t.Error("m.Remove(5) = true, want false")
	}
	if !m.Remove(3) {
		t.Error("m.Remove(3) = false, want true")
	}
	if m.Remove(3) {
		t.Error("m.Remove(3) = true, want false")
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
		if got, ok := m.Next(tt.of); got != tt.next {
			t.Errorf("m.Next(tt.of): got %v, want %v", got, tt.next)
		} else if ok != (tt.next != none) {
			t.Errorf("m.Next(tt.of): ok = %v, want %v", ok, (tt.next != none))
		}
		if got, ok := m.Prev(tt.of); got != tt.prev {
			t.Errorf("m.Prev(tt.of): got %v, want %v", got, tt.prev)
		} else if ok != (tt.prev != none) {
			t.Errorf("m.Prev(tt.of): ok = %v, want %v", ok, (tt.prev != none))
		}
	}
	if v, ok := m.First(); v != 0 {
		t.Errorf("m.First(): v = %v, want 0", v)
	} else if !ok {
		t.Errorf("m.First(): ok = false, want true")
	}
	if v, ok := m.Last(); v != math.MaxInt64 {
		t.Errorf("m.Last(): v = %v, want %v", v, math.MaxInt64)
	} else if !ok {
		t.Errorf("m.Last(): ok = false, want true")
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
			if v, ok := none(); v != database.NilVersion {
				t.Errorf("%s of %s: v = %v, want %v", call, name, v, database.NilVersion)
			} else if ok {
				t.Errorf("%s: ok = true, want false", name)
			}
		}
		if _, ok := m.Get(1); ok {
			t.Errorf("%s: ok = true, want false", name)
		} else if m.Len() != 0 {
			t.Errorf("%s: m.Len() = %v, want 0", name, m.Len())
		} else if len(m.Versions()) != 0 {
			t.Errorf("%s: len(m.Versions()) = %v, want 0", name, len(m.Versions()))
		} else if len(slices.Collect(m.All())) != 0 {
			t.Errorf("%s: len(slices.Collect(m.All())) = %v, want 0", name, len(slices.Collect(m.All())))
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
					if a.Version != want[i] {
						t.Fatalf("a.Version = %v, want %v", a.Version, want[i])
					}
					if a.Name != model[a.Version] {
						t.Fatalf("a.Name = %v, want %v", a.Name, model[a.Version])
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
