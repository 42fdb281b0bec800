package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"text/template"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// origin is a tool from which a page of docs/from leads to Whimbrel. testdata/from has the files of
// a team that uses the tool: before.sh migrates its database to the second migration and adds a
// third. After.sh continues with the tool when Whimbrel has given the database back.
type origin struct {
	page string
	tool string // as Whimbrel names it
	// program is the tool's program, or "" if the tests have none: then before.sh writes the tool's
	// table.
	program string
	// env configures the program. $DATABASE_URL is the address of the database.
	env []string
	// dots are the arguments for which "…" is written in the commands of the page.
	dots string
	// unrun says that the tool's own column of the commands is not run: a call takes seconds, or the
	// tests have the tool's library only.
	unrun bool
}

var origins = []origin{
	{page: "golang-migrate", tool: "golang-migrate", program: "migrate", dots: `-path migrations -database "$DATABASE_URL"`},
	{page: "goose", tool: "goose", program: "goose", env: []string{"GOOSE_DRIVER=postgres", "GOOSE_DBSTRING=$DATABASE_URL", "GOOSE_MIGRATION_DIR=migrations"}},
	{page: "dbmate", tool: "dbmate", program: "dbmate", env: []string{"DBMATE_NO_DUMP_SCHEMA=true"}},
	{page: "tern", tool: "tern", program: "tern", dots: `-m migrations --conn-string "$DATABASE_URL"`},
	{page: "sql-migrate", tool: "sql-migrate", program: "sql-migrate"},
	{page: "drizzle", tool: "drizzle", program: "node", unrun: true},
	{page: "sqitch", tool: "sqitch", program: "sqitch", env: []string{"SQITCH_FULLNAME=Alice", "SQITCH_EMAIL=alice@example.com"}},
	{page: "liquibase", tool: "liquibase", program: "liquibase", unrun: true},
	{page: "flyway", tool: "flyway"},
	{page: "prisma", tool: "prisma"},
	{page: "sqlx", tool: "sqlx"},
	{page: "diesel", tool: "diesel"},
	{page: "atlas", tool: "atlas"},
	{page: "hasura", tool: "hasura"},
	{page: "rails", tool: "rails"},
}

// TestComingFrom runs the pages of docs/from from a folder and a database of the tool.
func TestComingFrom(t *testing.T) {
	t.Parallel()
	for _, o := range origins {
		t.Run(o.page, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(filepath.Join("../../docs/from", o.page+".md"))
			if err != nil {
				t.Fatal(err)
			}
			for _, what := range []string{"\n## The move\n", "\n## Commands\n", "\n## What is different\n", "\n## What can't be moved\n", "\n## Going back\n", "\n$ whimbrel adopt --reverse"} {
				if !strings.Contains(string(text), what) {
					t.Errorf("the page has no %q", strings.TrimSpace(what))
				}
			}
			t.Run("walk", func(t *testing.T) {
				t.Parallel()
				o.walk(t, string(text))
			})
			t.Run("commands", func(t *testing.T) {
				t.Parallel()
				o.commands(t, string(text))
			})
		})
	}
}

// TestBesideRiver runs the page of River, which migrates tables of its own beside those of the
// application.
func TestBesideRiver(t *testing.T) {
	t.Parallel()
	o := origin{page: "river"}
	text, err := os.ReadFile("../../docs/from/river.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("walk", func(t *testing.T) {
		t.Parallel()
		o.arrive(t).follow(string(text))
	})
	t.Run("commands", func(t *testing.T) {
		t.Parallel()
		sh := o.arrive(t)
		for _, row := range rowsOf(t, string(text), 6) {
			sh.run(row.ours)
		}
	})
}

// walk follows the page.
func (o origin) walk(t *testing.T, page string) {
	sh := o.arrive(t)
	if got := sh.answer("whimbrel status"); !strings.Contains(got, "migrated by "+o.tool) {
		t.Errorf("status does not name %s:\n%s", o.tool, got)
	}
	sh.fails(5, "whimbrel up")
	sh.run("whimbrel adopt --dry-run")
	sh.follow(strings.ReplaceAll(page, "…", o.dots))
	sh.run("sh -e after.sh")
}

// commands runs the two columns of the page's table, each on a database of its own.
func (o origin) commands(t *testing.T, page string) {
	rows := rowsOf(t, page, 8)
	programOf := regexp.MustCompile(`^[a-z-]+`)
	if o.program != "" && !o.unrun {
		sh := o.arrive(t)
		for _, row := range rows {
			if programOf.FindString(row.theirs) == o.program {
				sh.run(strings.ReplaceAll(row.theirs, "…", o.dots))
			}
		}
	}
	ours := o.arrive(t)
	ours.run("whimbrel adopt --verify")
	for _, row := range rows {
		ours.run(strings.ReplaceAll(row.ours, "--yes app", "--yes "+ours.database()))
	}
}

// commandRow is a row of a page's commands; theirs is "" if the tool has none.
type commandRow struct{ theirs, ours string }

// rowsOf returns the commands of a page, which must have a number of them.
func rowsOf(t *testing.T, page string, atLeast int) (rows []commandRow) {
	t.Helper()
	_, table, _ := strings.Cut(page, "\n## Commands\n")
	for _, m := range regexp.MustCompile("(?m)^\\|[^|]*\\|(?: `([^`]+)`)? \\| `([^`]+)` \\|$").FindAllStringSubmatch(table, -1) {
		rows = append(rows, commandRow{m[1], m[2]})
	}
	if len(rows) < atLeast {
		t.Fatalf("the page has %d commands, want at least %d", len(rows), atLeast)
	}
	return rows
}

// arrive returns a shell in a folder with the files, and with a database that the tool has
// migrated.
func (o origin) arrive(t *testing.T) *shell {
	t.Helper()
	testdb.Tool(t, "psql")
	sh := newShell(t, t.TempDir())
	address := testdb.Postgres(t)
	sh.env = append(sh.env, "DATABASE_URL="+address)
	for _, e := range o.env {
		sh.env = append(sh.env, strings.ReplaceAll(e, "$DATABASE_URL", address))
	}
	if o.program != "" {
		tools := testdb.Tools(t)
		if _, err := os.Stat(filepath.Join(tools, "bin", o.program)); err != nil {
			testdb.Tool(t, o.program)
		}
		sh.env[0] = "PATH=" + filepath.Join(tools, "bin") + string(filepath.ListSeparator) + os.Getenv("PATH")
		sh.env = append(sh.env, "TOOLS="+tools)
	}
	archive, err := txtar.ParseFile(filepath.Join("testdata/from", o.page+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range archive.Files {
		sh.write(f.Name, f.Data)
	}
	if sh.run("sh -e before.sh"); t.Failed() {
		t.FailNow()
	}
	return sh
}

// database returns the name of the database.
func (s *shell) database() string {
	for _, e := range s.env {
		if address, ok := strings.CutPrefix(e, "DATABASE_URL="); ok {
			u, err := url.Parse(address)
			if err != nil {
				s.t.Fatal(err)
			}
			return strings.TrimPrefix(u.Path, "/")
		}
	}
	return ""
}

// write creates a file. Its templates compute the checksums of files before it.
func (s *shell) write(name string, data []byte) {
	s.t.Helper()
	if bytes.Contains(data, []byte("{{")) {
		var b bytes.Buffer
		if err := template.Must(template.New(name).Funcs(s.checksums()).Parse(string(data))).Execute(&b, nil); err != nil {
			s.t.Fatal(err)
		}
		data = b.Bytes()
	}
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// checksums are the checksums of other tools.
func (s *shell) checksums() template.FuncMap {
	sum := func(f func(text []byte) string) func(name string) (string, error) {
		return func(name string) (string, error) {
			text, err := os.ReadFile(filepath.Join(s.dir, name))
			return f(text), err
		}
	}
	return template.FuncMap{
		"sha256": sum(func(text []byte) string { return fmt.Sprintf("%x", sha256.Sum256(text)) }),
		"sha384": sum(func(text []byte) string { return fmt.Sprintf("%x", sha512.Sum384(text)) }),
		"flyway": sum(func(text []byte) string { // of the lines without their ends
			return fmt.Sprint(int32(crc32.ChecksumIEEE(bytes.ReplaceAll(text, []byte("\n"), nil)))) // #nosec G115: as Flyway has it
		}),
		"atlasSum":  func(dir string) (string, error) { text, _, err := s.atlasSum(dir); return text, err },
		"atlasHash": func(dir string, i int) (string, error) { _, all, err := s.atlasSum(dir); return all[i-1], err },
	}
}

// atlasSum returns the atlas.sum of a folder, and the hash of each file. A hash covers the files
// before, too.
func (s *shell) atlasSum(dir string) (text string, hashes []string, err error) {
	files, err := filepath.Glob(filepath.Join(s.dir, dir, "*.sql"))
	if err != nil {
		return "", nil, err
	}
	h, total := sha256.New(), sha256.New()
	for _, file := range files { // in the order of their names
		data, err := os.ReadFile(file)
		if err != nil {
			return "", nil, err
		}
		name := filepath.Base(file)
		io.WriteString(h, name)
		h.Write(data)
		hash := base64.StdEncoding.EncodeToString(h.Sum(nil))
		io.WriteString(total, name+hash)
		text += name + " h1:" + hash + "\n"
		hashes = append(hashes, hash)
	}
	return "h1:" + base64.StdEncoding.EncodeToString(total.Sum(nil)) + "\n" + strings.TrimSuffix(text, "\n"), hashes, nil
}

// fails runs a command that has to exit with a code.
func (s *shell) fails(code int, command string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "sh", "-c", command)
	cmd.Dir, cmd.Env = s.dir, s.env
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != code {
		s.t.Errorf("%s: %v, want exit code %d\n%s", command, err, code, out)
	}
}
