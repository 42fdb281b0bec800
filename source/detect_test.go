package source_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/whimbrel-db/whimbrel/source"
)

func TestDetect(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		files fs.FS
		want  source.Format
	}{
		{"nothing", files(), source.Native},
		{"nothing that is a migration", files("README.md", "x", "schema.sql", up, "main.go", "x"), source.Native},
		{"pairs", files("1_a.up.sql", up, "1_a.down.sql", up), source.Native},
		{"pairs, and Go functions beside them", files("1_a.up.sql", up, "2_b.go", "x"), source.Native},
		{"a goose file", files("1_a.sql", "-- a\n-- +goose up\n"+up), source.Goose},
		{"a goose file that lacks its marker among others", files("1_a.sql", "-- +goose Up\n"+up, "2_b.sql", up), source.Goose},
		{"Go files alone, with numbers", files("1_a.go", "x", "go.mod", "x"), source.Goose},
		{"a dbmate file", files("1_a.sql", "-- migrate:up\n"+up, "schema.sql", up), source.Dbmate},
		{"a tern file", files("1_a.sql", up+"\n---- create above / drop below ----", "2_b.sql", up), source.Tern},
		{"tern.conf", files("1_a.sql", up, "tern.conf", "x"), source.Tern},
		{"an sql-migrate file", files("1-a.sql", "-- +migrate Up\n"+up), source.SQLMigrate},
		{"a Flyway file", files("V1.2__a.sql", up, "R__b.sql", up, "B1__c.sql", up), source.Flyway},
		{"sqlx's first line", files("1_a.sql", "-- no-transaction\n"+up, "2_b.sql", up), source.Sqlx},
		{"a Diesel folder whose version has dashes", files("00000000000000_diesel_initial_setup/up.sql", up, "2024-01-31-093000_a/up.sql", up), source.Diesel},
		{"a Diesel folder with metadata.toml", files("1_a/up.sql", up, "2_b/up.sql", up, "2_b/metadata.toml", ""), source.Diesel},
		{"Prisma folders", files("0_init/migration.sql", up, "20240131093000_a/migration.sql", up, "20240131093000_a/down.sql", up), source.Prisma},
		{"Prisma's lock file", files("migration_lock.toml", "provider = \"sqlite\""), source.Prisma},
		{"Hasura folders", files("1_a/up.sql", up, "2_b/down.sql", up), source.Hasura},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got, err := source.Detect(c.files); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDetectRefusesDoubt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		files fs.FS
		want  string
	}{
		{
			"goose beside pairs",
			files("1_a.up.sql", up, "1_a.down.sql", up, "2_b.up.sql", up, "2_b.down.sql", up, "3_c.up.sql", up, "4_d.sql", "-- x\n-- +goose Up\n"+up),
			"db: the folder has files of more than one format:" +
				"\n  native: db/1_a.down.sql, db/1_a.up.sql, db/2_b.down.sql and 2 more (a name of up and down files)" +
				"\n  goose: db/4_d.sql (line 2 is a marker)",
		},
		{
			"one file with the markers of two",
			files("1_a.sql", "-- migrate:up\n-- +goose Up\n"+up),
			"db: the folder has files of more than one format:" +
				"\n  dbmate: db/1_a.sql (line 1 is a marker)\n  goose: db/1_a.sql (line 2 is a marker)",
		},
		{
			"pairs with markers in them",
			files("1_a.up.sql", "-- +goose Up\n"+up),
			"db: the folder has files of more than one format:" +
				"\n  goose: db/1_a.up.sql (line 1 is a marker)\n  native: db/1_a.up.sql (a name of up and down files)",
		},
		{
			"Hasura folders beside pairs, and tern.conf",
			files("1_a/up.sql", up, "2_b.up.sql", up, "tern.conf", "x"),
			"db: the folder has files of more than one format:" +
				"\n  hasura: db/1_a (a folder that holds up.sql)\n  native: db/2_b.up.sql (a name of up and down files)\n  tern: db/tern.conf (tern's configuration)",
		},
		{
			"nothing but names that are wrong for pairs",
			files("0021_ports_up.sql", up, "22_x.UP.SQL", up, "9223372036854775808_x.up.sql", up, "23_backup.sql", up),
			"db/0021_ports_up.sql: is not named like a migration; did you mean 0021_ports.up.sql?\n" +
				"db/22_x.UP.SQL: is not named like a migration; did you mean 22_x.up.sql?\n" +
				"db/23_backup.sql: is not named like a migration; it has to say whether it is up or down: 23_backup.up.sql\n" +
				"db/9223372036854775808_x.up.sql: the version 9223372036854775808 is too large; the largest is 9223372036854775807",
		},
		{
			"nothing to tell it from",
			files("1_a.sql", up, "2_b.go", "x"),
			"db/1_a.sql: does not show its format: its name does not end in .up.sql or .down.sql, and it has no line of goose, dbmate, sql-migrate or tern; name the format (sqlx has files that are only SQL), or rename the file",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := source.Read(c.files, source.Options{Dir: "db"})
			if errorText(err) != c.want {
				t.Errorf("got:\n%v\nwant:\n%s", err, c.want)
			}
		})
	}
	_, err := source.Detect(files("1_a.up.sql", up, "2_b.sql", "-- migrate:up"))
	var ambiguous *source.AmbiguousError
	if !errors.As(err, &ambiguous) {
		t.Fatalf("got %v, want a %T", err, ambiguous)
	}
	if len(ambiguous.Seen) != 2 {
		t.Fatalf("len(ambiguous.Seen) = %v, want 2", len(ambiguous.Seen))
	}
	if ambiguous.Seen[1].Format != source.Dbmate {
		t.Errorf("ambiguous.Seen[1].Format = %v, want %v", ambiguous.Seen[1].Format, source.Dbmate)
	}
	if ambiguous.Seen[1].Files[0] != "2_b.sql" {
		t.Errorf("ambiguous.Seen[1].Files[0] = %q, want %q", ambiguous.Seen[1].Files[0], "2_b.sql")
	}
	_, err = source.Detect(os.DirFS(filepath.Join(t.TempDir(), "none")))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
