package source_test

import (
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
)

func TestGoose(t *testing.T) {
	env := func(name string) (string, bool) {
		v, ok := map[string]string{"SCHEMA": "ops", "NONE": "", "ROW": "a$b"}[name]
		return v, ok
	}
	testReadings(t, source.Goose, []reading{
		{
			name: "up and down, with statement markers, which stay in the text as comments",
			files: files("00001_a.sql", "-- a licence; with signs\n\n-- +goose Up\n-- +goose StatementBegin\nSELECT 1;\n-- +goose StatementEnd\n\n"+
				"-- +goose Down\nSELECT 2;\n"),
			want: `1 a
  up 00001_a.sql:4 "-- +goose StatementBegin\nSELECT 1;\n-- +goose StatementEnd"
  down 00001_a.sql:9 "SELECT 2;"`,
		},
		{
			name:  "down before up in one file",
			files: files("1_a.sql", "-- +goose Down\nSELECT 2;\n-- +goose Up\nSELECT 1;\n"),
			want:  "1 a\n  up 1_a.sql:4 \"SELECT 1;\"\n  down 1_a.sql:2 \"SELECT 2;\"",
		},
		{
			name:  "lower-case and trailing-blank variants of directives, CRLF, no blank",
			files: files("1_a.sql", "-- +goose up  \t\r\nSELECT 1;\r\n--+GOOSE DOWN\r\nSELECT 2;"),
			want:  "1 a\n  up 1_a.sql:2 \"SELECT 1;\"\n  down 1_a.sql:4 \"SELECT 2;\"",
		},
		{
			name:  "files with no down section are irreversible",
			files: files("1_a.sql", "-- +goose Up\nSELECT 1;"),
			want:  "1 a\n  up 1_a.sql:2 \"SELECT 1;\"",
		},
		{
			name:  "NO TRANSACTION is for both sections, wherever it is",
			files: files("1_a.sql", "-- +goose NO TRANSACTION\n-- +goose Up\nSELECT 1;\n-- +goose Down", "2_b.sql", "-- +goose Up\n-- +goose no transaction\nSELECT 1;"),
			want: `1 a
  up 1_a.sql:3 [no-transaction] "SELECT 1;"
  down 1_a.sql:5 [no-transaction] ""
2 b
  up 2_b.sql:2 [no-transaction] "-- +goose no transaction\nSELECT 1;"`,
		},
		{
			name:  "Whimbrel's directives stand in the head of a section",
			files: files("1_a.sql", "-- +goose Up\n-- whimbrel: lock-timeout 3s\nSELECT 1;", "2_b.sql", "-- +goose Up\n-- whimbrel: empty\n-- +goose Down"),
			want: `1 a
  up 1_a.sql:2 [lock-timeout 3s] "-- whimbrel: lock-timeout 3s\nSELECT 1;"
2 b
  up 2_b.sql:2 [empty] "-- whimbrel: empty"
  down 2_b.sql:4 ""`,
		},
		{
			name:  "what goose passes over: files without a number, Go that is no migration",
			files: files("1_a.sql", "-- +goose Up\nSELECT 1;", "schema.sql", up, "README.md", "x", "main.go", "x", "2_b_test.go", "x"),
			want:  "1 a\n  up 1_a.sql:2 \"SELECT 1;\"",
		},
		{
			name:  "a marker inside a statement is a comment to the splitter",
			files: files("1_a.sql", "-- +goose Up\nSELECT '\n-- whimbrel: x\n-- +goose StatementBegin\n-- +goose StatementEnd\n-- whimbrel: y\n';"),
			want: `1 a
  up 1_a.sql:2 "SELECT '\n-- whimbrel: x\n-- +goose StatementBegin\n-- +goose StatementEnd\n-- whimbrel: y\n';"`,
		},
		{
			name: "what is wrong inside a file",
			files: files(
				"1_a.sql", up+"\n-- +goose Up\n"+up,
				"2_b.sql", "-- +goose Upp\n"+up,
				"3_c.sql", "-- +goose Up\n-- +goose StatementBegin\n"+up+"\n-- +goose Down\n-- +goose StatementEnd",
				"4_d.sql", "-- +goose StatementBegin\n-- +goose StatementEnd\n-- +goose Up\n"+up+"\n-- +goose StatementBegin\n-- +goose StatementBegin",
				"5_e.sql", "-- +goose Up\n"+up+"\n-- +goose Up\n"+up,
				"6_f.sql", "-- +goose Up\n-- nothing\n-- +goose Down\n",
				"7_g.sql", "-- +goose Up\n-- +goose ENVSUB ON\n"+up,
				"8_h.sql", "-- whimbrel: no-transaction\n-- +goose Up\n"+up,
			),
			errors: `1_a.sql:1:1: a statement is before the first section, where nothing would run it
2_b.sql: has no line "-- +goose Up"; write it above the statements
2_b.sql:1:1: unknown marker "-- +goose upp"; valid markers: Up, Down, StatementBegin, StatementEnd, NO TRANSACTION, ENVSUB ON, ENVSUB OFF; did you mean "-- +goose Up"?
3_c.sql:2:1: "-- +goose StatementBegin" without its StatementEnd before line 4
3_c.sql:5:1: "-- +goose StatementEnd" without its StatementBegin
4_d.sql:1:1: "-- +goose StatementBegin" is before "-- +goose Up"
4_d.sql:5:1: "-- +goose StatementBegin" without its StatementEnd before line 6
4_d.sql:6:1: "-- +goose StatementBegin" without its StatementEnd
5_e.sql:3:1: a second up section, the first begins on line 1; join them, in the order in which they are to run
7_g.sql:2:1: "-- +goose ENVSUB ON" needs values from the environment, which Whimbrel does not read; give them with Options.Expand, or write them into the file
8_h.sql:1:1: a directive must be in its section; move "-- whimbrel: no-transaction" down`,
		},
		{
			name:  "what is wrong with names",
			files: files("0_a.sql", "-- +goose Up\n"+up, "1-b.sql", up, "2_c.sql", "-- +goose Up\n"+up, "02_d.sql", "-- +goose Up\n"+up, "3_e.go", "x", "4.sql", up, "99999999999999999999_x.sql", up),
			errors: `0_a.sql: has version 0; goose counts from 1
1-b.sql: is not named like a migration; names look like 00001_add_users.sql
2_c.sql: version 2 is used twice: 02_d.sql and 2_c.sql; change the version of one
3_e.go: is a migration written in Go, which can't be read from a file; give version 3 as a function (Options.Funcs)
4.sql: is not named like a migration; names look like 00001_add_users.sql
99999999999999999999_x.sql: the version 99999999999999999999 is too large; the largest is 9223372036854775807`,
		},
		{
			name:  "a Go migration that is given as a function",
			files: files("1_a.sql", "-- +goose Up\n"+up, "2_b.go", "package x"),
			opts:  source.Options{Funcs: []migration.Migration{{Version: 2, Name: "b", Up: migration.Func("b", func() {})}}},
			want:  "1 a\n  up 1_a.sql:2 \"SELECT 1;\"\n2 b\n  up b \"(Go)\"",
		},
		{
			name: "variables, between ENVSUB ON and OFF only",
			files: files("1_a.sql", "-- +goose Up\nSELECT '$SCHEMA';\n-- +goose ENVSUB ON\nSELECT '${SCHEMA}', '$SCHEMA.x', '${NONE:-d}', '${NONE-d}', '${X:-${Y-e}}', $$ $1 $f$ $ROW $f$ $$;\n"+
				"-- +goose Down\nDROP SCHEMA $SCHEMA;\n-- +goose ENVSUB OFF\nSELECT '$SCHEMA';"),
			opts: source.Options{Expand: env},
			want: `1 a
  up 1_a.sql:2 "SELECT '$SCHEMA';\n-- +goose ENVSUB ON\nSELECT 'ops', 'ops.x', 'd', '', 'e', $$ $1 $f$ a$b $f$ $$;"
  down 1_a.sql:6 "DROP SCHEMA ops;\n-- +goose ENVSUB OFF\nSELECT '$SCHEMA';"`,
		},
		{
			name:  "variables that have no value",
			files: files("1_a.sql", "-- +goose ENVSUB ON\n-- +goose Up\nSELECT $A;\nSELECT ${B?say which};\nSELECT ${SCHEMA:1:2};\nSELECT ${C"),
			opts:  source.Options{Expand: env},
			errors: `1_a.sql:3:1: the variable A is not set, and has no default
1_a.sql:4:1: the variable B is not set: say which
1_a.sql:5:1: ${SCHEMA:1:2} can't be expanded; there are ${SCHEMA}, ${SCHEMA:-default}, ${SCHEMA-default} and ${SCHEMA?message}
1_a.sql:6:1: ${C has no closing brace on its line`,
		},
	})
}

func TestGooseChecksumIsOfTheTextInTheFile(t *testing.T) {
	t.Parallel()
	sum := func(value string) migration.Checksum {
		set, err := source.Read(files("1_a.sql", "-- +goose Up\n-- +goose ENVSUB ON\nSELECT '$X';"),
			source.Options{Expand: func(string) (string, bool) { return value, true }})
		if err != nil {
			t.Fatal(err)
		}
		m, _ := set.Get(1)
		return m.Up.Checksum
	}
	if got, want := sum("a"), sum("b"); got != want {
		t.Errorf("sum(\"a\") = %v, want %v", got, want)
	}
	if got, want := sum("a"), migration.Sum("-- +goose ENVSUB ON\nSELECT '$X';"); got != want {
		t.Errorf("sum(\"a\") = %v, want %v", got, want)
	}
}

func TestDbmate(t *testing.T) {
	testReadings(t, source.Dbmate, []reading{
		{
			name:  "up and down",
			files: files("20240131093000_a.sql", "-- licence;\n-- migrate:up\nSELECT 1;\n\n-- migrate:down\nSELECT 2;\n"),
			want: `20240131093000 a
  up 20240131093000_a.sql:3 "SELECT 1;"
  down 20240131093000_a.sql:6 "SELECT 2;"`,
		},
		{
			name: "transaction:false, for its own section",
			files: files("1_a.sql", "-- migrate:up transaction:false \r\nSELECT 1;\n--\tmigrate:down\nSELECT 2;",
				"2_b.sql", "-- migrate:up transaction:true\nSELECT 1;\n-- migrate:down transaction:false\nSELECT 2;"),
			want: `1 a
  up 1_a.sql:2 [no-transaction] "SELECT 1;"
  down 1_a.sql:4 "SELECT 2;"
2 b
  up 2_b.sql:2 "SELECT 1;"
  down 2_b.sql:4 [no-transaction] "SELECT 2;"`,
		},
		{
			name:  "names are digits and whatever follows; files without a number are passed over",
			files: files("1.sql", "-- migrate:up\n"+up, "2x.sql", "-- migrate:up\n"+up, "3-y.sql", "-- migrate:up\n"+up, "schema.sql", up),
			want:  "1\n  up 1.sql:2 \"SELECT 1;\"\n2 x\n  up 2x.sql:2 \"SELECT 1;\"\n3 y\n  up 3-y.sql:2 \"SELECT 1;\"",
		},
		{
			name: "what is wrong",
			files: files(
				"1_a.sql", up,
				"2_b.sql", up+"\n-- migrate:up\n"+up,
				"3_c.sql", "-- migrate:down\n"+up+"\n-- migrate:up\n"+up,
				"4_d.sql", "-- migrate:up transaction:flase env:test\n"+up,
				"5_e.sql", "-- migrate:up\n"+up+"\n-- migrate:down\n"+up+"\n-- migrate:up\n"+up+"\n-- migrate:down\n"+up,
				"6_f.sql", "-- migrate:up\n\n\n-- migrate:down\n\n",
			),
			errors: `1_a.sql: has no line "-- migrate:up"; write it above the statements
2_b.sql:1:1: a statement is before the first section, where nothing would run it
3_c.sql:1:1: "-- migrate:down" is before "-- migrate:up", which dbmate refuses; put up first
4_d.sql:1:1: unknown option "transaction:flase"; valid options: transaction:false, transaction:true
4_d.sql:1:1: unknown option "env:test"; valid options: transaction:false, transaction:true
5_e.sql:5:1: a second up section, the first begins on line 1; join them, in the order in which they are to run
5_e.sql:7:1: a second down section, the first begins on line 3; join them, in the order in which they are to run`,
		},
	})
}

func TestTern(t *testing.T) {
	const separator = "---- create above / drop below ----"
	testReadings(t, source.Tern, []reading{
		{
			name:  "up above, down below, and files with no down",
			files: files("001_a.sql", "SELECT 1;\n\n"+separator+" \r\n\nSELECT 2;\n", "002_b.sql", "SELECT 3;\n", "003_c.sql", "SELECT 4;\n"+separator+"\n\n"),
			want: `1 a
  up 001_a.sql:1 "SELECT 1;"
  down 001_a.sql:4 "\nSELECT 2;"
2 b
  up 002_b.sql:1 "SELECT 3;"
3 c
  up 003_c.sql:1 "SELECT 4;"`,
		},
		{
			name:  "disable-tx is for its own section",
			files: files("001_a.sql", "---- tern: disable-tx ----\nSELECT 1;\n"+separator+"\nSELECT 2;", "002_b.sql", "SELECT 1;\n"+separator+"\n---- tern: disable-tx ----\nSELECT 2;"),
			want: `1 a
  up 001_a.sql:1 [no-transaction] "---- tern: disable-tx ----\nSELECT 1;"
  down 001_a.sql:4 "SELECT 2;"
2 b
  up 002_b.sql:1 "SELECT 1;"
  down 002_b.sql:3 [no-transaction] "---- tern: disable-tx ----\nSELECT 2;"`,
		},
		{
			name:  "braces in literals and comments are data; tern.conf, templates and gaps are fine",
			files: files("001_a.sql", "SELECT '{{1,2}}', $$ {{orgname}} $$; -- {{x}}", "003_b.sql", up, "tern.conf", "x", "shared/v1.sql", "{{.}}"),
			want:  "1 a\n  up 001_a.sql:1 \"SELECT '{{1,2}}', $$ {{orgname}} $$; -- {{x}}\"\n3 b\n  up 003_b.sql:1 \"SELECT 1;\"",
		},
		{
			name: "what is wrong",
			files: files(
				"001_a.sql", "SELECT 1;\nSELECT {{.schema}};\n"+separator+"\n {{ template \"x\" }}",
				"002_b.sql", up+"\n"+separator+"\n"+up+"\n"+separator+"\n"+up,
				"003.sql", up,
				"004_d.sql", separator+"\n"+up,
			),
			errors: `001_a.sql:2:8: this is a template, which Whimbrel does not render; write its result instead
001_a.sql:4:2: this is a template, which Whimbrel does not render; write its result instead
002_b.sql:4:1: a second line "---- create above / drop below ----", the first is line 2; remove one
003.sql: is not named like a migration; names look like 001_add_users.sql`,
		},
	})
}

func TestHasura(t *testing.T) {
	testReadings(t, source.Hasura, []reading{
		{
			name: "folders, and the older files beside them",
			files: files("1600000000000_a/up.sql", up, "1600000000000_a/down.sql", "SELECT 2;", "1600000000001_b/up.sql", "-- hasura:no-transaction\r\n"+up,
				"3_c.up.sql", up, "3_c.down.sql", up, "README.md", "x"),
			want: `3 c
  up 3_c.up.sql "SELECT 1;"
  down 3_c.down.sql "SELECT 1;"
1600000000000 a
  up 1600000000000_a/up.sql "SELECT 1;"
  down 1600000000000_a/down.sql "SELECT 2;"
1600000000001 b
  up 1600000000001_b/up.sql [no-transaction] "-- hasura:no-transaction\r\nSELECT 1;"`,
		},
		{
			name:     "the no-transaction line has to be exact, and the first",
			files:    files("1_a/up.sql", "-- a\n-- hasura:no-transaction\n"+up, "2_b/up.sql", "--hasura:no-transaction\n"+up),
			warnings: `2_b/up.sql:1:1: Hasura takes this for a comment: it has to be exactly "-- hasura:no-transaction"`,
			want:     "1 a\n  up 1_a/up.sql \"-- a\\n-- hasura:no-transaction\\nSELECT 1;\"\n2 b\n  up 2_b/up.sql \"--hasura:no-transaction\\nSELECT 1;\"",
		},
		{
			name: "the no-transaction flag in a side file (metadata.toml), not in the SQL",
			files: files("1_a/up.sql", up, "1_a/down.sql", up, "1_a/metadata.toml", "# x\nrun_in_transaction = false # really\n",
				"2_b/up.sql", up, "2_b/metadata.toml", "other = 1\nrun_in_transaction=true"),
			want: `1 a
  up 1_a/up.sql [no-transaction] "SELECT 1;"
  down 1_a/down.sql [no-transaction] "SELECT 1;"
2 b
  up 2_b/up.sql "SELECT 1;"`,
		},
		{
			name:  "20170804200817_x beside 2017-09-23-182408_x: only the digits count",
			files: files("20170804200817_x/up.sql", up, "2017-09-23-182408_x/up.sql", up),
			want:  "20170804200817 x\n  up 20170804200817_x/up.sql \"SELECT 1;\"\n20170923182408 x\n  up 2017-09-23-182408_x/up.sql \"SELECT 1;\"",
		},
		{
			name: "a down that Hasura could not generate is none; an empty one is one; metadata is passed over",
			files: files("1_a/up.sql", up, "1_a/down.sql", "-- Could not auto-generate a down migration.\n-- Please write one for:\n-- create view x;\n",
				"2_b/up.sql", up, "2_b/down.sql", "", "2_b/up.yaml", "- type: track_table"),
			want: "1 a\n  up 1_a/up.sql \"SELECT 1;\"\n2 b\n  up 2_b/up.sql \"SELECT 1;\"\n  down 2_b/down.sql \"\"",
		},
		{
			name: "what is wrong",
			files: fstest.MapFS{
				"1_a/down.sql":      {Data: []byte(up)},
				"2_b/up.sql":        {Data: []byte(up)},
				"2_b/up.yaml":       {Data: []byte("- type: run_sql")},
				"3_c/up.yaml":       {Data: []byte("- type: track_table")},
				"4_d/up.sql":        {Mode: fs.ModeDir},
				"5_e/up.sql":        {Data: []byte(up)},
				"05_f/up.sql":       {Data: []byte(up)},
				"6_g/up.sql":        {Data: []byte(up)},
				"6_g/metadata.toml": {Data: []byte("run_in_transaction = 0")},
				"7_h.sql":           {Data: []byte(up)},
				"8_i/up.sql":        {Data: []byte("")},
			},
			errors: `1_a/down.sql: this down script has no up script; add 1_a/up.sql, or remove this file
2_b/up.yaml: has SQL in it (run_sql), which can't be read from YAML; move it to the .sql file beside it
3_c: holds no migration; add an up.sql (with "-- whimbrel: empty" in it if there is nothing to run), or rename the folder so that it doesn't begin with a number
4_d: holds no migration; add an up.sql (with "-- whimbrel: empty" in it if there is nothing to run), or rename the folder so that it doesn't begin with a number
4_d/up.sql: is a folder; a migration has to be a file
5_e/up.sql: version 5 is used twice: 05_f/up.sql and 5_e/up.sql; change the version of one
6_g/metadata.toml: run_in_transaction is neither true nor false: run_in_transaction = 0
7_h.sql: is not named like a migration; it has to say whether it is up or down: 7_h.up.sql`,
		},
	})
}
