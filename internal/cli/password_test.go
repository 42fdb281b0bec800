package cli

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

const canary = "se cret/@:%#"

// TestPasswordIsFound gives the command passwords in each place where it looks for one, on a server
// that requires one.
func TestPasswordIsFound(t *testing.T) {
	t.Parallel()
	server := testdb.PrivatePostgres(t, "password_encryption=scram-sha-256")
	home := t.TempDir()
	server.RequirePasswords()
	admin := server.New()
	if code, out, errs := runIn(nil, "sql", "--write", "--database", admin, "CREATE ROLE ann LOGIN PASSWORD '"+canary+"'"); code != exitDone {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	u, err := url.Parse(admin)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User("ann")
	target := u.String()
	write := func(name, text string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(home, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	line := "*:*:*:ann:" + strings.NewReplacer(`\`, `\\`, ":", `\:`).Replace(canary) + "\n"
	pass := write("pass", line, 0o600)
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
			if strings.Contains(out+errs, canary) || strings.Contains(out+errs, url.UserPassword("", canary).String()) {
				t.Errorf("the password is printed:\n%s%s", out, errs)
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
