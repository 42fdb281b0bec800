package sqltext

import (
	"strings"
	"testing"
)

func TestMask(t *testing.T) {
	for _, c := range []struct {
		d          Dialect
		text, want string
	}{
		{PostgreSQL, "CREATE ROLE a LOGIN PASSWORD 'hunter2' VALID UNTIL '2030-01-01'", "CREATE ROLE a LOGIN PASSWORD 'xxxxx' VALID UNTIL '2030-01-01'"},
		{PostgreSQL, "alter user a encrypted password E'hun\\'ter2'", "alter user a encrypted password E'xxxxx'"},
		{PostgreSQL, `ALTER ROLE a PASSWORD 'a\'; SELECT 1`, `ALTER ROLE a PASSWORD 'xxxxx'; SELECT 1`},
		{PostgreSQL, "ALTER ROLE a PASSWORD /* new */ $q$hunter2$q$;", "ALTER ROLE a PASSWORD /* new */ $q$xxxxx$q$;"},
		{PostgreSQL, "ALTER ROLE a PASSWORD 'hunter2", "ALTER ROLE a PASSWORD 'xxxxx"},
		{PostgreSQL, "ALTER ROLE a PASSWORD NULL", "ALTER ROLE a PASSWORD NULL"},
		{PostgreSQL, "CREATE SUBSCRIPTION s CONNECTION 'host=h user=u password=hunter2 dbname=d' PUBLICATION p", "CREATE SUBSCRIPTION s CONNECTION 'host=h user=u password=xxxxx dbname=d' PUBLICATION p"},
		{PostgreSQL, "CREATE SUBSCRIPTION s CONNECTION 'postgres://u:hunter2@h/d' PUBLICATION p", "CREATE SUBSCRIPTION s CONNECTION 'postgres://u:xxxxx@h/d' PUBLICATION p"},
		{PostgreSQL, "CREATE USER MAPPING FOR u SERVER s OPTIONS (user 'u', password 'hunter2')", "CREATE USER MAPPING FOR u SERVER s OPTIONS (user 'u', password 'xxxxx')"},
		{PostgreSQL, `ALTER USER MAPPING FOR u SERVER s OPTIONS (SET "password" 'hunter2')`, `ALTER USER MAPPING FOR u SERVER s OPTIONS (SET "password" 'xxxxx')`},
		{PostgreSQL, "CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (aws_secret_access_key 'hunter2')", "CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (aws_secret_access_key 'xxxxx')"},
		{PostgreSQL, "SELECT dblink('host=h password=''hun ter2'' user=u', 'SELECT 1')", "SELECT dblink('host=h password=xxxxxhun xxxxx'' user=u', 'SELECT 1')"},
		{PostgreSQL, "ALTER SYSTEM SET primary_conninfo = 'host=h password=hunter2'", "ALTER SYSTEM SET primary_conninfo = 'host=h password=xxxxx'"},
		{PostgreSQL, "SELECT set_config('app.db_password', 'hunter2', false)", "SELECT set_config('app.db_password', 'xxxxx', false)"},
		{PostgreSQL, "DO $$ BEGIN EXECUTE 'ALTER ROLE a PASSWORD ''hunter2'''; END $$", ""},
		{PostgreSQL, "SET app.api_key = 'hunter2'", "SET app.api_key = 'xxxxx'"},
		{PostgreSQL, "CREATE TABLE t (password text NOT NULL, token text DEFAULT 'x')", "CREATE TABLE t (password text NOT NULL, token text DEFAULT 'x')"},
		{PostgreSQL, "COMMENT ON COLUMN t.password IS 'hashed'", "COMMENT ON COLUMN t.password IS 'xxxxx'"},
		{PostgreSQL, "PRIMARY KEY (a), note text DEFAULT 'x'", "PRIMARY KEY (a), note text DEFAULT 'x'"},
		{MySQL, "CREATE USER 'u'@'%' IDENTIFIED BY 'hun''ter\\'2' REQUIRE SSL", "CREATE USER 'u'@'%' IDENTIFIED BY 'xxxxx' REQUIRE SSL"},
		{MySQL, `CREATE USER u IDENTIFIED WITH 'plugin' BY "hunter2", 'v'@'h' IDENTIFIED BY 'hunter3'`, `CREATE USER u IDENTIFIED WITH 'plugin' BY "xxxxx", 'v'@'h' IDENTIFIED BY 'xxxxx'`},
		{MySQL, "ALTER USER u IDENTIFIED BY 'hunter2' REPLACE 'hunter1'", "ALTER USER u IDENTIFIED BY 'xxxxx' REPLACE 'xxxxx'"},
		{MySQL, "CREATE USER u IDENTIFIED VIA ed25519 USING PASSWORD('hunter2')", "CREATE USER u IDENTIFIED VIA ed25519 USING PASSWORD('xxxxx')"},
		{MySQL, "GRANT ALL ON *.* TO u IDENTIFIED BY PASSWORD '*AAAA'", "GRANT ALL ON *.* TO u IDENTIFIED BY PASSWORD 'xxxxx'"},
		{MySQL, "SET PASSWORD = PASSWORD('hunter2')", "SET PASSWORD = PASSWORD('xxxxx')"},
		{MySQL, "SET PASSWORD FOR 'u'@'h' = 'hunter2'", "SET PASSWORD FOR 'u'@'h' = 'xxxxx'"},
		{MySQL, "CHANGE MASTER TO MASTER_USER='u', MASTER_PASSWORD='hunter2'", "CHANGE MASTER TO MASTER_USER='u', MASTER_PASSWORD='xxxxx'"},
		{MySQL, "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (USER 'u', PASSWORD 'hunter2')", "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (USER 'u', PASSWORD 'xxxxx')"},
		{MySQL, "CREATE TABLE t (x int) ENGINE=FEDERATED CONNECTION='mysql://u:hunter2@h:3306/d/t'", "CREATE TABLE t (x int) ENGINE=FEDERATED CONNECTION='mysql://u:xxxxx@h:3306/d/t'"},
		{SQLite, "PRAGMA key = 'hunter2'", "PRAGMA key = 'xxxxx'"},
		{SQLite, "ATTACH DATABASE 'x.db' AS x KEY 'hunter2'", "ATTACH DATABASE 'x.db' AS x KEY 'xxxxx'"},
		{SQLite, "SELECT * FROM t WHERE key = 'v'", "SELECT * FROM t WHERE key = 'v'"},
	} {
		got := Mask(c.text, c.d)
		if strings.Contains(got, "hunter") {
			t.Errorf("%s: the secret is left: %s", c.text, got)
		}
		if c.want != "" && !strings.Contains(c.text, "dblink") && got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
		if again := Mask(got, c.d); again != got {
			t.Errorf("%s becomes %s when it is masked again", got, again)
		}
	}
}

func TestMaskKeepsLines(t *testing.T) {
	got := Mask("ALTER ROLE a PASSWORD 'hun\nter\n2';\nSELECT 1", PostgreSQL)
	if want := "ALTER ROLE a PASSWORD 'xxxxx\n\n';\nSELECT 1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestHasSecret(t *testing.T) {
	for text, want := range map[string]bool{
		"CREATE ROLE a PASSWORD 'x'":                           true,
		"ALTER ROLE a PASSWORD NULL":                           false,
		"INSERT INTO users (password) VALUES ('x')":            false,
		"UPDATE users SET password = 'x'":                      false,
		"SELECT * FROM dblink('password=x')":                   true,
		"CREATE TABLE t (password text)":                       false,
		"DO $$ BEGIN CREATE ROLE a PASSWORD 'hunter2'; END $$": true,
	} {
		if got := (Statement{Kind: SQL, Text: text}).HasSecret(PostgreSQL); got != want {
			t.Errorf("HasSecret(%s) = %v", text, got)
		}
	}
	for _, d := range []Dialect{SQLite, MySQL} { // which have no dblink
		const row = "INSERT INTO t VALUES ('dblink(''password=x'')')"
		if (Statement{Kind: SQL, Text: row}).HasSecret(d) {
			t.Errorf("HasSecret(%s) is true in %s", row, d)
		}
	}
}

func FuzzMask(f *testing.F) {
	for _, s := range []string{"CREATE ROLE a PASSWORD ", "x IDENTIFIED BY ", "SET PASSWORD FOR u = ", "/* ' */ PASSWORD ", "'a' PASSWORD="} {
		f.Add(s, " VALID UNTIL 'x'")
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		for _, d := range []Dialect{PostgreSQL, MySQL, SQLite} {
			for _, text := range []string{before + after, before + "'" + after} {
				spans := Secrets(text, d)
				at := 0
				for _, s := range spans {
					if s.From < at {
						t.Fatalf("s.From = %v, want at least %v", s.From, at)
					}
					if s.To <= s.From {
						t.Fatalf("s.To = %v, want more than %v", s.To, s.From)
					}
					if s.To > len(text) {
						t.Fatalf("s.To = %v, want at most %v", s.To, len(text))
					}
					at = s.To
				}
				if got := Mask(text, d); strings.Count(got, "\n") != strings.Count(text, "\n") {
					t.Errorf("%q has other lines when it is masked: %q", text, got)
				}
				Literals(text, d)
			}
		}
	})
}
