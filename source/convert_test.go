package source_test

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
)

// folderOf returns a folder of files with texts.
func folderOf(files map[string]string) fstest.MapFS {
	all := fstest.MapFS{}
	for name, text := range files {
		all[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return all
}

// written returns the folder that a conversion makes.
func written(c *source.Converted) fstest.MapFS {
	all := fstest.MapFS{}
	for _, f := range c.Files {
		all[f.Name] = &fstest.MapFile{Data: []byte(f.Content)}
	}
	return all
}

func TestConvert(t *testing.T) {
	type folder = map[string]string
	for name, c := range map[string]struct {
		files   folder
		opts    source.Options
		want    folder
		changes []source.Conversion
		leftOut []string
	}{
		"goose": {
			files: folder{
				"00001_users.sql": "-- +goose Up\nCREATE TABLE users (id int);\n-- +goose Down\nDROP TABLE users;\n",
				"00002_fn.sql":    "-- +goose NO TRANSACTION\n-- +goose Up\n-- +goose StatementBegin\nSELECT 1;\n-- +goose StatementEnd\n",
				"00003_empty.sql": "-- +goose Up\n-- +goose Down\nSELECT 2;\n",
				"README.md":       "read me",
			},
			want: folder{
				"0001_users.up.sql":   "CREATE TABLE users (id int);",
				"0001_users.down.sql": "DROP TABLE users;",
				"0002_fn.up.sql":      "-- whimbrel: no-transaction\nSELECT 1;\n",
				"0003_empty.up.sql":   "-- whimbrel: empty\n",
				"0003_empty.down.sql": "SELECT 2;",
			},
			changes: []source.Conversion{
				{File: "0002_fn.up.sql", What: `removed the line "-- +goose StatementBegin"`, Text: true},
				{File: "0002_fn.up.sql", What: `removed the line "-- +goose StatementEnd"`, Text: true},
				{File: "0002_fn.up.sql", What: `added the line "-- whimbrel: no-transaction"`, Text: true},
				{File: "0003_empty.up.sql", What: `added the line "-- whimbrel: empty"`, Text: true},
			},
			leftOut: []string{"README.md"},
		},
		"drizzle": {
			files: folder{
				"meta/_journal.json":      journalOf("0000_a", "0001_b"),
				"meta/0000_snapshot.json": "{}",
				"0000_a.sql":              "SELECT 1\n--> statement-breakpoint\nSELECT 2;",
				"0001_b.sql":              "SELECT 3;\n--> statement-breakpoint\nSELECT 4;",
			},
			want: folder{
				"0000_a.up.sql": "SELECT 1\n;--> statement-breakpoint\nSELECT 2;",
				"0001_b.up.sql": "SELECT 3;\n--> statement-breakpoint\nSELECT 4;",
			},
			changes: []source.Conversion{{File: "0000_a.up.sql", What: "wrote the semicolons that end its statements", Text: true}},
			leftOut: []string{"meta/0000_snapshot.json", "meta/_journal.json"},
		},
		"sqitch": {
			files: folder{
				"sqitch.plan":         planOf("sub/a", "@v1", "sub/a"),
				"deploy/sub/a@v1.sql": "BEGIN;\nSELECT 1;\nCOMMIT;\n",
				"deploy/sub/a.sql":    "SELECT 2;",
				"revert/sub/a.sql":    "SELECT 3;",
				"verify/sub/a.sql":    "SELECT 4;",
			},
			want: folder{
				"0001_sub_a.up.sql":   "BEGIN;\nSELECT 1;\nCOMMIT;\n",
				"0002_sub_a.up.sql":   "SELECT 2;",
				"0002_sub_a.down.sql": "SELECT 3;",
			},
			changes: []source.Conversion{
				{File: "0001_sub_a.up.sql", What: `the name was "sub/a"`},
				{File: "0002_sub_a.up.sql", What: `the name was "sub/a"`},
			},
			leftOut: []string{"sqitch.plan", "verify/sub/a.sql"},
		},
		"liquibase": {
			files: folder{
				"0001_a.sql": head + "--changeset a:users runInTransaction:false\nSELECT 1;\n--rollback SELECT 2;\n--changeset a:v runOnChange:true\nSELECT 3;\n--changeset a:2\nSELECT 4;\n--rollback empty\n",
			},
			want: folder{
				"1001_users.up.sql":   "-- whimbrel: no-transaction\nSELECT 1;",
				"1001_users.down.sql": "-- whimbrel: no-transaction\n           SELECT 2;",
				"1003_2.up.sql":       "SELECT 4;",
				"1003_2.down.sql":     "-- whimbrel: empty\n",
				"R__v.sql":            "SELECT 3;",
			},
			changes: []source.Conversion{
				{File: "1001_users.up.sql", What: `added the line "-- whimbrel: no-transaction"`, Text: true},
				{File: "1001_users.down.sql", What: `added the line "-- whimbrel: no-transaction"`, Text: true},
				{File: "1003_2.down.sql", What: `added the line "-- whimbrel: empty"`, Text: true},
			},
		},
		"golang-migrate": {
			files: folder{
				"000001_users.up.sql":        "CREATE TABLE users (id int);\n",
				"000001_undo_users.down.sql": "DROP TABLE users;\n",
				"000002_data.up.sql":         "",
			},
			opts: source.Options{Format: source.GolangMigrate},
			want: folder{
				"0001_users.up.sql":   "CREATE TABLE users (id int);\n",
				"0001_users.down.sql": "DROP TABLE users;\n",
				"0002_data.up.sql":    "-- whimbrel: empty\n",
			},
			changes: []source.Conversion{{File: "0002_data.up.sql", What: `added the line "-- whimbrel: empty"`, Text: true}},
		},
		"hasura": {
			files: folder{
				"1700000000000_a b/up.sql":        "-- hasura:no-transaction\nSELECT 1;\n",
				"1700000000000_a b/down.sql":      "SELECT 2;\n",
				"1700000000000_a b/metadata.yaml": "x: 1\n",
			},
			opts: source.Options{Dir: "db/migrations"},
			want: folder{
				"1700000000000_a_b.up.sql":   "-- whimbrel: no-transaction\n-- hasura:no-transaction\nSELECT 1;\n",
				"1700000000000_a_b.down.sql": "SELECT 2;\n",
			},
			changes: []source.Conversion{
				{File: "1700000000000_a_b.up.sql", What: `the name was "a b"`},
				{File: "1700000000000_a_b.up.sql", What: `added the line "-- whimbrel: no-transaction"`, Text: true},
			},
			leftOut: []string{"1700000000000_a b/metadata.yaml"},
		},
		"dbmate with metadata": {
			files: folder{
				"20240101000000_a.sql":           "-- migrate:up transaction:false\n-- whimbrel: lock-timeout 2s\nSELECT 1;\n\n-- migrate:down\nSELECT 2;\n",
				"20240101000000_a.metadata.yaml": "objects: []\n",
			},
			want: folder{
				"20240101000000_a.up.sql":        "-- whimbrel: no-transaction\n-- whimbrel: lock-timeout 2s\nSELECT 1;",
				"20240101000000_a.down.sql":      "SELECT 2;",
				"20240101000000_a.metadata.yaml": "objects: []\n",
			},
			changes: []source.Conversion{{File: "20240101000000_a.up.sql", What: `added the line "-- whimbrel: no-transaction"`, Text: true}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := source.Convert(folderOf(c.files), c.opts)
			if err != nil {
				t.Fatal(err)
			}
			files := folder{}
			for _, f := range got.Files {
				files[f.Name] = f.Content
			}
			if diff := cmp.Diff(c.want, files); diff != "" {
				t.Errorf("files:\n%s", diff)
			}
			if diff := cmp.Diff(c.changes, got.Changes); diff != "" {
				t.Errorf("changes:\n%s", diff)
			}
			if diff := cmp.Diff(c.leftOut, got.LeftOut); diff != "" {
				t.Errorf("left out:\n%s", diff)
			}
			sameSet(t, got)
		})
	}
}

// sameSet checks that the native folder, with its format detected, has the same set.
func sameSet(t *testing.T, c *source.Converted) {
	t.Helper()
	again, err := source.Read(written(c), source.Options{})
	if err != nil {
		t.Fatalf("the native folder: %v", err)
	}
	if diff := cmp.Diff(c.Set.Versions(), again.Versions()); diff != "" {
		t.Errorf("versions:\n%s", diff)
	}
	for m := range c.Set.Each() {
		n, _ := again.Get(m.Version)
		for direction, pair := range map[string][2]*migration.Script{"up": {m.Up, n.Up}, "down": {m.Down, n.Down}} {
			was, is := pair[0], pair[1]
			switch {
			case (was == nil) != (is == nil):
				t.Errorf("%d %s: was missing: %t, is missing: %t", m.Version, direction, was == nil, is == nil)
			case was != nil:
				if was.NoTransaction != is.NoTransaction || was.LockTimeout != is.LockTimeout || was.Secret != is.Secret {
					t.Errorf("%d %s: directives %q became %q", m.Version, direction, was.Directives, is.Directives)
				}
				if differs := was.Checksum != is.Checksum; differs != textChanged(c, is.File) {
					t.Errorf("%s: the checksum differs: %t, Changes says %t", is.File, differs, !differs)
				}
			}
		}
	}
}

func textChanged(c *source.Converted, file string) bool {
	for _, change := range c.Changes {
		if change.File == file && change.Text {
			return true
		}
	}
	return false
}

func TestConvertRefuses(t *testing.T) {
	_, err := source.Convert(statements("0001_a.up.sql"), source.Options{})
	if err == nil || err.Error() != "the folder is in the native format already" {
		t.Errorf("got %v", err)
	}
}
