package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"os"
	"strings"
	"testing"
	"unicode"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// hostile contains what must not reach a terminal: escape sequences, other controls, signs that
// turn the direction of writing or have no width, line ends of other kinds.
const hostile = "a\x1b[31mb\x07\u009b2J\u202ec\u2066d\u200be\u061cf\u2028g\x7fh\u200e"

// asIdentifier is hostile as a quoted identifier of at most 63 bytes.
const asIdentifier = `"` + hostile + `"`

func unfitIn(text string) string {
	i := strings.IndexFunc(text, func(r rune) bool {
		return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp))
	})
	if i < 0 {
		return ""
	}
	return text[max(0, i-60):min(len(text), i+20)]
}

// TestNothingHostileIsShown puts hostile texts everywhere a text can come from, and runs the
// commands that show them.
func TestNothingHostileIsShown(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) { nothingHostile(t, kind) })
	}
}

func nothingHostile(t *testing.T, kind string) {
	t.Chdir(t.TempDir())
	target := "sqlite:" + url.PathEscape(hostile+".db")
	comment, notice := "", ""
	if kind == "postgres" {
		target = hostileDatabase(t)
		comment = "COMMENT ON TABLE " + asIdentifier + " IS '" + hostile + "';\nCREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT '" + hostile + "'::text $$;\n"
		notice = "DO $$ BEGIN RAISE NOTICE '" + hostile + "'; END $$;\n"
	}
	dir := hostile + " migrations"
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		for _, how := range [][]string{{}, {"--json"}} {
			for _, terminal := range []bool{true, false} {
				if !terminal && len(args) > 0 && args[0] == "snapshot" && len(how) == 0 {
					continue // it is data, and must be exact
				}
				var out, errs bytes.Buffer
				Run(Process{
					Args:      append(append([]string{}, args...), append(how, "--database", target, "--dir", dir, "--set", hostile)...),
					LookupEnv: func(string) (string, bool) { return "", false },
					Stdin:     Input{Reader: strings.NewReader("")},
					Stdout:    render.Stream{Writer: &out, Terminal: terminal}, Stderr: render.Stream{Writer: &errs},
				})
				for _, text := range []string{out.String(), errs.String()} {
					if bad := unfitIn(text); bad != "" {
						t.Errorf("%q %q, terminal %v: %q", args, how, terminal, bad)
					}
				}
				if len(how) > 0 && out.Len() > 0 && !json.Valid(out.Bytes()) {
					t.Errorf("%q is no JSON: %s", args, out.String())
				}
			}
		}
	}
	write("1_"+hostile+".up.sql", "CREATE TABLE "+asIdentifier+" ("+asIdentifier+" integer);\n"+comment+notice)
	write("1_"+hostile+".down.sql", "DROP TABLE "+asIdentifier+";")
	run("plan")
	run("up", "--reason", hostile)
	run("status")
	run("history")
	run()
	run("verify")
	run("snapshot")
	run("drift", "--scratch", "auto")
	run("diff", target, "sqlite::memory:")
	run("freeze", "--reason", hostile)
	run("up")
	run("status")
	run("settings")
	run("thaw", "--reason", hostile)
	run("settings", "set", "protected", "true", "--reason", hostile)
	run("down")
	run("reset")
	run("reset", "--yes", "x"+hostile)
	run("settings", "set", "protected", "false", "--reason", hostile)
	run("reset", "--yes", "x"+hostile)
	run("reset", "--dry-run")
	run("metadata", "inconsistent")
	run("sql", "SELECT '"+hostile+"' AS "+asIdentifier)
	run("sql", "SELECT "+asIdentifier+" FROM nosuch")
	run("mark", "1", "--reason", hostile)
	run("forget", "7", "--reason", hostile)
	run("status", "--env", hostile)
	run("status", "--config", hostile)
	run("status", "--format", hostile)
	run("status", "--migration-lock-timeout", hostile)
	run(hostile)
	run("status", hostile)
	run("status", "--"+hostile)
	write("1_"+hostile+".up.sql", "CREATE TABLE edited (x integer); -- "+hostile)
	run("up")
	run("accept", "1", "--reason", hostile)
	write("2_"+hostile+".up.sql", "CREATE TABEL "+asIdentifier+" (x integer); -- "+hostile)
	run("up")
	run("squash", "--to", "1")
	write("2_"+hostile+".up.sql", "-- whimbrel: no-transaction\nCREATE TABLE two (x integer);\nINSERT INTO "+asIdentifier+" VALUES ("+asIdentifier+");\nSELECT '"+hostile+"'")
	run("up")
	run("status")
	run("plan")
	write("x"+hostile+".sql", "SELECT 1")
	run("status")
	run("new", hostile)
}

// hostileDatabase creates a database with a hostile name, and connects as a role and an application
// with such names.
func hostileDatabase(t *testing.T) string {
	admin := testdb.Postgres(t)
	c, err := pgx.Connect(t.Context(), admin)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(admin)
	if err != nil {
		t.Fatal(err)
	}
	name := u.Path[1:] + "\x1b[31m\u202e"
	quoted := pgx.Identifier{name}.Sanitize()
	for _, sql := range []string{"CREATE ROLE " + quoted + " SUPERUSER LOGIN", "CREATE DATABASE " + quoted} {
		if _, err := c.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, sql := range []string{"DROP DATABASE IF EXISTS " + quoted + " WITH (FORCE)", "DROP ROLE IF EXISTS " + quoted} {
			if _, err := c.Exec(context.Background(), sql); err != nil {
				t.Error(err)
			}
		}
		c.Close(context.Background())
	})
	u.Path, u.RawPath = "/"+name, ""
	u.User = url.User(name)
	q := u.Query()
	q.Set("application_name", hostile)
	u.RawQuery = q.Encode()
	return u.String()
}
