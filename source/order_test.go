package source_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/whimbrel-db/whimbrel/source"
)

// If another tool, or the author of the dates, would have another order, Read does not guess.
func TestVersionsThatOthersWouldOrderDifferently(t *testing.T) {
	t.Parallel()
	hasura := func(names ...string) fstest.MapFS {
		m := fstest.MapFS{}
		for _, n := range names {
			m[n+"/up.sql"] = &fstest.MapFile{Data: []byte(up)}
		}
		return m
	}
	with := func(text string, names ...string) fstest.MapFS {
		m := fstest.MapFS{}
		for _, n := range names {
			m[n] = &fstest.MapFile{Data: []byte(text)}
		}
		return m
	}
	native := func(names ...string) fstest.MapFS { return with(up, names...) }
	dbmate := func(names ...string) fstest.MapFS { return with("-- migrate:up\n"+up, names...) }
	for _, c := range []struct {
		name    string
		files   fstest.MapFS
		format  source.Format
		want    string // the error
		warning string
	}{
		{
			name:  "Diesel's dates, one of which lost its time",
			files: hasura("2018-01-14-171611_a", "2024-03-06-170000_b", "2024-03-13_170000_c"),
			want: "2024-03-13_170000_c: its version is 20240313, which comes before 20180114171611 (2018-01-14-171611_a) as a number, but after it as a date; " +
				"Diesel compares versions as texts, Hasura and Whimbrel as numbers; did you mean 2024-03-13-170000_c?",
		},
		{
			name: "said to be Hasura's, which has no dashes", format: source.Hasura,
			files: hasura("2018-01-14-171611_a", "2024-03-13_c"),
			want:  "2024-03-13_c: its version is 20240313, which comes before 20180114171611 (2018-01-14-171611_a) as a number, but after it as a date; Diesel compares versions as texts, Hasura and Whimbrel as numbers; write its date with 14 digits",
		},
		{name: "Diesel's dates, all alike", files: hasura("2018-01-14-171611_a", "20240306170000_b")},
		{name: "days that come before all times in either order", files: hasura("2017-01-14_a", "2018-01-14-171611_b")},
		{
			name: "folders that count, in texts", files: hasura("2_b", "10_c"),
			want: "10_c: Hasura compares versions as numbers, and runs 2_b before this; Diesel compares them as texts, and runs it after; give the versions the same number of digits, or read the folder as Hasura's",
		},
		{name: "folders that count, said to be Hasura's", format: source.Hasura, files: hasura("2_b", "10_c")},
		{name: "folders that count with zeros", files: hasura("02_b", "10_c")},
		{
			name: "native dates with dashes", files: native("2018-01-14-171611_a.up.sql", "2024-03-13_170000_c.up.sql"),
			want: "2024-03-13_170000_c.up.sql: its version is 20240313, which comes before 20180114171611 (2018-01-14-171611_a.up.sql) as a number, but after it as a date; did you mean 2024-03-13-170000_c.up.sql?",
		},
		{
			name: "native dates without", files: native("20180114171611_a.up.sql", "20240313_170000_c.up.sql"),
			warning: "20240313_170000_c.up.sql: its version is 20240313, which comes before 20180114171611 (20180114171611_a.up.sql) as a number, but after it as a date; did you mean 20240313170000_c.up.sql?",
		},
		{name: "numbers that are no dates", files: native("20180114171611_a.up.sql", "99999999_c.up.sql", "3_d.up.sql")},
		{
			name: "dbmate's numbers", files: dbmate("2_a.sql", "10_b.sql"),
			want: "10_b.sql: dbmate runs its files in the order of their names, this before 2_a.sql; their versions, which count here, are the other way round; give the versions the same number of digits",
		},
		{name: "dbmate's dates", files: dbmate("20240101000000_a.sql", "20240102000000_b.sql")},
		{name: "golang-migrate's numbers", files: native("2_a.up.sql", "10_b.up.sql"), format: source.GolangMigrate},
	} {
		t.Run(c.name, func(t *testing.T) {
			set, err := source.Read(c.files, source.Options{Format: c.format})
			got, _, _ := strings.Cut(errorText(err), "\nAs a folder of")
			if got != c.want {
				t.Fatalf("got:\n%s\nwant:\n%s", got, c.want)
			}
			if err != nil {
				return
			}
			warning := ""
			for _, w := range set.Warnings() {
				warning += w.String()
			}
			if warning != c.warning {
				t.Errorf("warning:\n%s\nwant:\n%s", warning, c.warning)
			}
		})
	}
}
