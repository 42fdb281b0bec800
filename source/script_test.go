package source_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

func TestReadScript(t *testing.T) {
	const text = "-- whimbrel: secret\n-- whimbrel: lock-timeout 3s\nSELECT 1;\n"
	s, err := source.ReadScript("up.sql", []byte(text), sqltext.PostgreSQL)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Secret || s.LockTimeout != 3*time.Second || s.File != "up.sql" || s.Checksum != migration.Sum(text) {
		t.Errorf("got %+v, want the directives, the name and the checksum", s)
	}
	s, err = source.ReadScript("up.sql", []byte("-- hasura:no-transaction\nVACUUM"), sqltext.PostgreSQL)
	if err != nil || !s.NoTransaction {
		t.Errorf("got %+v, %v, want NoTransaction", s, err)
	}
	for _, empty := range []string{"", "-- nothing"} {
		if s, err := source.ReadScript("up.sql", []byte(empty), sqltext.PostgreSQL); err != nil || s.Problem != nil {
			t.Errorf("%q: got %+v, %v, want a script that does nothing", empty, s, err)
		}
	}
	for text, want := range map[string]string{
		"-- whimbrel: secrets\nSELECT 1":    `x/y.sql:1:1: unknown directive "secrets"`,
		"SELECT 1;\n-- whimbrel: secret\n":  `x/y.sql:2:1: directives must come before the first statement; move "-- whimbrel: secret" up`,
		"\xff":                              "x/y.sql:1:1: byte 0xff is not UTF-8",
		"-- whimbrel: replaces 1 sha256:00": "x/y.sql:1:1: ",
	} {
		_, err := source.ReadScript("x/y.sql", []byte(text), sqltext.PostgreSQL)
		var problem *source.Error
		if !errors.As(err, &problem) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
	s, err = source.ReadScript("x/y.sql", []byte("-- whimbrel: unfinished\nSELECT 1"), sqltext.PostgreSQL)
	if err != nil || s.Problem == nil || !strings.HasPrefix(s.Problem.Error(), "x/y.sql:1:1: ") {
		t.Errorf("got %+v, %v, want a Problem with its place", s, err)
	}
}
