package source_test

import (
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/source"
)

// A comment that is nearly a directive is an error that shows the correct spelling. A comment that
// only mentions Whimbrel is allowed.
func TestDirectivesThatAreMisspelt(t *testing.T) {
	t.Parallel()
	const noTx = "-- whimbrel: no-transaction"
	for comment, want := range map[string]string{
		"-- whimbrel no-transaction":           noTx,
		"/* whimbrel: no-transaction */":       noTx,
		"/*whimbrel no-transaction*/":          noTx,
		"/*\n * whimbrel: no-transaction\n */": noTx,
		"-- whimbrel = no-transaction":         noTx,
		"-- whimbrel; no-transaction":          noTx,
		"-- @whimbrel no-transaction":          noTx,
		"-- +whimbrel NO TRANSACTION":          noTx,
		"---- whimbrel: no-transaction ----":   noTx,
		"# whimbrel: no-transaction":           noTx,
		"-- wimbrel: no-transaction":           noTx,
		"-- Whimbral: no_transaction":          noTx,
		"-- whimbrel notransaction":            noTx,
		"-- whimbrel lock timeout 2s":          "-- whimbrel: lock-timeout 2s",
		"-- whimbrel statement_timeout 1m":     "-- whimbrel: statement-timeout 1m",
		"-- whimbrel empty":                    "-- whimbrel: empty",
		"-- whimbrel: no_transaction":          `did you mean "no-transaction"?`,
		"-- Whimbrel: no transaction;":         `did you mean "no-transaction"?`,
		"-- whimbrel: lock-timout 2s":          `did you mean "lock-timeout 2s"?`,
		"-- whimbrel: unfinishd":               `did you mean "unfinished"?`,

		"--whimbrel:lock-timeout 2s":                                "",
		"-- whimbrel":                                               "",
		"-- Whimbrel runs this in a transaction":                    "",
		"-- whimbrel replaces 3 of the views":                       "",
		"-- whimbrel empties the table first":                       "",
		"-- whimbrel no-transaction is not needed here":             "",
		"-- we told whimbrel: no-transaction, see above":            "",
		"-- the script needs no-transaction":                        "",
		"-- Whimbrels: birds of passage":                            "",
		"/* whimbrel: what a bird */":                               "",
		"/* whimbrel.up.sql: no transaction, as ever, is needed */": "",
		"/* Made by whimbrel. No transaction. */":                   "",
		"-- no-transaction: no":                                     "",
		"-- timber: no-transaction":                                 "",
	} {
		for _, text := range []string{comment + "\n" + up, up + "\n" + comment + "\nSELECT 2;"} {
			_, err := source.Read(files("1_a.up.sql", text), source.Options{Format: source.Native})
			switch {
			case want == "" && err != nil && !strings.Contains(err.Error(), "move"):
				t.Errorf("%q: %v", text, err)
			case want != "" && (err == nil || !strings.Contains(err.Error(), want) && !strings.Contains(err.Error(), "move")):
				t.Errorf("%q: got %v, want %s", text, err, want)
			}
		}
		_, err := source.Read(files("1_a.up.sql", comment+"\n"+up), source.Options{Format: source.Native})
		if !strings.Contains(errorText(err), want) {
			t.Errorf("%q: got %v, want an error that contains %s", comment, err, want)
		}
		if want == "" && err != nil {
			t.Errorf("%q: %v", comment, err)
		}
	}
	_, err := source.Read(files("1_a.up.sql", "/* a licence\n\tä * whimbrel\n   whimbrel: no-transaction */\n"+up), source.Options{Format: source.Native})
	if want := "1_a.up.sql:3:4: this comment looks like a directive but is not one; if you mean it, write: -- whimbrel: no-transaction"; errorText(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
	_, err = source.Read(files("1_a.sql", "-- whimbrel no-transaction\n-- +goose Up\n"+up), source.Options{})
	if !strings.HasPrefix(errorText(err), "1_a.sql:1:1: this comment looks like a directive") {
		t.Errorf("before the first section: %v", err)
	}
}

// No tool reads a line that is nearly a marker: the statements below it would run with those above
// it. So it is an error.
func TestMarkersThatAreMisspelt(t *testing.T) {
	t.Parallel()
	goose := func(line string) string { return "-- +goose Up\nSELECT 1;\n" + line + "\nSELECT 2;\n" }
	dbmate := func(line string) string { return "-- migrate:up\nSELECT 1;\n" + line + "\nSELECT 2;\n" }
	tern := func(line string) string { return "SELECT 1;\n" + line + "\nSELECT 2;\n" }
	for _, c := range []struct {
		format source.Format
		text   func(string) string
		line   string
		want   string // "" for a comment
	}{
		{source.Goose, goose, "-- goose Down", "-- +goose Down"},
		{source.Goose, goose, "-- + goose Down", "-- +goose Down"},
		{source.Goose, goose, "-- +gose down", "-- +goose Down"},
		{source.Goose, goose, "-- goose: no transaction", "-- +goose NO TRANSACTION"},
		{source.Goose, goose, "-- +goose:Down", "-- +goose Down"},
		{source.Goose, goose, "-- +goose NO TRANSACTIONS", `did you mean "-- +goose NO TRANSACTION"?`},
		{source.Goose, goose, "-- +goose NO_TRANSACTION", `did you mean "-- +goose NO TRANSACTION"?`},
		{source.Goose, goose, "-- +goose Statement Begin", `did you mean "-- +goose StatementBegin"?`},
		{source.Goose, goose, "-- +goose dwn", `did you mean "-- +goose Down"?`},
		{source.Goose, goose, "-- goose downs are not run in production", ""},
		{source.Goose, goose, "-- a goose is no whimbrel", ""},
		{source.Goose, goose, "-- migrate:down", ""},
		{source.Dbmate, dbmate, "-- migrate:dwn", "-- migrate:down"},
		{source.Dbmate, dbmate, "-- migrate: down", "-- migrate:down"},
		{source.Dbmate, dbmate, "-- migrate down", "-- migrate:down"},
		{source.Dbmate, dbmate, "-- migrate-down transaction:false", "-- migrate:down"},
		{source.Dbmate, dbmate, "-- +migrate Down", "-- migrate:down"},
		{source.Dbmate, dbmate, "-- migrate:rollback", "-- migrate:down"},
		{source.Dbmate, dbmate, "-- migrate:down transaction=false", `unknown option "transaction=false"`},
		{source.Dbmate, dbmate, "-- migrate down the road", ""},
		{source.Dbmate, dbmate, "-- migrate users", ""},
		{source.Dbmate, dbmate, "-- migrate: us", ""},
		{source.Dbmate, dbmate, "-- goose Down", ""},
		{source.Tern, tern, "--- create above / drop below ---", "---- create above / drop below ----"},
		{source.Tern, tern, "-- Create above/drop below", "---- create above / drop below ----"},
		{source.Tern, tern, "---- create above / drop bellow ----", "---- create above / drop below ----"},
		{source.Tern, tern, "-- tern: disable-tx", "---- tern: disable-tx ----"},
		{source.Tern, tern, "---- tern:disable-tx ----", "---- tern: disable-tx ----"},
		{source.Tern, tern, "-- create above, and drop below the table", ""},
	} {
		_, err := source.Read(files("1_a.sql", c.text(c.line)), source.Options{Format: c.format})
		if got := errorText(err); c.want == "" && got != "" {
			t.Errorf("%s: %q: %s", c.format, c.line, got)
		} else if !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want a text containing %q", c.format, got, c.want)
		}
	}
	set, err := source.Read(files("1_a.up.sql", "-- no-transaction\n"+up, "2_b.up.sql", "-- migrate down\n-- goose Down\n"+up), source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Warnings()) != 1 {
		t.Fatalf("len(set.Warnings()) = %v, want 1", len(set.Warnings()))
	}
	if got, want := set.Warnings()[0].String(), "1_a.up.sql:1:1: this directive of sqlx has no effect here"; !strings.HasPrefix(got, want) {
		t.Errorf("set.Warnings()[0].String() = %q, want a text beginning with %q", got, want)
	}
	set, err = source.Read(files("1_a/up.sql", "--hasura: no-transaction\n"+up), source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Warnings()) != 1 {
		t.Fatalf("len(set.Warnings()) = %v, want 1", len(set.Warnings()))
	}
	if got, want := set.Warnings()[0].String(), "it has to be exactly"; !strings.Contains(got, want) {
		t.Errorf("set.Warnings()[0].String() = %q, want a text containing %q", got, want)
	}
}

func TestMarkersWithoutEndAreRefused(t *testing.T) {
	t.Parallel()
	_, err := source.Read(files("1_a.sql", strings.Repeat("-- migrate:up\n", 100_002)), source.Options{})
	if want := "1_a.sql:100002:1: the file has more than 100000 markers"; errorText(err) != want {
		t.Errorf("got %.100s", errorText(err))
	}
}
