package adopt_test

import (
	"context"
	"encoding/json"
	"errors"
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
	"github.com/whimbrel-db/whimbrel/inspect"
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
	// index writes what lists the files of a folder; nil for nothing.
	index func(t *testing.T, dir string, versions []int, kind sqltext.Dialect)
	// noWrite says that Reverse can't write what was applied since.
	noWrite bool
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
	"drizzle": {
		tool: adopt.Drizzle, format: source.Drizzle, on: everywhere, neverBlocked: []sqltext.Dialect{sqltext.MySQL},
		files: func(v int, up, _ string) map[string]string {
			return map[string]string{fmt.Sprintf("%04d_step.sql", v-1): up + "\n"}
		},
		index: writeJournal,
		command: func(dir, db string, kind sqltext.Dialect) (args, env []string) {
			return []string{"migrate.mjs", kindNames[kind], db, dir}, nil
		},
		config: func(string, string, sqltext.Dialect) map[string]string {
			return map[string]string{"migrate.mjs": drizzleScript}
		},
	},
	"sqitch": {
		tool: adopt.Sqitch, format: source.Sqitch, on: []sqltext.Dialect{sqltext.PostgreSQL}, noWrite: true,
		files: func(v int, up, down string) map[string]string {
			return map[string]string{fmt.Sprintf("deploy/step%d.sql", v): "BEGIN;\n" + up + "\nCOMMIT;\n", fmt.Sprintf("revert/step%d.sql", v): down + "\n"}
		},
		index: writePlan,
		command: func(dir, db string, _ sqltext.Dialect) (args, env []string) {
			u, err := url.Parse(db)
			if err != nil {
				panic(err)
			}
			return []string{"--chdir", dir, "deploy", "--target", "db:pg://" + u.User.String() + "@" + u.Host + u.Path},
				[]string{"PGSSLMODE=disable", "SQITCH_FULLNAME=Test", "SQITCH_EMAIL=test@example.com"}
		},
	},
	"liquibase": {
		tool: adopt.Liquibase, format: source.Liquibase, on: []sqltext.Dialect{sqltext.PostgreSQL, sqltext.MySQL}, // it lacks a library for SQLite
		files: func(v int, up, down string) map[string]string {
			return map[string]string{fmt.Sprintf("%d-step.sql", v): "--liquibase formatted sql\n--changeset alice:step\n" + up + "\n--rollback " + down + "\n"}
		},
		index: writeIncludes,
		command: func(dir, db string, kind sqltext.Dialect) (args, env []string) {
			user := "--username=postgres"
			u, err := url.Parse(db)
			if err != nil {
				panic(err)
			}
			db = "jdbc:postgresql://" + u.Host + u.Path + "?sslmode=disable"
			if kind == sqltext.MySQL {
				db, user = "jdbc:mariadb://"+u.Host+u.Path, "--username="+u.User.Username()
			}
			return []string{"--changelog-file=all.yaml", "--search-path=" + dir, "--url=" + db, user, "update"},
				[]string{"LIQUIBASE_CHANGELOGLOCK_WAIT_TIME_IN_MINUTES=0", "LIQUIBASE_CHANGELOG_LOCK_WAIT_TIME_IN_MINUTES=0"}
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
	switch name {
	case "drizzle":
		return testdb.Tool(t, "node")
	case "sqitch":
		return testdb.Tool(t, name)
	}
	return filepath.Join(testdb.Tools(t), "bin", name)
}

// drizzleScript runs Drizzle's migrator, as an application does.
const drizzleScript = `import { createRequire } from 'node:module';
const require = createRequire(process.env.WHIMBREL_TEST_TOOLS + '/node_modules/');
const [kind, db, migrationsFolder] = process.argv.slice(2);
if (kind === 'PostgreSQL') {
	const { Pool } = require('pg');
	const pool = new Pool({ connectionString: db });
	await require('drizzle-orm/node-postgres/migrator').migrate(require('drizzle-orm/node-postgres').drizzle(pool), { migrationsFolder });
	await pool.end();
} else if (kind === 'MariaDB') {
	const connection = await require('mysql2/promise').createConnection(db);
	await require('drizzle-orm/mysql2/migrator').migrate(require('drizzle-orm/mysql2').drizzle(connection), { migrationsFolder });
	await connection.end();
} else {
	const client = require('@libsql/client').createClient({ url: 'file:' + db });
	await require('drizzle-orm/libsql/migrator').migrate(require('drizzle-orm/libsql').drizzle(client), { migrationsFolder });
	client.close();
}
`

// writeJournal adds migrations to Drizzle's journal.
func writeJournal(t *testing.T, dir string, versions []int, kind sqltext.Dialect) {
	t.Helper()
	type entry struct {
		Idx         int    `json:"idx"`
		Version     string `json:"version"`
		When        int64  `json:"when"`
		Tag         string `json:"tag"`
		Breakpoints bool   `json:"breakpoints"`
	}
	journal := struct {
		Version string  `json:"version"`
		Dialect string  `json:"dialect"`
		Entries []entry `json:"entries"`
	}{Version: "7", Dialect: map[sqltext.Dialect]string{pg: "postgresql", lite: "sqlite", maria: "mysql"}[kind]}
	file := filepath.Join(dir, "meta", "_journal.json")
	if old, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(old, &journal); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range versions {
		journal.Entries = append(journal.Entries, entry{v - 1, "7", 1700000000000 + int64(v), fmt.Sprintf("%04d_step", v-1), true})
	}
	text, err := json.Marshal(journal)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, string(text))
}

// writePlan adds changes to Sqitch's plan.
func writePlan(t *testing.T, dir string, versions []int, _ sqltext.Dialect) {
	t.Helper()
	file := filepath.Join(dir, "sqitch.plan")
	text, err := os.ReadFile(file)
	if err != nil {
		text = []byte("%syntax-version=1.0.0\n%project=app\n\n")
	}
	for _, v := range versions {
		text = fmt.Appendf(text, "step%d 2024-01-01T00:00:0%dZ Test <test@example.com> # a step\n", v, v)
	}
	writeFile(t, file, string(text))
	writeFile(t, filepath.Join(dir, "sqitch.conf"), "[core]\n\tengine = pg\n")
}

// writeIncludes writes Liquibase's changelog, which includes the files of a folder.
func writeIncludes(t *testing.T, dir string, versions []int, _ sqltext.Dialect) {
	t.Helper()
	text := "databaseChangeLog:\n"
	for v := 1; v <= slices.Max(versions); v++ {
		text += fmt.Sprintf("  - include:\n      file: %d-step.sql\n", v)
	}
	writeFile(t, filepath.Join(dir, "all.yaml"), text)
}

func writeFile(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// run runs the program in a folder and returns what it printed.
func (p program) run(t *testing.T, name, dir, db string, kind sqltext.Dialect) (output string, err error) {
	t.Helper()
	args, env := p.command(dir, db, kind)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
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
func (p program) write(t *testing.T, dir string, kind sqltext.Dialect, versions ...int) {
	t.Helper()
	if p.index != nil {
		p.index(t, dir, versions, kind)
	}
	for _, v := range versions {
		for name, text := range p.files(v, fmt.Sprintf("CREATE TABLE t%d (x int);", v), fmt.Sprintf("DROP TABLE t%d;", v)) {
			writeFile(t, filepath.Join(dir, name), text)
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
	p.write(t, dir, kind, 1, 2)
	p.mustRun(t, name, dir, target.address, kind)
	p.write(t, dir, kind, 3)

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

	ignore, err := adopt.Objects(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	scratch := inspect.Beside(db)
	scratch.Ignore = ignore
	if changes, err := inspect.Drift(t.Context(), db, scratch, set); err != nil || len(changes) > 0 {
		t.Errorf("drift after a takeover: %v, %v", changes, err)
	}

	p.write(t, dir, kind, 4)
	if !block {
		return
	}
	if p.noWrite {
		if _, err := adopt.Reverse(t.Context(), db, set, adopt.ReverseOptions{}); !errors.As(err, new(*adopt.UnsupportedError)) {
			t.Errorf("the error of a reversal is %v, want an UnsupportedError", err)
		}
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
