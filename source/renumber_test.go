package source_test

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel/source"
)

// files returns a folder of files that have a statement.
func statements(names ...string) fstest.MapFS {
	all := fstest.MapFS{}
	for _, name := range names {
		all[name] = &fstest.MapFile{Data: []byte("SELECT 1;\n")}
	}
	return all
}

func TestRenumber(t *testing.T) {
	for name, c := range map[string]struct {
		files fstest.MapFS
		opts  source.RenumberOptions
		want  []source.Renumbered
	}{
		"nothing was overtaken": {
			files: statements("0001_a.up.sql", "0002_b.up.sql"),
			opts:  source.RenumberOptions{Applied: map[int64]string{1: "a"}},
		},
		"a newer one is applied": {
			files: statements("0001_a.up.sql", "0002_b.up.sql", "0002_b.down.sql", "0002_b.metadata.yaml", "0003_c.up.sql", "0004_d.up.sql"),
			opts:  source.RenumberOptions{Applied: map[int64]string{1: "a", 3: "c"}},
			want: []source.Renumbered{{
				Version: 2, To: 5, Name: "b", Why: "version 0003 is applied", After: []int64{4},
				Renames: []source.Rename{{"0002_b.down.sql", "0005_b.down.sql"}, {"0002_b.metadata.yaml", "0005_b.metadata.yaml"}, {"0002_b.up.sql", "0005_b.up.sql"}},
			}},
		},
		"two files have one version, one is applied": {
			files: statements("0001_a.up.sql", "0002_mine.up.sql", "0002_theirs.up.sql"),
			opts:  source.RenumberOptions{Applied: map[int64]string{1: "a", 2: "theirs"}},
			want: []source.Renumbered{{
				Version: 2, To: 3, Name: "mine", Why: "0002_theirs.up.sql has its version, too",
				Renames: []source.Rename{{"0002_mine.up.sql", "0003_mine.up.sql"}},
			}},
		},
		"two files have one version, neither is applied": {
			files: statements("1_a.up.sql", "2_b.up.sql", "2_c.up.sql", "2_d.up.sql"),
			opts:  source.RenumberOptions{Applied: map[int64]string{1: "a"}},
			want: []source.Renumbered{
				{Version: 2, To: 3, Name: "c", Why: "2_b.up.sql has its version, too", Renames: []source.Rename{{"2_c.up.sql", "3_c.up.sql"}}},
				{Version: 2, To: 4, Name: "d", Why: "2_b.up.sql has its version, too", Renames: []source.Rename{{"2_d.up.sql", "4_d.up.sql"}}},
			},
		},
		"after a version of another folder": {
			files: statements("0001_a.up.sql", "0002_b.up.sql"),
			opts:  source.RenumberOptions{Applied: map[int64]string{1: "a", 9: "of a newer build"}},
			want:  []source.Renumbered{{Version: 2, To: 10, Name: "b", Why: "version 9 is applied", Renames: []source.Rename{{"0002_b.up.sql", "0010_b.up.sql"}}}},
		},
		"timestamps become numbers": {
			files: statements("0001_a.up.sql", "20240102030405_b.up.sql", "20240102030406_c.up.sql"),
			opts:  source.RenumberOptions{Applied: map[int64]string{1: "a"}, Sequence: true},
			want: []source.Renumbered{
				{Version: 20240102030405, To: 2, Name: "b", Why: "its version is a timestamp", Renames: []source.Rename{{"20240102030405_b.up.sql", "0002_b.up.sql"}}},
				{Version: 20240102030406, To: 3, Name: "c", Why: "its version is a timestamp", Renames: []source.Rename{{"20240102030406_c.up.sql", "0003_c.up.sql"}}},
			},
		},
		"golang-migrate's halves with two names": {
			files: statements("000001_a.up.sql", "000002_b.up.sql", "000002_take_b_back.down.sql", "000003_c.up.sql"),
			opts:  source.RenumberOptions{Format: source.GolangMigrate, Applied: map[int64]string{1: "a", 3: "c"}},
			want: []source.Renumbered{{
				Version: 2, To: 4, Name: "b", Why: "version 000003 is applied",
				Renames: []source.Rename{{"000002_b.up.sql", "000004_b.up.sql"}, {"000002_take_b_back.down.sql", "000004_take_b_back.down.sql"}},
			}},
		},
		"a folder for each migration": {
			files: statements("1700000000000_a/up.sql", "1700000000001_b/up.sql", "1700000000002_c/up.sql"),
			opts:  source.RenumberOptions{Applied: map[int64]string{1700000000000: "a", 9700000000002: "c"}},
			want: []source.Renumbered{
				{Version: 1700000000001, To: 9700000000003, Name: "b", Why: "version 9700000000002 is applied", Renames: []source.Rename{{"1700000000001_b", "9700000000003_b"}}},
				{Version: 1700000000002, To: 9700000000004, Name: "c", Why: "version 9700000000002 is applied", Renames: []source.Rename{{"1700000000002_c", "9700000000004_c"}}},
			},
		},
		"sql-migrate": {
			files: statements("1-a.sql", "2-b.sql", "3-c.sql"),
			opts:  source.RenumberOptions{Format: source.SQLMigrate, Applied: map[int64]string{1: "a", 3: "c"}},
			want:  []source.Renumbered{{Version: 2, To: 4, Name: "b", Why: "version 3 is applied", Renames: []source.Rename{{"2-b.sql", "4-b.sql"}}}},
		},
		"sqlx": {
			files: statements("1_a.sql", "2_b.up.sql", "2_b.down.sql", "3_c.sql"),
			opts:  source.RenumberOptions{Format: source.Sqlx, Applied: map[int64]string{1: "a", 3: "c"}},
			want: []source.Renumbered{{
				Version: 2, To: 4, Name: "b", Why: "version 3 is applied",
				Renames: []source.Rename{{"2_b.down.sql", "4_b.down.sql"}, {"2_b.up.sql", "4_b.up.sql"}},
			}},
		},
		"Diesel": {
			files: statements("2024-01-01-000000_a/up.sql", "2024-01-02-000000_b/up.sql", "2099-01-03-000000_c/up.sql"),
			opts:  source.RenumberOptions{Applied: map[int64]string{20240101000000: "a", 20990103000000: "c"}},
			want: []source.Renumbered{{
				Version: 20240102000000, To: 20990103000001, Name: "b", Why: "version 20990103000000 is applied",
				Renames: []source.Rename{{"2024-01-02-000000_b", "20990103000001_b"}},
			}},
		},
		"Prisma": {
			files: statements("20240101000000_a/migration.sql", "20240102000000_b/migration.sql", "20990103000000_c/migration.sql"),
			opts:  source.RenumberOptions{Applied: map[int64]string{20240101000000: "a", 20990103000000: "c"}},
			want: []source.Renumbered{{
				Version: 20240102000000, To: 20990103000001, Name: "b", Why: "version 20990103000000 is applied",
				Renames: []source.Rename{{"20240102000000_b", "20990103000001_b"}},
			}},
		},
		"Flyway, whole numbers": {
			files: statements("V1__a.sql", "V2__b.sql", "U2__back.sql", "V3__c.sql", "R__d.sql"),
			opts:  source.RenumberOptions{Applied: map[int64]string{1: "a", 3: "c"}},
			want: []source.Renumbered{{
				Version: 2, To: 4, Name: "b", Why: "version 3 is applied",
				Renames: []source.Rename{{"V2__b.sql", "V4__b.sql"}, {"U2__back.sql", "U4__back.sql"}},
			}},
		},
		"Flyway, versions with dots": {
			files: statements("V1__a.sql", "s/V1.1__b.sql", "s/V1.1__b.sql.conf", "V1_1__c.sql"),
			opts:  source.RenumberOptions{Applied: map[int64]string{1_000_000_000: "a", 1_001_000_000: "c", 1_009_000_000: "z"}},
			want: []source.Renumbered{{
				Version: 1_001_000_000, To: 1_010_000_000, Name: "b", Why: "V1_1__c.sql has its version, too",
				Renames: []source.Rename{{"s/V1.1__b.sql", "s/V1.10__b.sql"}, {"s/V1.1__b.sql.conf", "s/V1.10__b.sql.conf"}},
			}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := source.Renumber(c.files, c.opts)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRenumberedFolder reads a folder after its files were renamed.
func TestRenumberedFolder(t *testing.T) {
	files := statements("0001_a.up.sql", "0002_mine.up.sql", "0002_mine.down.sql", "0002_theirs.up.sql")
	all, err := source.Renumber(files, source.RenumberOptions{Applied: map[int64]string{1: "a", 2: "theirs"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range all {
		for _, r := range n.Renames {
			files[r.To] = files[r.From]
			delete(files, r.From)
		}
	}
	set, err := source.Read(files, source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int64{1, 2, 3}, set.Versions()); diff != "" {
		t.Error(diff)
	}
}

func TestRenumberRefuses(t *testing.T) {
	squash := statements("0001_a.up.sql", "0002_b.up.sql", "0003_c.up.sql")
	squash["0002_ab.up.sql"] = &fstest.MapFile{Data: []byte("-- whimbrel: replaces 1 0000000000000000000000000000000000000000000000000000000000000000\n" +
		"-- whimbrel: replaces 2 0000000000000000000000000000000000000000000000000000000000000000\nSELECT 1;\n")}
	for name, c := range map[string]struct {
		files fstest.MapFS
		opts  source.RenumberOptions
		want  string
	}{
		"a file that may be the applied one": {
			files: statements("0001_a.up.sql"),
			opts:  source.RenumberOptions{Dir: "migrations", Applied: map[int64]string{1: "b"}},
			want:  `migrations/0001_a.up.sql: the database has applied version 0001 with the name "b", and no file has both; add that file, or rename this one if it is the same migration`,
		},
		"a part of a squash": {
			files: squash,
			opts:  source.RenumberOptions{Applied: map[int64]string{1: "a", 3: "c"}},
			want: "0002_ab.up.sql: can't get another version: 0002_ab.up.sql replaces version 0002\n" +
				"0002_b.up.sql: can't get another version: 0002_ab.up.sql replaces version 0002",
		},
		"a number before an applied timestamp": {
			files: statements("20240102030405_b.up.sql", "20240102030406_c.up.sql"),
			opts:  source.RenumberOptions{Dir: "migrations", Applied: map[int64]string{20240102030405: "b"}, Sequence: true},
			want:  "migrations: the newest applied version is 20240102030405, a timestamp; a number would come before it",
		},
		"the last version": {
			files: statements("1_a.up.sql", "9223372036854775807_b.up.sql"),
			opts:  source.RenumberOptions{Applied: map[int64]string{9223372036854775807: "b"}},
			want:  "there is no version after 9223372036854775807",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := source.Renumber(c.files, c.opts)
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(c.want, err.Error()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRenumberSquashed leaves a squash and what it replaces alone.
func TestRenumberSquashed(t *testing.T) {
	files := statements("0001_a.up.sql", "0002_b.up.sql", "0003_c.up.sql")
	files["0002_ab.up.sql"] = &fstest.MapFile{Data: []byte("-- whimbrel: replaces 1 0000000000000000000000000000000000000000000000000000000000000000\n" +
		"-- whimbrel: replaces 2 0000000000000000000000000000000000000000000000000000000000000000\nSELECT 1;\n")}
	got, err := source.Renumber(files, source.RenumberOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 0 {
		t.Errorf("renumbered %v", got)
	}
}
