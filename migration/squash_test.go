package migration_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/migration"
)

func step(version int64, name string, replaces ...string) migration.Migration {
	m := migration.Migration{Version: version, Name: name, Up: migration.Text(fmt.Sprintf("%d_%s.up.sql", version, name), "-- "+name)}
	for _, r := range replaces {
		if err := m.Up.Direct("replaces " + r); err != nil {
			panic(err)
		}
	}
	return m
}

// of names a migration as a squash does that replaces it.
func of(version int64, name string) string {
	return fmt.Sprint(version, " ", migration.Sum("-- "+name))
}

func TestASquashAmongItsOriginals(t *testing.T) {
	t.Parallel()
	set, err := migration.NewSet("", step(1, "a"), step(3, "b"), step(7, "c"), step(7, "squash", of(7, "c"), of(3, "b")), step(8, "d"))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(set.All()); got != "[1 a 7 squash 8 d]" {
		t.Errorf("the migrations are %s", got)
	}
	for version, want := range map[int64]string{1: " ", 3: "7 squash 3 b", 7: "7 squash 7 c", 8: " "} {
		squash, isReplaced := set.Squash(version)
		original, there := set.Original(version)
		got := " "
		if isReplaced && there {
			got = fmt.Sprint(squash, " ", original)
		}
		if got != want {
			t.Errorf("version %d: %q, want %q", version, got, want)
		}
	}
}

func TestSquashesThatDoNotFit(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		all  []migration.Migration
		want string
	}{
		"another version than the newest": {
			[]migration.Migration{step(9, "squash", of(3, "b"), of(7, "c"))},
			"9_squash.up.sql: the newest version that it replaces is 7; give the squash that version",
		},
		"a late one inside": {
			[]migration.Migration{step(5, "late"), step(7, "squash", of(3, "b"), of(7, "c"))},
			"5_late.up.sql: is between the versions 3 and 7 of the squash 7_squash.up.sql, which does not replace it; give it a higher version",
		},
		"an original that was edited": {
			[]migration.Migration{step(3, "edited"), step(7, "squash", of(3, "b"), of(7, "c"))},
			"3_edited.up.sql: differs from the migration that 7_squash.up.sql replaces",
		},
		"two of one version": {
			[]migration.Migration{step(7, "one", of(7, "c")), step(7, "two", of(7, "c"))},
			"version 7 is also replaced by 7_one.up.sql",
		},
		"two that overlap": {
			[]migration.Migration{step(7, "one", of(3, "b"), of(7, "c")), step(9, "two", of(3, "b"), of(9, "d"))},
			"9_two.up.sql: version 3 is also replaced by the squash 7",
		},
		"a squash of a squash whose originals are there": {
			[]migration.Migration{step(3, "b"), step(7, "one", of(3, "b"), of(7, "c")), step(9, "two", of(7, "one"), of(9, "d"))},
			"7_one.up.sql: is a squash that 9_two.up.sql replaces, so the files that it replaces itself are no longer needed; delete them",
		},
	} {
		_, err := migration.NewSet("", tt.all...)
		if err == nil {
			t.Fatalf("%s: got no error", name)
		}
		if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: err.Error() = %q, want a text containing %q", name, err.Error(), tt.want)
		}
	}
	set, err := migration.NewSet("", step(7, "one", of(3, "b"), of(7, "c")), step(9, "two", of(7, "one"), of(9, "d")))
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(set.All()) != "[9 two]" {
		t.Errorf("fmt.Sprint(set.All()) = %q, want %q", fmt.Sprint(set.All()), "[9 two]")
	}
}

func TestReplacesDirective(t *testing.T) {
	t.Parallel()
	s := migration.Text("f.sql", "")
	for _, text := range []string{"replaces 7 " + migration.Sum("b").String(), "Replaces  0003   " + strings.ToUpper(migration.Sum("a").String())} {
		if err := s.Direct(text); err != nil {
			t.Error(err)
		}
	}
	if len(s.Replaces) != 2 {
		t.Fatalf("len(s.Replaces) = %v, want 2", len(s.Replaces))
	}
	if s.Replaces[0] != (migration.Replaced{Version: 3, Checksum: migration.Sum("a")}) {
		t.Errorf("s.Replaces[0] = %v, want %v", s.Replaces[0], (migration.Replaced{Version: 3, Checksum: migration.Sum("a")}))
	}
	if s.Replaces[1].Version != 7 {
		t.Errorf("s.Replaces[1].Version = %v, want 7", s.Replaces[1].Version)
	}
	for text, want := range map[string]string{
		"replaces":         "needs a version and the checksum",
		"replaces x":       "needs a version and the checksum",
		"replaces -1 abc":  "needs a version and the checksum",
		"replaces 4":       "64 hexadecimal digits",
		"replaces 4 abc":   "64 hexadecimal digits",
		"replaces 4 abc d": "64 hexadecimal digits",
		"replaces 7 " + migration.Sum("b").String(): "twice",
	} {
		if err := s.Direct(text); err == nil {
			t.Errorf("%s: got no error", text)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: err.Error() = %q, want a text containing %q", text, err.Error(), want)
		}
	}
	if err := s.Direct("lock-timeout 2s"); err != nil {
		t.Error(err)
	} else if s.LockTimeout == 0 {
		t.Error("s.LockTimeout is 0")
	}
}

func TestContents(t *testing.T) {
	t.Parallel()
	named := func(name, text string) migration.Named {
		return migration.Named{Name: name, Script: migration.Text("R__"+name+".sql", text)}
	}
	set, err := migration.Contents{
		Migrations:  []migration.Migration{step(2, "b"), step(1, "a")},
		Baselines:   []migration.Migration{step(2, "two"), step(1, "one")},
		Repeatables: []migration.Named{named("y", ""), named("x", "")},
	}.Set("")
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(set.All(), set.Baselines(), set.Repeatables()[0].Name, set.Repeatables()[1].Name); got != "[1 a 2 b] [1 one 2 two]xy" {
		t.Errorf("got %s", got)
	}
	alone := step(3, "alone")
	alone.Up.NoTransaction = true
	down := step(4, "down")
	down.Down = step(4, "down", of(4, "x")).Up
	for want, c := range map[string]migration.Contents{
		"version 2 is used twice":                      {Baselines: []migration.Migration{step(2, "x"), step(2, "y")}},
		"always runs in one transaction":               {Baselines: []migration.Migration{alone}},
		"a baseline can't have the directive replaces": {Baselines: []migration.Migration{step(2, "x", of(2, "b"))}},
		"give the baseline version 7":                  {Baselines: []migration.Migration{step(3, "x")}, Migrations: []migration.Migration{step(7, "s", of(3, "b"), of(7, "c"))}},
		"only an up script replaces":                   {Migrations: []migration.Migration{down}},
		`"x" is used twice`:                            {Repeatables: []migration.Named{named("x", "1"), named("x", "2")}},
		"needs a name and a script":                    {Repeatables: []migration.Named{{Name: "x"}}},
		"a repeatable script can't replace":            {Repeatables: []migration.Named{{Name: "x", Script: step(2, "x", of(2, "b")).Up}}},
		"version -1 of migration \"b\" is below":       {Baselines: []migration.Migration{step(-1, "b")}},
	} {
		if _, err := c.Set(""); err == nil {
			t.Error("got no error")
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), want)
		}
	}
}
