package source_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
)

func TestDottedVersions(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"1": 1_000_000_000, "1.0": 1_000_000_000, "1.2": 1_002_000_000, "1_2": 1_002_000_000, "1.2.3": 1_002_003_000,
		"0.0.0.3": 3, "10.999.999.999": 10_999_999_999, "001.010": 1_010_000_000,
	} {
		if got, err := source.DottedVersion(text); err != nil || got != want {
			t.Errorf("%s: got %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", ".", "1.", ".1", "1..2", "a", "1.a", "-1.2", "1.2.3.4.5", "1.1000", "9223372036.0", "1__2", "a/V1.2"} {
		if got, err := source.DottedVersion(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for range 1000 {
		v := rng.Int64N(math.MaxInt64 / 1_000_000_000 * 1_000_000_000 >> rng.IntN(60))
		if got, err := source.DottedVersion(source.DottedText(v)); got != v && v < 9_223_372_036_000_000_000 {
			t.Fatalf("%d is %s, which is %d, %v", v, source.DottedText(v), got, err)
		}
	}
}

func TestIsDotted(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{"V1.2__a.sql": true, "db/V1_2__a.sql": true, "V1__a.sql": false, "R__a.sql": false, "1.2_a.sql": false, "V1.2.sql": false} {
		if got := source.IsDottedName(name); got != want {
			t.Errorf("%s: got %t", name, got)
		}
	}
	set := func(names ...string) *migration.Set {
		folder := files()
		for _, name := range names {
			folder[name] = files("x", up)["x"]
		}
		set, err := source.Read(folder, source.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	if source.IsDotted(set("V1__a.sql", "V2__b.sql")) || source.IsDotted(set("1_a.up.sql")) || !source.IsDotted(set("V1__a.sql", "V1.1__b.sql")) {
		t.Error("IsDotted is wrong")
	}
}
