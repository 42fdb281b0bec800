package source_test

import (
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/source"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Comments nest in PostgreSQL, and nowhere else.
func TestCommentsWithASlashAndAStar(t *testing.T) {
	const (
		directive = "/* see db/*.sql for the others */\n-- whimbrel: no-transaction\nCREATE TABLE a(x);"
		closed    = "/* one/*.sql */\n-- whimbrel: no-transaction\nCREATE TABLE a(x); -- the end */"
		nested    = "/* a /* b */ c */\n-- whimbrel: no-transaction\nCREATE TABLE a(x);"
		plain     = "/* a */\n-- whimbrel: no-transaction\nCREATE TABLE a(x); /* b */"
		slash     = "/* a /*/\n-- whimbrel: no-transaction\nCREATE TABLE a(x);"
	)
	const (
		ok      = "no transaction"
		unclear = "no such directive here" // the script is in a comment, or in one that does not end
	)
	for _, c := range []struct {
		text                               string
		postgres, sqlite, mysql, noDialect string
	}{
		{directive, unclear, ok, ok, ok},
		{closed, unclear, ok, ok, unclear},
		{nested, ok, "moved", "moved", ok}, // elsewhere "c" is a statement
		{plain, ok, ok, ok, ok},
		{slash, unclear, ok, ok, ok},
	} {
		for d, want := range map[sqltext.Dialect]string{
			sqltext.PostgreSQL: c.postgres, sqltext.SQLite: c.sqlite, sqltext.MySQL: c.mysql, 0: c.noDialect,
		} {
			set, err := source.Read(folder("1_a.up.sql", c.text), source.Options{Dialect: d})
			got := unclear
			switch {
			case err != nil && strings.Contains(err.Error(), "looks like a directive but is not one"):
				got = unclear
			case err != nil && strings.Contains(err.Error(), "move"):
				got = "moved"
			case err != nil:
				got = err.Error()
			default:
				if m, _ := set.Get(1); m.Up.NoTransaction {
					got = ok
				}
			}
			if got != want {
				t.Errorf("%v: %q: %s, want %s", d, c.text, got, want)
			}
		}
	}
}

// The sections of a file are read on their own: what a comment hides in one does not reach into the
// next.
func TestCommentsWithASlashAndAStarInSections(t *testing.T) {
	goose := "-- +goose Up\n/* was in old/*.sql */\nCREATE TABLE a(x);\n-- +goose Down\nDROP TABLE a;\n"
	dbmate := "-- migrate:up\n/* a/*.sql */\n-- whimbrel: no-transaction\nSELECT 1;\n-- migrate:down\n/* b/*.sql */\n-- whimbrel: lock-timeout 2s\nSELECT 2;\n"
	for _, d := range []sqltext.Dialect{sqltext.SQLite, sqltext.MySQL, 0} {
		for _, text := range []string{goose, dbmate} {
			set, err := source.Read(folder("1_a.sql", text), source.Options{Dialect: d})
			if err != nil {
				t.Errorf("%v: %v", d, err)
				continue
			}
			m, _ := set.Get(1)
			if m.Down == nil {
				t.Errorf("%v: %q has no down script", d, text)
				continue
			}
			if text != dbmate {
				continue
			}
			if got := m.Up.Directives.String(); got != "no-transaction" {
				t.Errorf("%v: the up script's directives are %q", d, got)
			}
			if got := m.Down.Directives.String(); got != "lock-timeout 2s" {
				t.Errorf("%v: the down script's directives are %q", d, got)
			}
		}
	}
}
