package source_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

const up = "SELECT 1;"

func TestNativeNames(t *testing.T) {
	testReadings(t, source.Native, []reading{
		{
			name:  "a pair, an up alone, a gap, leading zeros or not",
			files: files("0001_a.up.sql", up, "0001_a.down.sql", "SELECT 2;", "7_b.up.sql", up),
			want: `1 a
  up 0001_a.up.sql "SELECT 1;"
  down 0001_a.down.sql "SELECT 2;"
7 b
  up 7_b.up.sql "SELECT 1;"`,
		},
		{
			name:  "up and down may write the version's zeros differently",
			files: files("0001_a.up.sql", up, "1_a.down.sql", up),
			want:  "1 a\n  up 0001_a.up.sql \"SELECT 1;\"\n  down 1_a.down.sql \"SELECT 1;\"",
		},
		{
			name:  "version 0",
			files: files("0000_a.up.sql", up),
			want:  "0 a\n  up 0000_a.up.sql \"SELECT 1;\"",
		},
		{
			name:  "0157.up.sql without a name",
			files: files("0157.up.sql", up, "0158_.up.sql", up),
			want:  "157\n  up 0157.up.sql \"SELECT 1;\"\n158\n  up 0158_.up.sql \"SELECT 1;\"",
		},
		{
			name:  "x..up.sql and .tx.up.sql",
			files: files("0011_x..up.sql", up, "0012_x.tx.up.sql", up, "0012_x.tx.down.sql", up),
			want: `11 x.
  up 0011_x..up.sql "SELECT 1;"
12 x.tx
  up 0012_x.tx.up.sql "SELECT 1;"
  down 0012_x.tx.down.sql "SELECT 1;"`,
		},
		{
			name:  "20170804200817_x beside 2017-09-23-182408_x: only the digits count",
			files: files("20170804200817_x.up.sql", up, "2017-09-23-182408_x.up.sql", up),
			want:  "20170804200817 x\n  up 20170804200817_x.up.sql \"SELECT 1;\"\n20170923182408 x\n  up 2017-09-23-182408_x.up.sql \"SELECT 1;\"",
		},
		{
			name:  "impossible dates and 15-digit versions: a version is a number, not a time",
			files: files("20171399256199_x.up.sql", up, "201708042008170_y.up.sql", up),
			want:  "20171399256199 x\n  up 20171399256199_x.up.sql \"SELECT 1;\"\n201708042008170 y\n  up 201708042008170_y.up.sql \"SELECT 1;\"",
		},
		{
			name:  "the largest version, and one more",
			files: files("9223372036854775807_a.up.sql", up, "9223372036854775808_b.up.sql", up),
			errors: "9223372036854775808_b.up.sql: the version 9223372036854775808 is too large; " +
				"the largest is 9223372036854775807",
		},
		{
			name:   "duplicate version numbers",
			files:  files("0003_a.up.sql", up, "0003_a.down.sql", up, "3_b.up.sql", up),
			opts:   source.Options{Dir: "db"},
			errors: "db/3_b.up.sql: version 3 is used twice: db/0003_a.up.sql and db/3_b.up.sql; change the version of one",
		},
		{
			name:   "two downs of one version",
			files:  files("0003_a.up.sql", up, "0003_a.down.sql", up, "3_a.down.sql", up),
			errors: "3_a.down.sql: version 3 is used twice: 0003_a.down.sql and 3_a.down.sql; change the version of one",
		},
		{
			name:   "names that differ between up and down",
			files:  files("0003_a.up.sql", up, "0003_b.down.sql", up),
			errors: "0003_b.down.sql: has the version of 0003_a.up.sql but another name; give both files the same name",
		},
		{
			name:   "a down without an up",
			files:  files("0003_a.down.sql", up),
			errors: "0003_a.down.sql: this down script has no up script; add 0003_a.up.sql, or remove this file",
		},
		{
			name:  "0021_…_up.sql without the dot that later files need",
			files: files("0021_add_ports_up.sql", up, "0022_x-down.sql", up, "23_x.UP.SQL", up, "24-x.up.sql", up, "25_x.sql", up, "26.sql", up),
			errors: `0021_add_ports_up.sql: is not named like a migration; did you mean 0021_add_ports.up.sql?
0022_x-down.sql: is not named like a migration; did you mean 0022_x.down.sql?
23_x.UP.SQL: is not named like a migration; did you mean 23_x.up.sql?
24-x.up.sql: is not named like a migration; did you mean 24_x.up.sql?
25_x.sql: is not named like a migration; it has to say whether it is up or down: 25_x.up.sql
26.sql: is not named like a migration; it has to say whether it is up or down: 26.up.sql`,
		},
		{
			name: "files that are not migrations: README, LICENSE, .sum, .conf, hidden ones",
			files: files("README.md", "x", "LICENSE", "x", "atlas.sum", "x", "flyway.conf", "x", "migrations.go", "x",
				".hidden.sql", "x", ".git/config", "x", "0001_a.up.sql", up, "0001_a.up.sql.orig", "x"),
			want: "1 a\n  up 0001_a.up.sql \"SELECT 1;\"",
		},
		{
			name:  "afterMigrate.sql, and reworked changes named name@tag.sql, are .sql files that don't fit",
			files: files("afterMigrate.sql", up, "ports@v1.sql", up),
			errors: `afterMigrate.sql: is not named like a migration; names look like 0001_add_users.up.sql and 0001_add_users.down.sql
ports@v1.sql: is not named like a migration; names look like 0001_add_users.up.sql and 0001_add_users.down.sql`,
		},
		{
			name: "a directory instead of a file",
			files: fstest.MapFS{
				"0001_a.up.sql":   {Data: []byte(up)},
				"0001_a.down.sql": {Mode: fs.ModeDir},
			},
			errors: "0001_a.down.sql: is a folder; a migration has to be a file",
		},
		{
			name:   "numbering per sub-folder: not hidden in silence",
			files:  files("0001_a.up.sql", up, "v2/0001_b.up.sql", up),
			opts:   source.Options{Dir: "db"},
			errors: "db/v2: holds migrations, such as 0001_b.up.sql, but sub-folders are not read; move them, or rename the folder so that it begins with _",
		},
		{
			name:  "sub-folders that hold something else, or are set aside",
			files: files("0001_a.up.sql", up, "seeds/ports.sql", up, "_old/0001_b.up.sql", up, ".x/0001_b.up.sql", up),
			want:  "1 a\n  up 0001_a.up.sql \"SELECT 1;\"",
		},
		{
			name:   "migrations in sub-folders alone",
			files:  files("mysql/x.sql", up, "postgres/x.sql", up),
			opts:   source.Options{Dir: "db"},
			errors: "db: there is no migration in the folder itself; name one of its folders: db/mysql, db/postgres (in Go, fs.Sub)",
		},
		{
			name:   "migrations in the only sub-folder",
			files:  files("README.md", "", "migrations/0001_a.up.sql", up, "migrations/0001_a.down.sql", up),
			opts:   source.Options{Dir: "db"},
			errors: "db: there is no migration in the folder itself; name one of its folders: db/migrations (in Go, fs.Sub)",
		},
		{
			name: "sub-folders and files that begin with a number and are no migrations",
			files: fstest.MapFS{
				"0001_a.up.sql":  {Data: []byte(up)},
				"2024":           {Mode: fs.ModeDir},
				"2024-01-31/01":  {Mode: fs.ModeDir},
				"3":              {Mode: fs.ModeDir},
				"docs/1.md":      {},
				"docs/2":         {},
				"archive/7":      {Mode: fs.ModeDir},
				"4_x":            {Data: []byte(up)},
				"5_x.up.sq":      {Data: []byte(up)},
				"sql":            {Data: []byte(up)},
				"6.sql.bak/7.up": {Data: []byte(up)},
			},
			want: "1 a\n  up 0001_a.up.sql \"SELECT 1;\"",
		},
		{
			name:   "migrations deep in sub-folders",
			files:  files("0001_a.up.sql", up, "2024/01/0002_b.up.sql", up),
			errors: "2024: holds migrations, such as 01/0002_b.up.sql, but sub-folders are not read; move them, or rename the folder so that it begins with _",
		},
		{
			name:   "Hasura's folders below the one of their database",
			files:  files("default/1_a/up.sql", up, "default/2_b/up.sql", up, "other/1_a/down.sql", up),
			opts:   source.Options{Dir: "migrations"},
			errors: "migrations: there is no migration in the folder itself; name one of its folders: migrations/default, migrations/other (in Go, fs.Sub)",
		},
	})
}

func TestNativeFollowsSymlinks(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("symlinks need a privilege")
	}
	dir := t.TempDir()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "m"), 0o700),
		os.WriteFile(filepath.Join(dir, "shared.sql"), []byte(up), 0o600),
		os.Symlink("../shared.sql", filepath.Join(dir, "m", "0001_a.up.sql")),
		os.Symlink("nowhere", filepath.Join(dir, "m", "README")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	set, err := source.Read(os.DirFS(filepath.Join(dir, "m")), source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if set.Len() != 1 {
		t.Fatalf("set.Len() = %v, want 1", set.Len())
	}
	for _, err := range []error{
		os.Symlink("nowhere", filepath.Join(dir, "m", "0002_b.up.sql")),
		os.Symlink("..", filepath.Join(dir, "m", "0003_c.up.sql")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err = source.Read(os.DirFS(filepath.Join(dir, "m")), source.Options{})
	want := "0002_b.up.sql: can't be read: no such file or directory\n0003_c.up.sql: is a folder; a migration has to be a file"
	if errorText(err) != want {
		t.Errorf("got:\n%v\nwant:\n%s", err, want)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error("the cause is lost")
	}
}

func TestNativeDirectives(t *testing.T) {
	one := func(text string) fstest.MapFS { return files("1_x.up.sql", text) }
	testReadings(t, source.Native, []reading{
		{
			name:  "in comments before the first statement, in any case, CRLF and trailing blanks",
			files: one("\r\n/* licence;\r\n */\r\n-- Whimbrel: NO-transaction \t\r\n--whimbrel:lock-timeout 2s\r\n" + up),
			want:  `1 x` + "\n" + `  up 1_x.up.sql [no-transaction, lock-timeout 2s] "\r\n/* licence;\r\n */\r\n-- Whimbrel: NO-transaction \t\r\n--whimbrel:lock-timeout 2s\r\nSELECT 1;"`,
		},
		{
			name:  "behind a byte-order mark, in down scripts, with non-breaking spaces",
			files: files("1_x.up.sql", "\ufeff-- whimbrel: no-transaction\n"+up, "1_x.down.sql", "--\u00a0whimbrel:\u00a0lock-timeout\u00a02s\n"+up),
			want: "1 x\n  up 1_x.up.sql [no-transaction] \"-- whimbrel: no-transaction\\nSELECT 1;\"\n" +
				"  down 1_x.down.sql [lock-timeout 2s] \"--\\u00a0whimbrel:\\u00a0lock-timeout\\u00a02s\\nSELECT 1;\"",
		},
		{
			name:  "an unknown one",
			files: one("-- a licence; with signs\n  -- whimbrel: no-transactions\n" + up),
			opts:  source.Options{Dir: "db/"},
			errors: `db/1_x.up.sql:2:3: unknown directive "no-transactions"; valid directives: ` +
				`no-transaction, empty, secret, lock-timeout, retry-for, statement-timeout, replaces, skip-on-scratch, unfinished, after; did you mean "no-transaction"?`,
		},
		{
			name:   "with a wrong argument",
			files:  one("-- whimbrel: lock-timeout soon\n" + up),
			errors: `1_x.up.sql:1:1: directive "lock-timeout" needs a duration of at least 1ms, such as "lock-timeout 2s" (got "soon")`,
		},
		{
			name:   "behind a statement",
			files:  one("SELECT 'é'; -- whimbrel: no-transaction\n"),
			errors: `1_x.up.sql:1:13: directives must come before the first statement; move "-- whimbrel: no-transaction" up`,
		},
		{
			name:  "lines that begin inside a string, a dollar quote or a comment are data",
			files: one("SELECT '\n-- whimbrel: x\n', $a$\n-- whimbrel: x\n$$ $a$, \"\n-- whimbrel: x\n\", E'\\'\n-- whimbrel: x\n' /*\n-- whimbrel: x\n*/"),
			want:  `1 x` + "\n" + `  up 1_x.up.sql "SELECT '\n-- whimbrel: x\n', $a$\n-- whimbrel: x\n$$ $a$, \"\n-- whimbrel: x\n\", E'\\'\n-- whimbrel: x\n' /*\n-- whimbrel: x\n*/"`,
		},
		{
			name:  "text that talks about Whimbrel is none",
			files: one("-- Whimbrel runs this\n-- see whimbrel: x\n" + up),
			want:  `1 x` + "\n" + `  up 1_x.up.sql "-- Whimbrel runs this\n-- see whimbrel: x\nSELECT 1;"`,
		},
		{
			name:   "the last line without a newline",
			files:  one(up + "\n-- whimbrel: empty"),
			errors: `1_x.up.sql:2:1: directives must come before the first statement; move "-- whimbrel: empty" up`,
		},
	})
}

func TestNativeEmptyScripts(t *testing.T) {
	var cases []reading
	for name, text := range map[string]string{
		"nothing": "", "white space": " \r\n\t", "a line comment": "-- later", "a block comment": "/* a /* nested */ one */\n",
		"a stray terminator": ";\n;", "a byte-order mark": "\ufeff", "a MySQL comment": "# later\n", "a comment that begins like MariaDB's": "/*Maybe later*/",
	} {
		inFile := strings.TrimPrefix(text, "\ufeff")
		cases = append(cases, reading{name: name, files: files("1_x.up.sql", text), want: fmt.Sprintf("1 x\n  up 1_x.up.sql [can't be run] %q", inFile)})
	}
	for name, text := range map[string]string{
		"MySQL's code in a comment": "/*!40101 SET NAMES utf8 */;", "MariaDB's": "/*M!100100 SET x = 1 */;",
		"an unclosed comment is for the splitter": "/* a", "a minus": "-", "the last byte": "/* */ /",
	} {
		cases = append(cases, reading{name: name, files: files("1_x.up.sql", text), want: "1 x\n  up 1_x.up.sql \"" + text + "\""})
	}
	cases = append(cases,
		reading{
			name:  "meant so",
			files: files("1_x.up.sql", "-- whimbrel: empty\n"),
			want:  "1 x\n  up 1_x.up.sql [empty] \"-- whimbrel: empty\\n\"",
		},
		reading{
			name:   "meant so and yet not empty",
			files:  files("1_x.up.sql", "-- whimbrel: empty\n"+up),
			errors: `1_x.up.sql: the script says "-- whimbrel: empty" but has statements; remove the line or the statements`,
		},
		reading{
			name:  "an empty down that is meant so: there is nothing to take back",
			files: files("1_x.up.sql", up, "1_x.down.sql", "-- whimbrel: empty\n"),
			want:  "1 x\n  up 1_x.up.sql \"SELECT 1;\"\n  down 1_x.down.sql [empty] \"-- whimbrel: empty\\n\"",
		},
		reading{
			name:  "a down that nobody has written yet is none",
			files: files("1_x.up.sql", up, "1_x.down.sql", "-- Takes back x.\n"),
			want:  "1 x\n  up 1_x.up.sql \"SELECT 1;\"",
		},
	)
	testReadings(t, source.Native, cases)
}

// A script that is not written yet is in the set. Its Problem is an error as soon as it has to run.
func TestUnfinishedScripts(t *testing.T) {
	t.Parallel()
	const noStatement = `has no statement; write one, or mark it as intentionally empty with "-- whimbrel: empty"`
	const unfinished = `the script says "-- whimbrel: unfinished"; write it, and remove that line`
	for _, c := range []struct {
		format     source.Format
		name, text string
		want       string // "" for a script that does nothing, as in its tool
	}{
		{source.Native, "1_a.up.sql", "-- later", "1_a.up.sql: the up script " + noStatement},
		{source.Native, "1_a.up.sql", "-- whimbrel: unfinished\nSELECT 1", "1_a.up.sql:1:1: " + unfinished},
		{source.Native, "1_a.up.sql", "SELECT 1;\n-- whimbrel: unfinished\n", "1_a.up.sql:2:1: " + unfinished},
		{source.Goose, "1_a.sql", "-- +goose Up\nSELECT 1;\n-- whimbrel: unfinished\n", "1_a.sql:3:1: " + unfinished},
		{source.GolangMigrate, "1_a.up.sql", "", ""},
		{source.GolangMigrate, "1_a.up.sql", "-- nothing to do", ""},
		{source.GolangMigrate, "1_a.up.sql", "-- whimbrel: unfinished\n", "1_a.up.sql:1:1: " + unfinished},
		{source.Goose, "1_a.sql", "-- +goose Up\n\n-- +goose Down\n", ""},
		{source.Goose, "1_a.sql", "-- +goose Up\n-- Whimbrel: Unfinished\n-- +goose Down\n", "1_a.sql:2:1: " + unfinished},
		{source.Dbmate, "1_a.sql", "-- migrate:up\n\n-- migrate:down\n", ""},
		{source.Tern, "1_a.sql", "-- later\n---- create above / drop below ----\n", "1_a.sql: the up script " + noStatement},
		{source.Hasura, "1_a/up.sql", "", ""},
		{source.SQLMigrate, "1-a.sql", "-- +migrate Up\n\n-- +migrate Down\n", ""},
		{source.Sqlx, "1_a.up.sql", "", ""},
		{source.Prisma, "1_a/migration.sql", "-- This is an empty migration.", ""},
		{source.Diesel, "1_a/up.sql", "-- nothing", ""},
		{source.Diesel, "2024-01-31-093000_a/up.sql", "", "2024-01-31-093000_a/up.sql: the up script " + noStatement},
	} {
		set, err := source.Read(files(c.name, c.text), source.Options{Format: c.format})
		if err != nil {
			t.Errorf("%s: %q: %v", c.format, c.text, err)
			continue
		}
		_, err = set.All()[0].Up.Analyze(sqltext.PostgreSQL, nil)
		if got := errorText(err); got != c.want {
			t.Errorf("%s: %q: got %q, want %q", c.format, c.text, got, c.want)
		}
	}
	set, err := source.Read(files("B5_schema.sql", "-- later", "R__views.sql", "-- later"), source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*migration.Script{set.Baselines()[0].Up, set.Repeatables()[0].Script} {
		if got := errorText(s.Problem); got != s.File+": the script "+noStatement {
			t.Errorf("%s: %q", s.File, got)
		}
	}
}

// The error says so if a folder has no problem when it is read as one of golang-migrate's.
func TestErrorsSayThatGolangMigrateTakesTheFolder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		files      fs.FS
		format     source.Format
		want       source.Format
		passedOver int
	}{
		{name: "names that differ", files: files("30_a.up..sql", up, "31_create_b.up.sql", up, "31_drop_b.down.sql", up), want: source.GolangMigrate},
		{name: "a file without a direction", files: files("1_a.up.sql", up, "2_b.sql", up), want: source.GolangMigrate, passedOver: 1},
		{name: "a problem in either", files: files("1_a.up.sql", "-- whimbrel: x\n"+up, "31_create_b.up.sql", up, "31_drop_b.down.sql", up)},
		{name: "a format that was said", files: files("31_create_b.up.sql", up, "31_drop_b.down.sql", up), format: source.Native},
		{name: "nothing that golang-migrate would run", files: files("a.sql", up)},
	} {
		_, err := source.Read(c.files, source.Options{Format: c.format})
		var all *source.FolderError
		if !errors.As(err, &all) {
			t.Errorf("%s: got %v, want a *FolderError", c.name, err)
			continue
		}
		if all.ReadsAs != c.want {
			t.Errorf("%s: ReadsAs is %q, want %q", c.name, all.ReadsAs, c.want)
		}
		if len(all.PassedOver) != c.passedOver {
			t.Errorf("%s: PassedOver is %v, want %d files", c.name, all.PassedOver, c.passedOver)
		}
		if said := strings.Contains(err.Error(), "\nAs a folder of golang-migrate it has no problem"); said != (c.want != source.Auto) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestManyProblemsAreCounted(t *testing.T) {
	t.Parallel()
	folder := fstest.MapFS{}
	for i := range 87 {
		folder[fmt.Sprintf("%04d_a.sql", i)] = &fstest.MapFile{Data: []byte(up)}
	}
	_, err := source.Read(folder, source.Options{Format: source.Native})
	var all *source.FolderError
	if !errors.As(err, &all) {
		t.Fatalf("got %v, want a %T", err, all)
	}
	if len(all.Problems) != 87 {
		t.Fatalf("len(all.Problems) = %v, want 87", len(all.Problems))
	}
	if !strings.HasSuffix(err.Error(), "\nand 37 more") {
		t.Errorf("err.Error() = %q, want a text ending with %q", err.Error(), "\nand 37 more")
	}
	if got, want := strings.Count(err.Error(), "\n"), source.ShownProblems; got != want {
		t.Errorf("strings.Count(err.Error(), \"\\n\") = %v, want %v", got, want)
	}
}

// What goes together is looked at once all files are read; then everything that doesn't is named,
// too.
func TestProblemsOfTheWholeAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	replaces := "-- whimbrel: replaces 1 " + migration.Sum("x").String() + "\n" + up
	fn := migration.Migration{Version: 1, Name: "f", Up: migration.Func("f", func() {})}
	_, err := source.Read(files("1_a.up.sql", up, "B1_x.sql", "-- whimbrel: no-transaction\n"+up, "B2_y.sql", replaces, "R__v.sql", replaces), source.Options{Format: source.Native})
	want := `B1_x.sql: a baseline always runs in one transaction; move statements that can't be in one to a migration
B2_y.sql: a baseline can't have the directive replaces, since it replaces all versions up to its own; remove the directive
R__v.sql: a repeatable script can't replace migrations; remove the directive`
	if got := errorText(err); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	_, err = source.Read(files("1_a.up.sql", up, "2_b.sql", up), source.Options{Format: source.Native, Funcs: []migration.Migration{fn, {Version: 3}}})
	if got := errorText(err); strings.Count(got, "\n") != 2 {
		t.Errorf("strings.Count(got, \"\\n\") = %v, want 2", strings.Count(got, "\n"))
	} else if !strings.Contains(got, "has no up function") {
		t.Errorf("got %q, want a text containing %q", got, "has no up function")
	} else if !strings.Contains(got, "version 1 is used twice") {
		t.Errorf("got %q, want a text containing %q", got, "version 1 is used twice")
	} else if !strings.Contains(got, "2_b.sql: ") {
		t.Errorf("got %q, want a text containing %q", got, "2_b.sql: ")
	}
}

func TestNamesThatAreNoUTF8(t *testing.T) {
	t.Parallel()
	const latin1 = "0001_caf\xe9.up.sql"
	for _, format := range append(source.Formats(), source.Auto) {
		_, err := source.Read(files(latin1, up, "notes-\xe9.txt", "x"), source.Options{Format: format})
		if want := latin1 + `: the name is not UTF-8: "0001_caf\xe9.up.sql"; rename it`; errorText(err) != want {
			t.Errorf("%s: %v", format, err)
		}
	}
}

func TestNamesThatLookAlike(t *testing.T) {
	t.Parallel()
	const differ, normal = "another name; give", "Unicode normalization; give"
	for _, c := range []struct{ up, down, want string }{
		{"caf\u00e9", "cafe\u0301", "they look alike, but é is U+00E9 in one and U+0065 U+0301 in the other, which is a matter of " + normal},
		{"cafe\u0301", "caf\u00e9", "U+0065 U+0301 in one and U+00E9 in the other, which is a matter of " + normal},
		{"한국", "\u1112\u1161\u11ab\u1100\u116e\u11a8", "한 is U+D55C in one and U+1112 U+1161 U+11AB in the other, which is a matter of " + normal},
		{"größe_ä", "gro\u0308ße_a\u0308", normal},
		{"cafe", "caf\u00e9", differ},
		{"caf\u00e9", "cafe\u0301s", differ},
		{"a", "b", differ},
		{"x\u0301", "", differ},
		{"\u00e9", "E\u0301", differ},
	} {
		_, err := source.Read(files("1_"+c.up+".up.sql", up, "1_"+c.down+".down.sql", up), source.Options{Format: source.Native})
		if err == nil {
			t.Fatalf("%q, %q: got no error", c.up, c.down)
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q, %q: err.Error() = %q, want a text containing %q", c.up, c.down, err.Error(), c.want)
		}
	}
	_, err := source.Read(files("1_\u00e9.up.sql", up, "1_e\u0301.metadata.yaml", ""), source.Options{})
	if err == nil {
		t.Fatal("got no error")
	}
	if !strings.Contains(err.Error(), normal) {
		t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), normal)
	}
}

func TestNativeBytes(t *testing.T) {
	testReadings(t, source.Native, []reading{
		{
			name:  "no final newline, inside a comment: nothing is appended",
			files: files("1_x.up.sql", up+"\n-- the end"),
			want:  `1 x` + "\n" + `  up 1_x.up.sql "SELECT 1;\n-- the end"`,
		},
		{
			name:  "text that only looks like a template is never substituted",
			files: files("1_x.up.sql", "INSERT INTO x VALUES ('${a2:username}', '{{orgname}}', '$HOME');"),
			want:  `1 x` + "\n" + `  up 1_x.up.sql "INSERT INTO x VALUES ('${a2:username}', '{{orgname}}', '$HOME');"`,
		},
		{
			name:  "non-breaking spaces are text",
			files: files("1_x.up.sql", "SELECT\u00a01;"),
			want:  "1 x\n  up 1_x.up.sql \"SELECT\\u00a01;\"",
		},
		{
			name:   "what isn't UTF-8, with its place",
			files:  files("1_x.up.sql", "SELECT 'ü',\n'\xfc';", "1_x.down.sql", "\ufeffa\x00"),
			errors: "1_x.down.sql:1:2: a NUL byte; no database takes one in SQL text\n1_x.up.sql:2:2: byte 0xfc is not UTF-8; save the file as UTF-8",
		},
	})
}

func TestChecksumIsTheSameOnEverySystem(t *testing.T) {
	t.Parallel()
	var sums []migration.Checksum
	for _, text := range []string{"SELECT 1;\nSELECT 2;\n", "SELECT 1;\r\nSELECT 2;\r\n", "\ufeffSELECT 1;\nSELECT 2;\n"} {
		set, err := source.Read(files("1_x.up.sql", text), source.Options{})
		if err != nil {
			t.Fatal(err)
		}
		m, _ := set.Get(1)
		sums = append(sums, m.Up.Checksum)
	}
	if sums[0] != sums[1] {
		t.Errorf("sums[0] = %v, want %v", sums[0], sums[1])
	}
	if sums[0] != sums[2] {
		t.Errorf("sums[0] = %v, want %v", sums[0], sums[2])
	}
}

func TestProblemsAreReportedTogether(t *testing.T) {
	t.Parallel()
	_, err := source.Read(files("1_a.down.sql", up, "2_b.up.sql", "-- whimbrel: x\n-- whimbrel: y\n"+up, "x.sql", up), source.Options{Format: source.Native})
	var all *source.FolderError
	if !errors.As(err, &all) {
		t.Fatalf("got %v, want a %T", err, all)
	}
	if len(all.Problems) != 4 {
		t.Fatalf("len(all.Problems) = %v, want 4", len(all.Problems))
	}
	if p := all.Problems[2]; p.File != "2_b.up.sql" {
		t.Errorf("p.File = %q, want %q", p.File, "2_b.up.sql")
	} else if p.Line != 2 {
		t.Errorf("p.Line = %v, want 2", p.Line)
	} else if p.Column != 1 {
		t.Errorf("p.Column = %v, want 1", p.Column)
	}
	var one *source.Error
	if !errors.As(err, &one) {
		t.Fatalf("got %v, want a %T", err, one)
	}
	if one != all.Problems[0] {
		t.Errorf("one = %v, want %v", one, all.Problems[0])
	}
}

func TestGolangMigrate(t *testing.T) {
	testReadings(t, source.GolangMigrate, []reading{
		{
			name:  "pairs by version, names may differ, any extension",
			files: files("000001_a.up.sql", up, "000001_b.down.sql", up, "2_c.d.up.pgsql", up, "3_.up.sql", up, "notes.sql", up, "0001.up.txt", up),
			want: `1 a
  up 000001_a.up.sql "SELECT 1;"
  down 000001_b.down.sql "SELECT 1;"
2 c.d
  up 2_c.d.up.pgsql "SELECT 1;"
3
  up 3_.up.sql "SELECT 1;"`,
		},
		{
			name:  "directives work, unknown ones are errors",
			files: files("1_a.up.sql", "-- whimbrel: no-transaction\n"+up),
			want:  "1 a\n  up 1_a.up.sql [no-transaction] \"-- whimbrel: no-transaction\\nSELECT 1;\"",
		},
		{
			name:  "what it passes over, and what does nothing there",
			files: files("0021_x_up.sql", up, "0157.up.sql", up, "4_a.down.sql", up, "6_e.up.sql", "", "6_e.down.sql", ""),
			want: `4 a
  up 4_a.up.sql ""
  down 4_a.down.sql "SELECT 1;"
6 e
  up 6_e.up.sql ""
  down 6_e.down.sql ""`,
			warnings: `0021_x_up.sql: golang-migrate skips this file, so it does not run; names look like 000001_add_users.up.sql and 000001_add_users.down.sql
0157.up.sql: golang-migrate skips this file, so it does not run; names look like 000001_add_users.up.sql and 000001_add_users.down.sql
4_a.down.sql: this down script has no up script, so golang-migrate runs nothing for version 4; it would be 4_a.up.sql`,
		},
		{
			name:  "what it refuses, too",
			files: files("5_a.up.sql", up, "5_b.up.sql", up, "7_c.down.sql", up, "7_d.down.sql", up, "99999999999999999999_a.up.sql", up),
			errors: `5_b.up.sql: version 5 is used twice: 5_a.up.sql and 5_b.up.sql; change the version of one
7_c.down.sql: this down script has no up script; add 7_c.up.sql, or remove this file
99999999999999999999_a.up.sql: the version 99999999999999999999 is too large; the largest is 9223372036854775807`,
		},
		{
			name:  "sub-folders are passed over, as it does",
			files: files("1_a.up.sql", up, "old/1_b.up.sql", up),
			want:  "1 a\n  up 1_a.up.sql \"SELECT 1;\"",
		},
	})
}
