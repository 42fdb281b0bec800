package main

import (
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// advised is a shell whose migration 2 fails in one way after another.
type advised struct {
	*shell
	admin *sql.DB
}

func (a *advised) write(name, text string) {
	a.t.Helper()
	path := filepath.Join(a.dir, "migrations", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		a.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		a.t.Fatal(err)
	}
}

func (a *advised) exec(statements ...string) {
	a.t.Helper()
	for _, s := range statements {
		if _, err := a.admin.ExecContext(a.t.Context(), s); err != nil {
			a.t.Fatalf("%s: %v", s, err)
		}
	}
}

// expects runs a command and checks how its answer ends.
func (a *advised) expects(command, script, want string) {
	a.t.Helper()
	got := strings.TrimSpace(a.answer(command))
	if !strings.HasSuffix(got, want) {
		a.t.Errorf("%s: %s answers\n%s\nwant it to end with\n%s", script, command, got, want)
	}
	if strings.Contains(got, "hint: connect as a ") {
		a.t.Errorf("%s: %s repeats its advice as a hint:\n%s", script, command, got)
	}
}

// as returns a URL for another user, and creates what removes that user at the end.
func as(t *testing.T, raw, user string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(user)
	return u.String()
}

func nameOf(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/")
}

// The advice fits the cause: only an error of the file is fixed in the file.
func TestAdviceOnPostgres(t *testing.T) {
	t.Parallel()
	raw := testdb.Postgres(t)
	name := nameOf(t, raw)
	role := "role_" + name
	admin, err := sql.Open("pgx", raw)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	a := &advised{newShell(t, t.TempDir()), admin}
	a.exec("CREATE ROLE "+role+" LOGIN", "CREATE SCHEMA s", "GRANT USAGE, CREATE ON SCHEMA s TO "+role, "CREATE TABLE s.own (x int PRIMARY KEY)", "ALTER DATABASE "+name+" SET search_path = s")
	defer a.exec("DROP OWNED BY "+role, "DROP ROLE "+role)
	a.env = append(a.env, "DATABASE_URL="+as(t, raw, role))
	a.write("1_a.up.sql", "CREATE TABLE s.a (x int);")
	a.write("1_a.down.sql", "DROP TABLE s.a;")
	a.run("whimbrel up --allow-unrecorded")
	const again = "then run the command again:\n"
	const grantIt = "Let its owner or an administrator grant the missing permission, " + again
	raise := func(code string) string {
		return "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '" + code + "'; END $$;"
	}
	for script, want := range map[string]string{
		"INSERT INTO s.own VALUES (1);":                            grantIt + "GRANT INSERT ON TABLE s.own TO " + role + ";",
		"UPDATE s.own SET x = 1;":                                  grantIt + "GRANT SELECT, UPDATE ON TABLE s.own TO " + role + ";",
		"INSERT INTO s.a SELECT * FROM s.own;":                     grantIt + "GRANT SELECT ON TABLE s.own TO " + role + ";",
		"CREATE TABLE s.q (x int REFERENCES s.own);":               grantIt + "GRANT REFERENCES ON TABLE s.own TO " + role + ";",
		"CREATE SCHEMA other;":                                     grantIt + "GRANT CREATE ON DATABASE " + name + " TO " + role + ";",
		"CREATE TABLE pg_catalog.x (a int);":                       grantIt + "GRANT USAGE, CREATE ON SCHEMA pg_catalog TO " + role + ";",
		"ALTER TABLE s.own ADD y int;":                             "Connect as the owner of table own, or let a superuser change the owner, " + again + "ALTER TABLE s.own OWNER TO " + role + ";",
		"SELECT pg_terminate_backend(pg_backend_pid());":           "The server closed the connection. Wait until it accepts connections, then run the command again.",
		"SELECT pg_cancel_backend(pg_backend_pid());":              "Someone cancelled the statement on the server. Find out why, then run the command again.",
		"-- whimbrel: statement-timeout 1ms\nSELECT pg_sleep(60);": "or wait until the server is less busy, then run the command again.",
		raise("53100"):             "Free space on the disk of the database, then run the command again.",
		raise("53200"):             "Free memory on the server, or lower its limits for a session, such as work_mem, then run the command again.",
		raise("25006"):             "Name the primary in the URL, with a role that can write, then run the command again.",
		"SELECT nope;":             "Fix the file, then run the command again.",
		"SELEC 1;":                 "Fix the file, then run the command again.",
		raise("P0001"):             "Fix the file, then run the command again.",
		"INSERT INTO s.a VALUES (": "Fix the file, then run the command again.",
	} {
		a.write("2_b.up.sql", script)
		a.expects("whimbrel up", script, want)
	}

	// A failed build left an invalid index.
	a.exec("INSERT INTO s.a VALUES (1), (1)")
	if _, err := admin.ExecContext(t.Context(), "CREATE UNIQUE INDEX CONCURRENTLY i ON s.a (x)"); err == nil {
		t.Fatal("the index was built")
	}
	const build = "CREATE INDEX CONCURRENTLY i ON s.a (x);"
	a.write("2_b.up.sql", build)
	a.expects("whimbrel up", build, "No statement of migration 2 b took effect.\nThe file is not the cause. Do what the hint says, then run the command again.")
	a.exec("DROP INDEX s.i")

	// The history entry can't be inserted.
	const entry = "CREATE TABLE s.b (x int);"
	a.write("2_b.up.sql", entry)
	a.exec("ALTER TABLE s.whimbrel_history ADD CONSTRAINT few CHECK (version < 2 OR direction = 'failed')")
	a.expects("whimbrel up", entry, "The file is not the cause. Remove what keeps Whimbrel from writing its own tables, then run the command again.")
	a.exec("ALTER TABLE s.whimbrel_history DROP CONSTRAINT few", "REVOKE INSERT ON s.whimbrel_history FROM "+role)
	a.expects("whimbrel up", entry, grantIt+"GRANT SELECT, INSERT ON TABLE whimbrel_history TO "+role+";")
	a.exec("GRANT INSERT ON s.whimbrel_history TO " + role)

	// A redo fails after its rollback: it says whether the rollback remains.
	a.run("whimbrel up")
	a.write("2_b.down.sql", "DROP TABLE s.b;")
	a.write("2_b.up.sql", "SELEC 1;")
	a.expects("whimbrel redo --atomic", "redo", "Nothing was changed, because everything runs in one transaction. The rollback was undone, too.\nFix the file, then run the command again.")
	a.expects("whimbrel redo", "redo", "The rollback of migration 2 b remains: it is not applied now. Migration 2 b made no changes.\nFix the file, then run \"whimbrel up\".")
	a.write("2_b.up.sql", entry)
	a.run("whimbrel up")
}

func TestAdviceOnMariaDB(t *testing.T) {
	t.Parallel()
	raw := testdb.MariaDB(t)
	name := nameOf(t, raw)
	user := "u" + name[max(0, len(name)-20):]
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := sql.Open("mysql", u.User.String()+"@tcp("+u.Host+")/"+name)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	a := &advised{newShell(t, t.TempDir()), admin}
	a.exec("CREATE USER "+user+"@'%'", "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON "+name+".* TO "+user+"@'%'")
	defer a.exec("DROP USER " + user + "@'%'")
	a.env = append(a.env, "DATABASE_URL="+as(t, raw, user))
	a.write("1_a.up.sql", "CREATE TABLE a (x int);")
	a.run("whimbrel up")
	for script, want := range map[string]string{
		"DROP TABLE a;": "\nGRANT DROP ON `" + name + "`.`a` TO '" + user + "'@",
		"SELEC 1;":      "\nFix the file",
		"SET STATEMENT max_statement_time=0.001 FOR SELECT SLEEP(60);": "\nThe statement ran into a timeout. Raise it",
		"KILL CONNECTION_ID();": "\nThe server closed the connection. Wait until it accepts connections, then run",
	} {
		a.write("2_b.up.sql", script)
		if got := a.answer("whimbrel up"); !strings.Contains(got, want) {
			t.Errorf("%s: whimbrel up answers\n%s\nwant it to contain\n%s", script, got, want)
		}
		a.answer("whimbrel forget 2") // if it was interrupted
	}

	// The GRANT for Whimbrel's own tables works as it is printed: it names the account.
	account := "'" + user + "'@'%'"
	a.write("2_b.up.sql", "SELECT 1;")
	for _, c := range []struct{ revoke, want string }{
		{"ALL PRIVILEGES ON " + name + ".*", "GRANT SELECT, INSERT ON `" + name + "`.`whimbrel_history` TO " + account + ";"},
		{"ALL PRIVILEGES ON " + name + ".*; DROP TABLES", "GRANT CREATE, SELECT, INSERT, UPDATE, DELETE ON `" + name + "`.* TO " + account + ";"},
	} {
		revoke, drop := strings.CutSuffix(c.revoke, "; DROP TABLES")
		a.exec("REVOKE " + revoke + " FROM " + user + "@'%'")
		a.exec("GRANT SELECT ON " + name + ".* TO " + user + "@'%'")
		if drop {
			a.exec("DROP TABLES a, whimbrel_history, whimbrel_settings, whimbrel_journal, whimbrel_lease")
		} else {
			a.exec("GRANT UPDATE, INSERT, DELETE ON whimbrel_lease TO "+user+"@'%'", "GRANT UPDATE, INSERT, DELETE ON whimbrel_journal TO "+user+"@'%'")
		}
		a.expects("whimbrel up", "a missing privilege", "\n"+c.want)
		a.exec(strings.TrimSuffix(c.want, ";"))
		a.run("whimbrel up")
		a.write("3_c.up.sql", "SELECT 2;")
	}
}
