package migration_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/migration"
)

func mig(version int64, name string) migration.Migration {
	return migration.Migration{Version: version, Name: name, Up: migration.Text(fmt.Sprintf("%d_%s.up.sql", version, name), "SELECT 1;")}
}

func TestSet(t *testing.T) {
	t.Parallel()
	given := []migration.Migration{mig(20260101000000, "c"), mig(0, "a"), mig(7, "b")}
	set, err := migration.NewSet("ledger", given...)
	if err != nil {
		t.Fatal(err)
	}
	if set.Name() != "ledger" {
		t.Errorf("set.Name() = %q, want %q", set.Name(), "ledger")
	}
	if set.Len() != 3 {
		t.Errorf("set.Len() = %v, want 3", set.Len())
	}
	if fmt.Sprint(set.Versions()) != "[0 7 20260101000000]" {
		t.Errorf("fmt.Sprint(set.Versions()) = %q, want %q", fmt.Sprint(set.Versions()), "[0 7 20260101000000]")
	}
	if given[0].Version != 20260101000000 {
		t.Error("NewSet changed its arguments")
	}
	all := set.All()
	all[0].Name = "changed"
	if m, ok := set.Get(0); !ok {
		t.Error("ok = false, want true")
	} else if m.Name != "a" {
		t.Errorf("m.Name = %q, want %q", m.Name, "a")
	}
	for _, v := range []int64{-1, 1, 8, 20260101000001} {
		if m, ok := set.Get(v); ok {
			t.Errorf("Get(%d) found %v", v, m)
		}
	}
	if set, err := migration.NewSet(""); err != nil {
		t.Error(err)
	} else if got, want := set.Name(), migration.DefaultSet; got != want {
		t.Errorf("set.Name() = %v, want %v", got, want)
	} else if set.Len() != 0 {
		t.Errorf("set.Len() = %v, want 0", set.Len())
	}
}

func TestSetRefuses(t *testing.T) {
	t.Parallel()
	_, err := migration.NewSet("", mig(3, "a"), mig(2, "b"), mig(3, "c"))
	var dup *migration.DuplicateError
	if !errors.As(err, &dup) {
		t.Fatalf("got %v, want a %T", err, dup)
	}
	if *dup != (migration.DuplicateError{Version: 3, First: "3_a.up.sql", Second: "3_c.up.sql"}) {
		t.Errorf("*dup = %v, want %v", *dup, (migration.DuplicateError{Version: 3, First: "3_a.up.sql", Second: "3_c.up.sql"}))
	}
	for _, c := range []struct {
		set  string
		m    migration.Migration
		want string
	}{
		{"", mig(-1, "a"), "below 0"},
		{"", migration.Migration{Version: 4, Name: "x"}, "migration 4 x has no up script"},
		{migration.ReservedSet, mig(1, "a"), "Whimbrel's own"},
	} {
		if _, err := migration.NewSet(c.set, c.m); err == nil {
			t.Error("got no error")
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), c.want)
		}
	}
}

func TestMigrationString(t *testing.T) {
	t.Parallel()
	if got := mig(1, "a").String() + ", " + mig(157, "").String(); got != "1 a, 157" {
		t.Errorf("got %s", got)
	}
}

func ExampleNewSet() {
	set, err := migration.NewSet("parcels",
		migration.Migration{Version: 2, Name: "weight", Up: migration.Text("2", "ALTER TABLE parcels ADD COLUMN weight numeric;")},
		migration.Migration{Version: 1, Name: "parcels", Up: migration.Text("1", "CREATE TABLE parcels (id bigint);")},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(set.Name(), set.All())
	// Output: parcels [1 parcels 2 weight]
}

func ExampleSum() {
	fmt.Println(migration.Sum("SELECT 1;\r\n") == migration.Sum("\ufeffSELECT 1;\n"))
	// Output: true
}
