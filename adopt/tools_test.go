package adopt_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/adopt"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/source"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// program is another tool that the tests run for real.
type program struct {
	tool   adopt.Tool
	format source.Format
	// file returns the name and the text of the files of a migration, given the two statements.
	files func(version int, up, down string) map[string]string
	// command returns the arguments that bring a database to the newest version of a folder, and
	// the environment.
	command func(dir, db string, kind sqltext.Dialect) (args, env []string)
	// config returns files of the working directory; nil for none.
	config func(dir, db string, kind sqltext.Dialect) map[string]string
	// on are the databases that the program migrates.
	on []sqltext.Dialect
	// neverBlocked are those in which nothing keeps it from migrating.
	neverBlocked []sqltext.Dialect
}

var everywhere = []sqltext.Dialect{sqltext.PostgreSQL, sqltext.SQLite, sqltext.MySQL}

var programs = map[string]program{
	"migrate": {
		tool: adopt.GolangMigrate, format: source.GolangMigrate, on: everywhere,
		files: func(v int, up, down string) map[string]string {
			return map[string]string{
				fmt.Sprintf("%06d_step.up.sql", v): up, fmt.Sprintf("%06d_step.down.sql", v): down,
			}
		},
		command: func(dir, db string, kind sqltext.Dialect) (args, env []string) {
			switch kind {
			case sqltext.MySQL:
				db = "mysql://" + goMySQL(db)
			case sqltext.SQLite:
				db = "sqlite://" + db
			}
			return []string{"-path", dir, "-database", db, "up"}, nil
		},
	},
	"goose": {
		tool: adopt.Goose, format: source.Goose, on: everywhere,
		files: func(v int, up, down string) map[string]string {
			return map[string]string{fmt.Sprintf("%05d_step.sql", v): "-- +goose Up\n" + up + "\n-- +goose Down\n" + down + "\n"}
		},
		command: func(dir, db string, kind sqltext.Dialect) (args, env []string) {
			switch kind {
			case sqltext.MySQL:
				return []string{"-dir", dir, "mysql", goMySQL(db) + "?parseTime=true", "up"}, nil
			case sqltext.SQLite:
				return []string{"-dir", dir, "sqlite3", db, "up"}, nil
			}
			return []string{"-dir", dir, "postgres", db, "up"}, nil
		},
	},
	"dbmate": {
		tool: adopt.Dbmate, format: source.Dbmate, on: everywhere, neverBlocked: []sqltext.Dialect{sqltext.MySQL},
		files: func(v int, up, down string) map[string]string {
			return map[string]string{fmt.Sprintf("2024010100000%d_step.sql", v): "-- migrate:up\n" + up + "\n-- migrate:down\n" + down + "\n"}
		},
		command: func(dir, db string, kind sqltext.Dialect) (args, env []string) {
			if kind == sqltext.SQLite {
				db = "sqlite:" + db
			}
			return []string{"--migrations-dir", dir, "--no-dump-schema", "migrate"}, []string{"DATABASE_URL=" + db}
		},
	},
	"sql-migrate": {
		tool: adopt.SQLMigrate, format: source.SQLMigrate, on: everywhere,
		files: func(v int, up, down string) map[string]string {
			return map[string]string{fmt.Sprintf("%d-step.sql", v): "-- +migrate Up\n" + up + "\n-- +migrate Down\n" + down + "\n"}
		},
		command: func(_, _ string, _ sqltext.Dialect) (args, env []string) { return []string{"up", "-env", "test"}, nil },
		config: func(dir, db string, kind sqltext.Dialect) map[string]string {
			dialect := "postgres"
			switch kind {
			case sqltext.MySQL:
				dialect, db = "mysql", goMySQL(db)+"?parseTime=true"
			case sqltext.SQLite:
				dialect = "sqlite3"
			}
			return map[string]string{"dbconfig.yml": fmt.Sprintf("test:\n  dialect: %s\n  datasource: %s\n  dir: %s\n", dialect, db, dir)}
		},
	},
	"tern": {
		tool: adopt.Tern, format: source.Tern, on: []sqltext.Dialect{sqltext.PostgreSQL},
		files: func(v int, up, down string) map[string]string {
			return map[string]string{fmt.Sprintf("%03d_step.sql", v): up + "\n---- create above / drop below ----\n" + down + "\n"}
		},
		command: func(dir, db string, _ sqltext.Dialect) (args, env []string) {
			return []string{"migrate", "-m", dir, "--conn-string", db}, nil
		},
	},
}

// goMySQL returns a URL of testdb in the form of Go's driver.
func goMySQL(db string) string {
	u, err := url.Parse(db)
	if err != nil {
		panic(err)
	}
	return u.User.String() + "@tcp(" + u.Host + ")" + u.Path
}

// path returns the path of another tool's program.
func path(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(testdb.Tools(t), "bin", name)
}

// run runs the program in a folder and returns what it printed.
func (p program) run(t *testing.T, name, dir, db string, kind sqltext.Dialect) (output string, err error) {
	t.Helper()
	args, env := p.command(dir, db, kind)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, path(t, name), args...)
	c.Env = append(os.Environ(), env...)
	c.Dir = t.TempDir() // without a configuration of this machine
	if p.config != nil {
		for name, text := range p.config(dir, db, kind) {
			if err := os.WriteFile(filepath.Join(c.Dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	out, err := c.CombinedOutput()
	return string(out), err
}

func (p program) mustRun(t *testing.T, name, dir, db string, kind sqltext.Dialect) {
	t.Helper()
	if out, err := p.run(t, name, dir, db, kind); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// write adds a migration to a folder: it creates the table tVERSION.
func (p program) write(t *testing.T, dir string, versions ...int) {
	t.Helper()
	for _, v := range versions {
		for name, text := range p.files(v, fmt.Sprintf("CREATE TABLE t%d (x int);", v), fmt.Sprintf("DROP TABLE t%d;", v)) {
			file := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestRealTools moves a database from each tool to Whimbrel and back.
func TestRealTools(t *testing.T) {
	t.Parallel()
	for name, p := range programs {
		for _, kind := range p.on {
			t.Run(fmt.Sprintf("%s on %s", name, kindNames[kind]), func(t *testing.T) {
				t.Parallel()
				roundTrip(t, name, p, kind)
			})
		}
	}
}

func roundTrip(t *testing.T, name string, p program, kind sqltext.Dialect) {
	dir := t.TempDir()
	target := create(t, kind)
	p.write(t, dir, 1, 2)
	p.mustRun(t, name, dir, target.address, kind)
	p.write(t, dir, 3)

	db := target.open(t)
	found, err := adopt.Detect(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Tables) != 1 || found.Tables[0].Tool != p.tool || !found.Tables[0].Adoptable || found.Tables[0].Problem != "" {
		t.Errorf("detected %+v, want a table of %s", found.Tables, p.tool)
	}
	if found.Objects == 0 {
		t.Error("no objects were detected")
	}

	set := read(t, dir, p.format)
	dry, err := adopt.From(t.Context(), db, set, adopt.Options{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the dry run", len(dry.Adopted), 2)
	equal(t, "what is applied after a dry run", applied(t, db, set), "[]")

	block := !slices.Contains(p.neverBlocked, kind)
	began := time.Now()
	r, err := adopt.From(t.Context(), db, set, adopt.Options{Block: block, Reason: "we move"})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the tool", r.Tool, p.tool)
	equal(t, "adopted", len(r.Adopted), 2)
	equal(t, "blocked", r.Blocked, block)
	versions := set.Versions()
	equal(t, "what is applied", applied(t, db, set), fmt.Sprint(versions[:2]))
	for _, a := range r.Adopted {
		if !a.At.IsZero() && (began.Sub(a.At) > time.Hour || a.At.Sub(began) > time.Minute) {
			t.Errorf("%d was applied at %v, and it is %v", a.Version, a.At, began)
		}
	}

	again, err := adopt.From(t.Context(), db, set, adopt.Options{Block: block})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "a second call adopts", len(again.Adopted), 0)
	equal(t, "a second call finds", again.Already, 2)

	if block {
		out, err := p.run(t, name, dir, target.address, kind)
		if err == nil {
			t.Errorf("%s was not kept from migrating:\n%s", name, out)
		}
		if has(t, db, "t3") {
			t.Errorf("%s has run a migration:\n%s", name, out)
		}
	}

	up(t, db, set)
	equal(t, "what is applied after up", applied(t, db, set), fmt.Sprint(versions))
	verify(t, db, set)

	p.write(t, dir, 4)
	if !block {
		return
	}
	back, err := adopt.Reverse(t.Context(), db, set, adopt.ReverseOptions{Reason: "we return"})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "written", len(back.Written), 1)
	equal(t, "blocked after a reversal", back.Blocked, false)
	equal(t, "what is applied after a reversal", applied(t, db, set), "[]")
	p.mustRun(t, name, dir, target.address, kind)
	if !has(t, db, "t4") {
		t.Errorf("%s did not continue", name)
	}

	set = read(t, dir, p.format)
	r, err = adopt.From(t.Context(), db, set, adopt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "adopted after a return", len(r.Adopted), 4)
	equal(t, "blocked after a return", r.Blocked, false)
	if s := strings.TrimSpace(r.Table); s == "" {
		t.Error("the result has no table")
	}
}
