package source_test

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
	"github.com/whimbrel-db/whimbrel/sqltext"
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

func TestSQLMigrate(t *testing.T) {
	testReadings(t, source.SQLMigrate, []reading{
		{
			name: "up and down, with statement markers, and text before the first section",
			files: files("20240131-a.sql", "-- a licence; with signs\n-- +migrate Up\n-- +migrate StatementBegin\nSELECT 1;\n-- +migrate StatementEnd\n\n"+
				"-- +migrate Down\nSELECT 2;\n"),
			want: `20240131 a
  up 20240131-a.sql:3 "-- +migrate StatementBegin\nSELECT 1;\n-- +migrate StatementEnd"
  down 20240131-a.sql:8 "SELECT 2;"`,
		},
		{
			name:  "down before up, lower case, CRLF, a byte-order mark, no final newline inside a comment",
			files: files("1_a.sql", "\ufeff-- +migrate down\r\nSELECT 2;\r\n--+MIGRATE up  \t\r\nSELECT 1 -- last"),
			want:  "1 a\n  up 1_a.sql:4 \"SELECT 1 -- last\"\n  down 1_a.sql:2 \"SELECT 2;\"",
		},
		{
			name: "notransaction is for its own section; numbers order the files, not texts",
			files: files("10_b.sql", "-- +migrate Up notransaction\nSELECT 1;\n-- +migrate Down\nSELECT 2;",
				"9.sql", "-- +migrate Up\nSELECT 1;\n-- +migrate Down notransaction\nSELECT 2;"),
			want: `9
  up 9.sql:2 "SELECT 1;"
  down 9.sql:4 [no-transaction] "SELECT 2;"
10 b
  up 10_b.sql:2 [no-transaction] "SELECT 1;"
  down 10_b.sql:4 "SELECT 2;"`,
		},
		{
			name: "what is wrong",
			files: files(
				"1_a.sql", up,
				"2_b.sql", up+"\n-- +migrate Up\n"+up,
				"3_c.sql", "-- +migrate Up\n"+up+"\n-- +migrate Down\n"+up+"\n-- +migrate Up\n"+up,
				"4_d.sql", "-- +migrate Up nontransaction\n"+up,
				"5_e.sql", "-- +migrate Up\n-- +migrate Statementbegin\n"+up,
				"6_f.sql", "-- +migrate Upp\n"+up,
				"7_g.sql", "-- +migrate Up\n"+up,
				"07-g.sql", "-- +migrate Up\n"+up,
				"users.sql", "-- +migrate Up\n"+up,
			),
			errors: `1_a.sql: has no line "-- +migrate Up"; write it above the statements
2_b.sql:1:1: a statement is before the first section, where nothing would run it
3_c.sql:5:1: a second up section, the first begins on line 1; join them, in the order in which they are to run
4_d.sql:1:1: unknown option "nontransaction"; the only valid option is notransaction
5_e.sql:2:1: "-- +migrate StatementBegin" without its StatementEnd
6_f.sql: has no line "-- +migrate Up"; write it above the statements
6_f.sql:1:1: unknown marker "-- +migrate upp"; valid markers: Up, Down, StatementBegin, StatementEnd; did you mean "-- +migrate Up"?
7_g.sql: version 7 is used twice: 07-g.sql and 7_g.sql; change the version of one
users.sql: has no version; sql-migrate runs such files last, in the order of their names; give it a number, such as 0001-users.sql`,
		},
	})
}

func TestSqlx(t *testing.T) {
	testReadings(t, source.Sqlx, []reading{
		{
			name: "single files beside pairs, whose names may differ",
			files: files("20240131093000_add_users.sql", up, "2_b.up.sql", up, "2_other.down.sql", "SELECT 2;", "3_c.sql", "-- no-transaction\r\n"+up,
				"4_d.up.sql", up, "4_d.down.sql", "-- Add down migration script here\n", "5_e.up.sql", up, "5_e.down.sql", "", "schema.sql", up, "README.md", "x"),
			want: `2 b
  up 2_b.up.sql "SELECT 1;"
  down 2_other.down.sql "SELECT 2;"
3 c
  up 3_c.sql [no-transaction] "-- no-transaction\r\nSELECT 1;"
4 d
  up 4_d.up.sql "SELECT 1;"
5 e
  up 5_e.up.sql "SELECT 1;"
  down 5_e.down.sql ""
20240131093000 add_users
  up 20240131093000_add_users.sql "SELECT 1;"`,
		},
		{
			name:     "a file that sqlx skips",
			files:    files("1_a.sql", up, "0002.sql", up),
			want:     "1 a\n  up 1_a.sql \"SELECT 1;\"",
			warnings: "0002.sql: sqlx skips this file, so it does not run; names look like 20240131093000_add_users.sql",
		},
		{
			name: "what is wrong",
			files: files("1_a.sql", up, "01_a.up.sql", up, "2_b.down.sql", up, "2024-01-31_c.sql", up, "all_users.sql", up,
				"99999999999999999999_x.sql", up),
			errors: `1_a.sql: version 1 is used twice: 01_a.up.sql and 1_a.sql; change the version of one
2024-01-31_c.sql: has no version: sqlx needs a number before the first underscore, not "2024-01-31"; names look like 20240131093000_add_users.sql
2_b.down.sql: this down script has no up script; add 2_b.up.sql, or remove this file
99999999999999999999_x.sql: the version 99999999999999999999 is too large; the largest is 9223372036854775807
all_users.sql: has no version: sqlx needs a number before the first underscore, not "all"; names look like 20240131093000_add_users.sql`,
		},
	})
}

func TestDiesel(t *testing.T) {
	testReadings(t, source.Diesel, []reading{
		{
			name: "20170804200817_x beside 2017-09-23-182408_x, the setup, and a side file",
			files: files("00000000000000_diesel_initial_setup/up.sql", up, "00000000000000_diesel_initial_setup/down.sql", up, "20170804200817_x/up.sql", up,
				"2017-09-23-182408_x/up.sql", up, "2017-09-23-182408_x/down.sql", "-- This file should undo anything in `up.sql`\n",
				"2017-09-23-182408_x/metadata.toml", "\ufeff# CONCURRENTLY\r\n  run_in_transaction = false # really\r\n", "diesel.toml", "x", ".gitkeep", ""),
			want: `0 diesel_initial_setup
  up 00000000000000_diesel_initial_setup/up.sql "SELECT 1;"
  down 00000000000000_diesel_initial_setup/down.sql "SELECT 1;"
20170804200817 x
  up 20170804200817_x/up.sql "SELECT 1;"
20170923182408 x
  up 2017-09-23-182408_x/up.sql [no-transaction] "SELECT 1;"`,
		},
		{
			name:  "versions that are ordered as texts",
			files: files("2_b/up.sql", up, "10_a/up.sql", up),
			errors: `10_a: Diesel compares versions as texts, and runs this before 2_b; as numbers, which count here, they are the other way round; ` +
				`give the versions the same number of digits`,
		},
		{
			name: "what is wrong",
			files: files("1_a/down.sql", up, "2_b/README.md", "x", "3x_c/up.sql", up, "4_d/up.sql", up, "4_d/metadata.toml", "\n  run_in_transaction = 0",
				"5_e/up.sql", up, "5_e/metadata.toml", "lock = true", "6_f/up.sql", up, "6_f/metadata.toml", "[a]", "users/up.sql", up),
			errors: `1_a/down.sql: this down script has no up script; add 1_a/up.sql, or remove this file
2_b: holds no migration; add an up.sql (with "-- whimbrel: empty" in it if there is nothing to run), or rename the folder so that it doesn't begin with a number
3x_c: its version has more than digits and dashes before the first underscore; Diesel orders it as a text, Whimbrel as the number 3; rename the folder
4_d/metadata.toml:2:3: run_in_transaction is neither true nor false: "0"
5_e/metadata.toml:1:1: unknown setting "lock"; the only one that is known is run_in_transaction
6_f/metadata.toml:1:1: is not a setting, which looks like NAME = VALUE
users: has no version: its name has to begin with a number, because Diesel orders folders by name; names look like 20240131093000_add_users`,
		},
	})
}

func TestPrisma(t *testing.T) {
	const lock = "# Please do not edit this file manually\r\nprovider = \"postgresql\""
	testReadings(t, source.Prisma, []reading{
		{
			name: "folders in the order of their names, with a down that Prisma's guide suggests",
			files: files("migration_lock.toml", lock, "0_init/migration.sql", up, "20240131093000_a b/migration.sql", "\ufeff-- This is an empty migration.",
				"20240201000000_c/migration.sql", up, "20240201000000_c/down.sql", "SELECT 2;", "20240201000000_c/README.md", "x", "docs/x.sql", up),
			opts: source.Options{Dialect: sqltext.PostgreSQL},
			want: `0 init
  up 0_init/migration.sql "SELECT 1;"
20240131093000 a b
  up 20240131093000_a b/migration.sql "-- This is an empty migration."
20240201000000 c
  up 20240201000000_c/migration.sql "SELECT 1;"
  down 20240201000000_c/down.sql "SELECT 2;"`,
		},
		{
			name:  "numbers in another order than names",
			files: files("20240131093000_a/migration.sql", up, "20240201_b/migration.sql", up),
			errors: `20240131093000_a: Prisma runs its folders in the order of their names, this before 20240201_b; their versions, which count here, ` +
				`are the other way round; give the versions the same number of digits`,
		},
		{
			name: "what is wrong",
			files: files("migration_lock.toml", lock, "1_a/migration.sql", up, "01_b/migration.sql", up, "2_c/down.sql", up, "init/migration.sql", up,
				"99999999999999999999_d/migration.sql", up),
			opts: source.Options{Dialect: sqltext.SQLite},
			errors: `1_a/migration.sql: version 1 is used twice: 01_b/migration.sql and 1_a/migration.sql; change the version of one
2_c: holds no migration.sql; add it, or rename the folder so that it doesn't begin with a number
99999999999999999999_d: the version 99999999999999999999 is too large; the largest is 9223372036854775807
init: has no version: its name has to begin with a number, because Prisma orders folders by name; names look like 20240131093000_add_users
migration_lock.toml:2:1: the scripts are for "postgresql", but the database is not`,
		},
		{
			name:   "a provider that nobody here can run",
			files:  files("migration_lock.toml", "provider = \"sqlserver\" # x", "1_a/migration.sql", up),
			errors: `migration_lock.toml:1:1: the scripts are for "sqlserver", which Whimbrel does not support`,
		},
	})
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format     source.Format
		name, text string
		want       string
	}{
		{source.Native, "0001_a.up.sql", up, ""},
		{source.Sqlx, "0001_a.sql", up, ""},
		{source.SQLMigrate, "0001-a.sql", "-- +migrate Up\n" + up, "0001-a.sql"},
		{source.Diesel, "2024-01-31-093000_a/up.sql", up, "20240131093000"},
		{source.Diesel, "00000000000000_a/up.sql", up, "00000000000000"},
		{source.Flyway, "V1_002__a.sql", up, "1.002"},
		{source.Prisma, "20240131093000_a_b/migration.sql", up, "20240131093000_a_b"},
	} {
		set, err := source.Read(files(c.name, c.text), source.Options{Format: c.format, Dir: "db"})
		if err != nil {
			t.Errorf("%s: %v", c.format, err)
			continue
		}
		got := ""
		if o := set.All()[0].Origin; o != nil {
			got = o.ID
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.format, got, c.want)
		}
	}
}

func TestFlyway(t *testing.T) {
	testReadings(t, source.Flyway, []reading{
		{
			name: "whole numbers, undo scripts, any depth, other files",
			files: files("V1__create_users.sql", up, "U1__drop users.sql", "SELECT 2;", "2024/01/V20240131093000__a.sql", up, "V003.sql", "\ufeffSELECT 3 -- last",
				"V4__b.SQL", "", "README.md", "x", "flyway.conf", "x", ".git/V9__x.sql", up),
			want: `1 create_users
  up V1__create_users.sql "SELECT 1;"
  down U1__drop users.sql "SELECT 2;"
3
  up V003.sql "SELECT 3 -- last"
4 b
  up V4__b.SQL ""
20240131093000 a
  up 2024/01/V20240131093000__a.sql "SELECT 1;"`,
		},
		{
			name:  "versions with dots, in Flyway's order",
			files: files("V1.10__d.sql", up, "V1_2__b.sql", up, "V1.2.1__c.sql", up, "V1__a.sql", up, "V2.0.0.0.0__e.sql", up, "V10.999.999.999__f.sql", up, "U1.2.0__b.sql", up),
			want: `1000000000 a
  up V1__a.sql "SELECT 1;"
1002000000 b
  up V1_2__b.sql "SELECT 1;"
  down U1.2.0__b.sql "SELECT 1;"
1002001000 c
  up V1.2.1__c.sql "SELECT 1;"
1010000000 d
  up V1.10__d.sql "SELECT 1;"
2000000000 e
  up V2.0.0.0.0__e.sql "SELECT 1;"
10999999999 f
  up V10.999.999.999__f.sql "SELECT 1;"`,
		},
		{
			name: "settings beside scripts",
			files: files("V1__a.sql", up, "V1__a.sql.conf", "# x\r\nexecuteInTransaction = FALSE\r\nencoding=utf-8\r\nshouldExecute=true",
				"V2__b.sql", "SELECT '${x}'", "V2__b.sql.conf", "placeholderReplacement=false", "V3__c.sql.conf", ""),
			want: `1 a
  up V1__a.sql [no-transaction] "SELECT 1;"
2 b
  up V2__b.sql "SELECT '${x}'"`,
			warnings: "V3__c.sql.conf: has the settings of no migration",
		},
		{
			name:  "placeholders, whatever the case of their names, and in comments",
			files: files("V1__a.sql", "-- ${OWNER}\nSELECT '${owner}', $$ ${flyway:user} $$, '$${owner}', '$x';", "U1__a.sql", "SELECT '${owner}'"),
			opts:  source.Options{Placeholders: map[string]string{"Owner": "it", "flyway:user": "${owner}"}},
			want: `1 a
  up V1__a.sql "-- it\nSELECT 'it', $$ ${owner} $$, '$it', '$x';"
  down U1__a.sql "SELECT 'it'"`,
		},
		{
			name:  "text that only looks like a template",
			files: files("V1__a.sql", "SELECT '${a2:username}', '{{orgname}}', '${'"),
			opts:  source.Options{NoPlaceholders: true},
			want:  "1 a\n  up V1__a.sql \"SELECT '${a2:username}', '{{orgname}}', '${'\"",
		},
		{
			name: "placeholders without a value",
			files: files("V1__a.sql", "SELECT 1;\n  SELECT 'é${x}', '${x}', '${flyway:defaultSchema}';\n-- ${y\nz}", "R__b.sql", "SELECT '${",
				"B1__c.sql", "SELECT ${}"),
			opts: source.Options{Placeholders: map[string]string{"z": ""}},
			errors: `B1__c.sql:1:8: the placeholder ${} has no value; give it one (Options.Placeholders), or say that ${…} is text (Options.NoPlaceholders)
R__b.sql:1:9: a placeholder begins here and does not end; if it is text, say so (Options.NoPlaceholders)
V1__a.sql:2:12: the placeholder ${x} has no value; give it one (Options.Placeholders), or say that ${…} is text (Options.NoPlaceholders)
V1__a.sql:2:28: the placeholder ${flyway:defaultSchema} has no value, because only Flyway sets it; give it one (Options.Placeholders), or say that ${…} is text (Options.NoPlaceholders)
V1__a.sql:3:4: the placeholder ${y…} has no value; give it one (Options.Placeholders), or say that ${…} is text (Options.NoPlaceholders)`,
		},
		{
			name: "what is wrong with names",
			files: files("V1_add_users.sql", up, "v2__x.sql", up, "R_views.sql", up, "V3__a.sql", up, "sub/V3.0__b.sql", up, "U9__x.sql", up,
				"V1..2__x.sql", up, "R1__x.sql", up, "V4__x.java", "x", "R__x.sh", "x", "beforeMigrate.sql", up, "sub/afterMigrate__grants.sql", up,
				"V1.2.3.4.5__x.sql", up, "V1.1000__x.sql", up, "V20240131093000__x.sql", up, "Values.sql", up, "0001_x.sql", up, "notes.py", "x"),
			errors: `R1__x.sql: is not named like a migration, and Flyway skips it; names look like V1.2__add_users.sql, R__views.sql
R__x.sh: is a migration that is not SQL, which can't be read from a file; give it as a function (Options.Funcs)
U9__x.sql: undoes version 9, which no V file has; add it, or remove this file
V1..2__x.sql: is not named like a migration, and Flyway skips it; names look like V1.2__add_users.sql, R__views.sql
V1.1000__x.sql: the version 1.1000 does not fit: a part behind the first dot is at most 999
V1.2.3.4.5__x.sql: the version 1.2.3.4.5 has 5 parts, and a version can have 4; rename the file
V1_add_users.sql: is not named like a migration, and Flyway skips it; did you mean V1__add_users.sql?
V20240131093000__x.sql: the version 20240131093000 does not fit: in a folder that has versions with dots, the first part is at most 9223372035
V4__x.java: is a migration that is not SQL, which can't be read from a file; give it as a function (Options.Funcs)
beforeMigrate.sql: is a callback of Flyway, which Whimbrel does not run; move what it does into a migration or a repeatable script, and remove it
sub/V3.0__b.sql: version 3000000000 is used twice: V3__a.sql and sub/V3.0__b.sql; change the version of one
sub/afterMigrate__grants.sql: is a callback of Flyway, which Whimbrel does not run; move what it does into a migration or a repeatable script, and remove it`,
		},
		{
			name:  "names that Flyway skips",
			files: files("V1__a.sql", up, "v2__x.sql", up, "Values.sql", up, "r__x.sql", up),
			want:  "1 a\n  up V1__a.sql \"SELECT 1;\"",
			warnings: `Values.sql: Flyway skips this file, so it does not run; names look like V1.2__add_users.sql, R__views.sql
r__x.sql: Flyway skips this file, so it does not run; did you mean R__x.sql?
v2__x.sql: Flyway skips this file, so it does not run; did you mean V2__x.sql?`,
		},
		{
			name: "what is wrong with settings",
			files: files("V1__a.sql", up, "V1__a.sql.conf", "executeInTransaction=no\nshouldExecute=false\n  encoding=latin1\nflyway.url=x\nplaceholders.a=b",
				"V2__b.sql", up, "V2__b.sql.conf", "executeInTransaction"),
			errors: `V1__a.sql.conf:1:1: executeInTransaction is neither true nor false: "no"
V1__a.sql.conf:2:1: shouldExecute=false would leave the script out, which Whimbrel can't do; remove the script, or mark it as one without statements
V1__a.sql.conf:3:3: the encoding "latin1" can't be read; save the script as UTF-8
V1__a.sql.conf:4:1: the setting "flyway.url" has no meaning here; valid settings: executeInTransaction, placeholderReplacement, encoding, shouldExecute
V1__a.sql.conf:5:1: the setting "placeholders.a" has no meaning here; valid settings: executeInTransaction, placeholderReplacement, encoding, shouldExecute
V2__b.sql.conf:1:1: is not a setting, which looks like NAME = VALUE`,
		},
		{
			name:     "repeatable scripts in another order",
			files:    files("R__a_b.sql", up, "R__aB.sql", up, "R__ab.sql", up),
			warnings: "R__a_b.sql: Flyway runs this before R__aB.sql, and Whimbrel after it, because Flyway takes underscores for blanks",
		},
	})
}

func TestFlywayBesides(t *testing.T) {
	t.Parallel()
	read := func(value string) *migration.Set {
		set, err := source.Read(files("V1.1__a.sql", "SELECT '${x}'", "B1.1__schema.sql", "SELECT '${x}'", "sub/R__views_of_${x}.sql", "SELECT '${x}'", "R__b.sql", up),
			source.Options{Placeholders: map[string]string{"x": value}})
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	a, b := read("a"), read("b")
	ma, _ := a.Get(1_001_000_000)
	mb, _ := b.Get(1_001_000_000)
	if ma.Up.Checksum != mb.Up.Checksum || ma.Up.Checksum != migration.Sum("SELECT '${x}'") {
		t.Error("the checksum of a versioned script is not that of the text in the file")
	}
	if got := ma.Origin; got == nil || got.ID != "1.1" {
		t.Errorf("ma.Origin = %v", got)
	}
	base, ok := a.Baseline(1_001_000_000)
	if !ok || base.Origin == nil || base.Origin.ID != "1.1" || base.Name != "schema" {
		t.Errorf("the baseline is %+v", base)
	}
	ra, rb := a.Repeatables(), b.Repeatables()
	if len(ra) != 2 || ra[0].Name != "b" || ra[1].Name != "views_of_${x}" {
		t.Fatalf("the repeatable scripts are %v", ra)
	}
	if ra[1].Script.Checksum == rb[1].Script.Checksum || ra[1].Script.Checksum != migration.Sum("SELECT 'a'") {
		t.Error("the checksum of a repeatable script is not that of the text with its values")
	}
}

func TestPlaceholderError(t *testing.T) {
	t.Parallel()
	_, err := source.Read(files("V1__a.sql", "SELECT\n'${Owner}'"), source.Options{Dir: "db"})
	var missing *source.PlaceholderError
	if !errors.As(err, &missing) || missing.Name != "Owner" {
		t.Errorf("got %v", err)
	}
	if want := "db/V1__a.sql:2:2: the placeholder ${Owner} has no value; give it one (Options.Placeholders), or say that ${…} is text (Options.NoPlaceholders)"; errorText(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestOrderIsTheToolsOwn reads random folders: those that are no error have the order of the tool.
func TestOrderIsTheToolsOwn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format  source.Format
		name    func(version string) string
		text    string
		compare func(a, b string) int // of names
	}{
		{source.SQLMigrate, func(v string) string { return v + "-x.sql" }, "-- +migrate Up\n" + up, byNumber},
		{source.Sqlx, func(v string) string { return v + "_x.sql" }, up, byNumber},
		{source.Diesel, func(v string) string { return v + "_x/up.sql" }, up, func(a, b string) int {
			version := func(name string) string {
				version, _, _ := strings.Cut(name, "_")
				return strings.ReplaceAll(version, "-", "")
			}
			return strings.Compare(version(a), version(b))
		}},
		{source.Prisma, func(v string) string { return v + "_x/migration.sql" }, up, strings.Compare},
		{source.Drizzle, func(v string) string { return v + "_x/migration.sql" }, up, strings.Compare},
		{source.Atlas, func(v string) string { return v + "_x.sql" }, "-- atlas:sum ignore\n" + up, strings.Compare},
		{source.Liquibase, func(v string) string { return v + "_x.sql" }, head + "--changeset a:1\n" + up, strings.Compare},
		{source.Flyway, func(v string) string { return "V" + v + "__x.sql" }, up, func(a, b string) int {
			version := func(name string) (parts []int) {
				text, _, _ := strings.Cut(name[len("V"):], "__")
				for p := range strings.SplitSeq(strings.ReplaceAll(text, "_", "."), ".") {
					n, _ := strconv.Atoi(p)
					parts = append(parts, n)
				}
				for len(parts) > 0 && parts[len(parts)-1] == 0 {
					parts = parts[:len(parts)-1]
				}
				return parts
			}
			return slices.Compare(version(a), version(b))
		}},
	} {
		t.Run(string(c.format), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(1, 2))
			good := 0
			for range 400 {
				folder := fstest.MapFS{}
				for range 1 + rng.IntN(6) {
					folder[c.name(randomVersion(rng, c.format))] = &fstest.MapFile{Data: []byte(c.text)}
				}
				set, err := source.Read(folder, source.Options{Format: c.format})
				if err != nil {
					continue
				}
				good++
				var got []string
				for _, m := range set.All() {
					got = append(got, m.Up.File)
				}
				if len(got) != len(folder) {
					t.Fatalf("%d of %d migrations are in the set", len(got), len(folder))
				}
				if !slices.IsSortedFunc(got, c.compare) {
					t.Fatalf("the order is %v", got)
				}
			}
			if good < 100 {
				t.Errorf("only %d folders could be read", good)
			}
		})
	}
}

// byNumber compares the numbers at the beginning of names.
func byNumber(a, b string) int {
	number := func(name string) int {
		n, _ := strconv.Atoi(name[:strings.IndexAny(name, "-_")])
		return n
	}
	return cmp.Compare(number(a), number(b))
}

// randomVersion returns a version as people write them.
func randomVersion(rng *rand.Rand, format source.Format) string {
	switch day := 1 + rng.IntN(28); {
	case format == source.Flyway && rng.IntN(2) == 0:
		var parts []string
		for range 1 + rng.IntN(4) {
			parts = append(parts, fmt.Sprintf("%0*d", 1+rng.IntN(3), rng.IntN([]int{3, 12, 1000}[rng.IntN(3)])))
		}
		return strings.Join(parts, []string{".", "_"}[rng.IntN(2)])
	case rng.IntN(2) == 0:
		return fmt.Sprintf("%0*d", 1+rng.IntN(5), rng.IntN([]int{3, 12, 20000}[rng.IntN(3)]))
	case format == source.Diesel && rng.IntN(2) == 0:
		return fmt.Sprintf("2024-01-%02d-093000", day)
	default:
		return fmt.Sprintf("202401%02d093000", day)
	}
}
