package source_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
)

func folder(files ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		fsys[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return fsys
}

func TestBaselinesAndRepeatables(t *testing.T) {
	t.Parallel()
	for _, format := range []source.Format{source.Auto, source.Native} {
		set, err := source.Read(folder(
			"0001_a.up.sql", "SELECT 1",
			"0006_b.up.sql", "SELECT 6",
			"B0005_the_schema.sql", "-- whimbrel: lock-timeout 2s\nSELECT 5",
			"B0009__later.sql", "SELECT 9",
			"R__views.sql", "SELECT 'v'",
			"R__the grants.sql", "-- whimbrel: no-transaction\nSELECT 'g'",
		), source.Options{Format: format})
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(set.All(), set.Baselines()); got != "[1 a 6 b] [5 the_schema 9 later]" {
			t.Errorf("%q: got %s", format, got)
		}
		if b, _ := set.Baseline(5); b.Up.LockTimeout == 0 {
			t.Error("b.Up.LockTimeout is 0")
		} else if b.Up.Checksum != migration.Sum("-- whimbrel: lock-timeout 2s\nSELECT 5") {
			t.Errorf("b.Up.Checksum = %v, want %v", b.Up.Checksum, migration.Sum("-- whimbrel: lock-timeout 2s\nSELECT 5"))
		}
		r := set.Repeatables()
		if len(r) != 2 {
			t.Fatalf("len(r) = %v, want 2", len(r))
		}
		if r[0].Name != "the grants" {
			t.Errorf("r[0].Name = %q, want %q", r[0].Name, "the grants")
		}
		if !r[0].Script.NoTransaction {
			t.Error("r[0].Script.NoTransaction = false, want true")
		}
		if r[1].Name != "views" {
			t.Errorf("r[1].Name = %q, want %q", r[1].Name, "views")
		}
		if r[1].Script.File != "R__views.sql" {
			t.Errorf("r[1].Script.File = %q, want %q", r[1].Script.File, "R__views.sql")
		}
	}
}

func TestBaselinesAndRepeatablesAlone(t *testing.T) {
	t.Parallel()
	_, err := source.Read(folder("B7_x.sql", "SELECT 1", "R__v.sql", "SELECT 2", "old/0001_a.up.sql", "SELECT 1"), source.Options{})
	if err == nil {
		t.Fatal("got no error")
	}
	if !strings.Contains(err.Error(), "sub-folders are not read") {
		t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), "sub-folders are not read")
	}
	set, err := source.Read(folder("B7_x.sql", "SELECT 1", "R__v.sql", "SELECT 2"), source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if set.Len() != 0 {
		t.Errorf("set.Len() = %v, want 0", set.Len())
	}
	if len(set.Baselines()) != 1 {
		t.Fatalf("len(set.Baselines()) = %v, want 1", len(set.Baselines()))
	}
	if len(set.Repeatables()) != 1 {
		t.Errorf("len(set.Repeatables()) = %v, want 1", len(set.Repeatables()))
	}
}

func TestBesideNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"B5.sql":                           "a baseline needs a name, such as B0005_schema.sql",
		"B5_.sql":                          "a baseline needs a name, such as B0005_schema.sql",
		"B5x.sql":                          "is not named like a baseline; names look like B0005_schema.sql",
		"B5_x.up.sql":                      "a baseline is neither up nor down: leave .up out, so that the name ends in _x.sql",
		"R__.sql":                          "a repeatable script needs a name, such as R__views.sql",
		"R__x.DOWN.sql":                    "a repeatable script is neither up nor down: leave .down out, so that the name ends in x.sql",
		"R_views.sql":                      "is not named like a migration; did you mean R__views.sql?",
		"r__views.sql":                     "is not named like a migration; did you mean R__views.sql?",
		"b0005_x.sql":                      "is not named like a migration; did you mean B0005_x.sql?",
		"Backfill.sql":                     "is not named like a migration; names look like",
		"B0000099999999999999999999_x.sql": "is too large",
	} {
		_, err := source.Read(folder(name, "SELECT 1"), source.Options{Dir: "m"})
		if err == nil {
			t.Fatalf("%s: got no error", name)
		}
		if !strings.Contains(err.Error(), "m/"+name+": ") {
			t.Errorf("%s: err.Error() = %q, want a text containing %q", name, err.Error(), "m/"+name+": ")
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: err.Error() = %q, want a text containing %q", name, err.Error(), want)
		}
	}
	for text, want := range map[string]string{
		"\xff":                            "not UTF-8",
		"-- whimbrel: nonsense\nSELECT 1": "unknown directive",
		"-- whimbrel: replaces 3 " + migration.Sum("x").String() + "\nSELECT 1": "can't replace migrations",
	} {
		if _, err := source.Read(folder("R__x.sql", text), source.Options{}); err == nil {
			t.Errorf("%q: got no error", text)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: err.Error() = %q, want a text containing %q", text, err.Error(), want)
		}
	}
}

// In other tools' folders such names mean nothing, as ever.
func TestBesideOtherFormats(t *testing.T) {
	t.Parallel()
	set, err := source.Read(folder("0001_a.sql", "-- +goose Up\nSELECT 1", "R__x.sql", "-- +goose Up\nSELECT 1", "B5_x.sql", "\xff"), source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if set.Len() != 1 {
		t.Errorf("set.Len() = %v, want 1", set.Len())
	}
	if len(set.Baselines())+len(set.Repeatables()) != 0 {
		t.Errorf("len(set.Baselines())+len(set.Repeatables()) = %v, want 0", len(set.Baselines())+len(set.Repeatables()))
	}
}

func TestASquashBesideItsOriginals(t *testing.T) {
	t.Parallel()
	text := fmt.Sprintf("-- whimbrel: replaces 1 %s\n-- whimbrel: replaces 2 %s\nSELECT 1; SELECT 2", migration.Sum("SELECT 1"), migration.Sum("SELECT 2"))
	set, err := source.Read(folder(
		"1_a.up.sql", "SELECT 1", "2_b.up.sql", "SELECT 2", "2_b.down.sql", "SELECT -2", "2_both.up.sql", text, "2_both.down.sql", "SELECT -1",
	), source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(set.All()) != "[2 both]" {
		t.Fatalf("fmt.Sprint(set.All()) = %q, want %q", fmt.Sprint(set.All()), "[2 both]")
	}
	b, _ := set.Original(2)
	q, _ := set.Get(2)
	if b.Name != "b" {
		t.Errorf("b.Name = %q, want %q", b.Name, "b")
	}
	if b.Down.File != "2_b.down.sql" {
		t.Errorf("b.Down.File = %q, want %q", b.Down.File, "2_b.down.sql")
	}
	if q.Down.File != "2_both.down.sql" {
		t.Errorf("q.Down.File = %q, want %q", q.Down.File, "2_both.down.sql")
	}
	if _, err := source.Read(folder("2_b.up.sql", "SELECT 2", "2_c.up.sql", "SELECT 3"), source.Options{}); err == nil {
		t.Error("got no error")
	} else if !strings.Contains(err.Error(), "twice") {
		t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), "twice")
	}
	for file, want := range map[string]string{"2_b.down.sql": "only an up script replaces"} {
		if _, err := source.Read(folder("2_b.up.sql", "SELECT 2", file, text), source.Options{}); err == nil {
			t.Errorf("%s: got no error", file)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: err.Error() = %q, want a text containing %q", file, err.Error(), want)
		}
	}
}

func TestReadSeeds(t *testing.T) {
	t.Parallel()
	seeds, err := source.ReadSeeds(folder("b.sql", "SELECT 2", "10 people.SQL", "SELECT 1", ".hidden.sql", "x", "README.md", "x", "2024_demo/c.sql", "SELECT 3", "1_a.up.sql/d.sql", "SELECT 4"), source.Options{Dir: "seeds"})
	if err != nil {
		t.Fatal(err)
	}
	if len(seeds) != 2 {
		t.Fatalf("len(seeds) = %v, want 2", len(seeds))
	}
	if seeds[0].Name != "10 people" {
		t.Errorf("seeds[0].Name = %q, want %q", seeds[0].Name, "10 people")
	}
	if seeds[0].Script.File != "seeds/10 people.SQL" {
		t.Errorf("seeds[0].Script.File = %q, want %q", seeds[0].Script.File, "seeds/10 people.SQL")
	}
	if seeds[1].Name != "b" {
		t.Errorf("seeds[1].Name = %q, want %q", seeds[1].Name, "b")
	}
	for want, fsys := range map[string]fstest.MapFS{
		"seeds/a.sql: the script has no statement": folder("a.sql", "-- nothing"),
		"seeds/a.sql:1:1: unknown directive":       folder("a.sql", "-- whimbrel: x\nSELECT 1"),
		"a seed can't replace migrations":          folder("a.sql", "-- whimbrel: replaces 3 "+migration.Sum("x").String()+"\nSELECT 1"),
		"name one of its folders":                  folder("dev/a.sql", "SELECT 1"),
		"seeds: there is no such folder":           nil,
	} {
		if fsys == nil {
			sub, err := fstest.MapFS{}.Sub("none")
			if err != nil {
				t.Fatal(err)
			}
			_, err = source.ReadSeeds(sub, source.Options{Dir: "seeds"})
			if err == nil {
				t.Fatal("got no error")
			}
			if err.Error() != want {
				t.Errorf("err.Error() = %q, want %q", err.Error(), want)
			}
			continue
		}
		if _, err := source.ReadSeeds(fsys, source.Options{Dir: "seeds"}); err == nil {
			t.Error("got no error")
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), want)
		}
	}
}

func TestNewCountsBaselines(t *testing.T) {
	t.Parallel()
	files, err := source.NewFiles(folder("B0007_schema.sql", "SELECT 1"), source.NewOptions{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if files[0].Name != "0008_x.up.sql" {
		t.Errorf("files[0].Name = %q, want %q", files[0].Name, "0008_x.up.sql")
	}
}
