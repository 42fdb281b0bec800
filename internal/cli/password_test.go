package cli

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/whimbrel-db/whimbrel/database/mysql"
	_ "github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

const canary = "se cret/@:%#"

// TestPasswordIsFound gives the command passwords in each place where it looks for one, on a server
// that requires one.
func TestPasswordIsFound(t *testing.T) {
	t.Parallel()
	target := askingPostgres(t)
	home, openHome := t.TempDir(), t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		return writeSecret(t, filepath.Join(home, name), text, mode)
	}
	line := passLine
	pass := write("pass", line, 0o600)
	write(".pgpass", line, 0o600)
	writeSecret(t, filepath.Join(openHome, ".pgpass"), line, 0o640)
	open := write("open", line, 0o644)
	wrong := write("wrong", "*:*:*:ann:wrong\n", 0o600)
	secret := write("secret", canary+"\n", 0o600)
	config := func(name, command string) string {
		return write(name, "database: "+target+"\npassword_command: "+command+"\n", 0o600)
	}
	for _, c := range []struct {
		name string
		env  map[string]string
		args []string
		code int
		says string
	}{
		{name: "nowhere", code: exitFailed, says: "28P01"},
		{name: "PGPASSWORD", env: map[string]string{"PGPASSWORD": canary}},
		{name: "PGPASSFILE", env: map[string]string{"PGPASSFILE": pass}},
		{name: "a wrong one", env: map[string]string{"PGPASSFILE": wrong}, code: exitFailed, says: "28P01"},
		{name: "PGPASSWORD before PGPASSFILE", env: map[string]string{"PGPASSFILE": wrong, "PGPASSWORD": canary}},
		{name: "a file that others can read", env: map[string]string{"PGPASSFILE": open}, code: exitFailed, says: "is ignored: others can read it; allow only its owner: chmod 600"},
		{name: ".pgpass", env: map[string]string{"HOME": home}},
		{name: "PGPASSFILE before .pgpass", env: map[string]string{"HOME": home, "PGPASSFILE": wrong}, code: exitFailed, says: "28P01"},
		{name: "a .pgpass that the group can read", env: map[string]string{"HOME": openHome}, code: exitFailed, says: ".pgpass is ignored: others can read it"},
		{name: "a command as a line", args: []string{"--config", config("line.yaml", "cat "+secret)}},
		{name: "a command as a list", args: []string{"--config", config("list.yaml", "[cat, "+secret+"]")}},
		{name: "a command before a variable", env: map[string]string{"PGPASSWORD": "wrong"}, args: []string{"--config", config("first.yaml", "cat "+secret)}},
		{name: "a command that fails", args: []string{"--config", config("fails.yaml", "cat "+secret+"; cat "+secret+" >&2; exit 7")}, code: exitUsage, says: "password_command failed: exit status 7"},
		{name: "a command without output", args: []string{"--config", config("silent.yaml", "'true'")}, code: exitUsage, says: "printed no password"},
		{name: "a command with many lines", args: []string{"--config", config("many.yaml", "cat "+secret+" "+secret)}, code: exitUsage, says: "more than one line"},
		// The password of the configured database goes to no other one.
		{name: "a command and a flag", args: []string{"--config", config("flag.yaml", "cat "+secret), "--database", target}, code: exitFailed, says: "28P01"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"sql", "SELECT 'it works'"}, c.args...)
			if c.args == nil {
				args = append(args, "--database", target)
			}
			code, out, errs := runIn(c.env, args...)
			wantEqual(t, "exit code", code, c.code)
			if c.code == exitDone {
				wantContains(t, "stdout", out, "it works")
			} else {
				wantContains(t, "stderr", errs, c.says)
			}
			wantNoPassword(t, out+errs)
		})
	}
}

// passLine is the password file of askingPostgres's role.
var passLine = "*:*:*:ann:" + strings.NewReplacer(`\`, `\\`, ":", `\:`).Replace(canary) + "\n"

// askingPostgres starts a server that requires passwords, with SCRAM, and returns the URL of a
// database of the role ann, without her password.
func askingPostgres(t *testing.T) string {
	t.Helper()
	server := testdb.PrivatePostgres(t, "password_encryption=scram-sha-256")
	server.RequirePasswords()
	u, err := url.Parse(server.New())
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"CREATE ROLE ann LOGIN CREATEDB PASSWORD '" + canary + "'",
		"ALTER DATABASE " + strings.TrimPrefix(u.Path, "/") + " OWNER TO ann",
	} {
		if code, out, errs := runIn(nil, "sql", "--write", "--database", server.Socket(), statement); code != exitDone {
			t.Fatalf("%s: exit code %d: %s%s", statement, code, out, errs)
		}
	}
	u.User = url.User("ann")
	return u.String()
}

// askingMariaDB returns the URL of a database of a new user with a password, without it, and the
// user's name.
func askingMariaDB(t *testing.T) (target, user string) {
	t.Helper()
	admin := testdb.MariaDB(t)
	u, err := url.Parse(admin)
	if err != nil {
		t.Fatal(err)
	}
	user = fmt.Sprintf("ann_%08x", rand.Uint32())
	db := testdb.OpenMariaDB(t, admin)
	exec := func(statement string) {
		t.Helper()
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	exec("CREATE USER " + user + " IDENTIFIED BY '" + canary + "'")
	t.Cleanup(func() { exec("DROP USER " + user) })
	exec("GRANT ALL ON `" + strings.ReplaceAll(strings.TrimPrefix(u.Path, "/"), "_", `\_`) + "%`.* TO " + user)
	exec("GRANT ALL ON `whimbrel\\_scratch\\_%`.* TO " + user)
	u.User = url.User(user)
	return u.String(), user
}

func writeSecret(t *testing.T, path, text string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func wantNoPassword(t *testing.T, printed string) {
	t.Helper()
	if strings.Contains(printed, canary) || strings.Contains(printed, url.UserPassword("", canary).String()) {
		t.Errorf("the password is printed:\n%s", printed)
	}
}

// TestPasswordOnMariaDB gives the command passwords in each place where it looks for one, for a
// user who has one.
func TestPasswordOnMariaDB(t *testing.T) {
	t.Parallel()
	target, user := askingMariaDB(t)
	homeWith := func(text string, mode os.FileMode) map[string]string {
		home := t.TempDir()
		writeSecret(t, filepath.Join(home, ".my.cnf"), text, mode)
		return map[string]string{"HOME": home}
	}
	file := "[client]\nuser = " + user + "\npassword = \"" + canary + "\"\n"
	both := homeWith("[client]\npassword=wrong\n", 0o600)
	both["MYSQL_PWD"] = canary
	for _, c := range []struct {
		name string
		env  map[string]string
		says string // the error, "" for none
	}{
		{"nowhere", nil, "Access denied"},
		{"MYSQL_PWD", map[string]string{"MYSQL_PWD": canary}, ""},
		{"a wrong MYSQL_PWD", map[string]string{"MYSQL_PWD": "wrong"}, "Access denied"},
		{"the option file", homeWith(file, 0o600), ""},
		{"an option file that others can read", homeWith(file, 0o644), ""}, // as MySQL's own clients accept it
		{"an option file that others can write to", homeWith(file, 0o666), "is ignored: others can write to it"},
		{"the option file of another user", homeWith("[client]\nuser=bob\npassword='"+canary+"'\n", 0o600), "Access denied"},
		{"MYSQL_PWD before the option file", both, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := runIn(c.env, "sql", "--database", target, "SELECT 'it works'")
			if c.says == "" {
				wantEqual(t, "exit code", code, exitDone)
				wantContains(t, "stdout", out, "it works")
			} else {
				wantEqual(t, "exit code", code, exitFailed)
				wantContains(t, "stderr", errs, c.says)
			}
			wantNoPassword(t, out+errs)
		})
	}
}

// TestPasswordForEveryURL runs each command that takes a database's URL, on servers that require a
// password which the URL lacks.
func TestPasswordForEveryURL(t *testing.T) {
	t.Parallel()
	for kind, server := range map[string]func(*testing.T) (url string, env map[string]string){
		"PostgreSQL": func(t *testing.T) (string, map[string]string) {
			return askingPostgres(t), map[string]string{"PGPASSFILE": writeSecret(t, filepath.Join(t.TempDir(), "pass"), passLine, 0o600)}
		},
		"MariaDB": func(t *testing.T) (string, map[string]string) {
			target, _ := askingMariaDB(t)
			home := t.TempDir()
			writeSecret(t, filepath.Join(home, ".my.cnf"), "[client]\npassword='"+canary+"'\n", 0o600)
			return target, map[string]string{"HOME": home}
		},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			target, env := server(t)
			dir := t.TempDir()
			migrations := filepath.Join(dir, "migrations")
			if err := os.Mkdir(migrations, 0o777); err != nil {
				t.Fatal(err)
			}
			writeSecret(t, filepath.Join(migrations, "1_a.up.sql"), "CREATE TABLE a (x int);\n", 0o600)
			writeSecret(t, filepath.Join(migrations, "1_a.down.sql"), "DROP TABLE a;\n", 0o600)
			schema := filepath.Join(dir, "schema.sql")
			u, err := url.Parse(target)
			if err != nil {
				t.Fatal(err)
			}
			u.Path += "_new"
			other := u.String()
			for _, args := range [][]string{
				{"wait", "--timeout", "1m", "--database", target},
				{"up", "--database", target, "--dir", migrations},
				{"snapshot", "--out", schema, "--database", target},
				{"verify", "--scratch", target, "--dir", migrations},
				{"drift", "--database", target},
				{"drift", "--scratch", target, "--database", target},
				{"diff", target, target},
				{"diff", schema, target},
				{"diff", target, schema, "--scratch", target},
				{"report", "--drift", "--scratch", target, "--out", filepath.Join(dir, "report.html"), "--database", target, "--dir", migrations},
				{"create", "--database", other},
				{"drop", "--yes", strings.TrimPrefix(u.Path, "/"), "--database", other},
			} {
				code, out, errs := runIn(env, args...)
				if code != exitDone {
					t.Errorf("%q: exit code %d: %s%s", args, code, out, errs)
				}
				wantNoPassword(t, out+errs)
			}
		})
	}
}

func runIn(env map[string]string, args ...string) (code int, stdout, stderr string) {
	var out, errs strings.Builder
	code = Run(Process{
		Args:      args,
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		Stdin:     Input{Reader: strings.NewReader("")},
		Stdout:    render.Stream{Writer: &out},
		Stderr:    render.Stream{Writer: &errs},
	})
	return code, out.String(), errs.String()
}

func TestPasswordOfAnOptionFile(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"[client]\npassword=a#b\n":                     "a#b",
		"[mysqld]\npassword=x\n[client]\npassword = y": "y",
		"[client]\npassword=\"a # b\"\n":               "a # b",
		"[client]\npassword=x # a comment\n":           "x",
		"[client]\nuser=ann\npassword=x\n":             "x",
		"[client]\nuser=bob\npassword=x\n":             "",
		"[client]\nhost=db1\npassword=x\n":             "",
		"[client]\n#password=x\n;password=y\n":         "",
		"password=x\n":                                 "",
	} {
		home := t.TempDir()
		if err := os.WriteFile(filepath.Join(home, ".my.cnf"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		a := &app{Process: Process{LookupEnv: func(name string) (string, bool) { v, ok := map[string]string{"HOME": home}[name]; return v, ok }}}
		got, err := a.withPassword("mysql://ann@db2/app?tls=true", false)
		noError(t, text, err)
		full := "mysql://ann@db2/app?tls=true"
		if want != "" {
			full = "mysql://ann" + url.UserPassword("", want).String() + "@db2/app?tls=true"
		}
		wantEqual(t, text, got, full)
	}
}

func TestURLsThatNeedNoPassword(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		"", "sqlite:app.db", "postgres://host/app", "postgres://ann:x@host/app", "postgres://ann:@host/app",
		"postgres://ann@host/app?password=x", "postgres://ann@host/app?passfile=f", "postgres://ann@host/app?%zz", "nosuch://ann@host/app",
	} {
		if _, ok := serverOf(raw); ok {
			t.Errorf("%s: gets a password", raw)
		}
	}
	s, ok := serverOf("postgres://a%40b@[::1]:7,other/my%20app?sslmode=disable")
	wantEqual(t, "found", ok, true)
	wantEqual(t, "user", s.user, "a@b")
	wantEqual(t, "host", s.host, "::1")
	wantEqual(t, "port", s.port, "7")
	wantEqual(t, "database", s.database, "my app")
	wantEqual(t, "URL", s.withPassword("x/y"), "postgres://a%40b:x%2Fy@[::1]:7,other/my%20app?sslmode=disable")
}

func TestParseEnvFile(t *testing.T) {
	t.Parallel()
	got, err := parseEnvFile("f", "\ufeff# c\r\n\nA=1\nexport B = two words # c\nC='a $ # \\n'\nD=\"a\\n\\\"b\\$\" # c\nE=\nF=#\nG=a#b$c\n")
	noError(t, "parseEnvFile", err)
	wantEqual(t, "variables", got, map[string]string{"A": "1", "B": "two words", "C": `a $ # \n`, "D": "a\n\"b$", "E": "", "F": "", "G": "a#b$c"})
	for _, wrong := range []string{"geheim", "1A=geheim", "A B=geheim", "A='geheim", "A=\"geheim\\\"", "A='geheim' x", "A=geheim\nA=2"} {
		_, err := parseEnvFile("f", "# first\n"+wrong)
		if err == nil {
			t.Errorf("%s: no error", wrong)
		} else if strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: the error shows the value: %v", wrong, err)
		}
	}
}
