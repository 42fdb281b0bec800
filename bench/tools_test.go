package bench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// verb is a tool's task.
type verb string

const (
	up       verb = "up"
	upAtomic verb = "up, all or nothing"
	down     verb = "down" // roll back everything
	status   verb = "status"
)

// call is one start of a tool.
type call struct {
	program string
	kind    kind
	verb    verb
	nothing bool   // nothing is pending
	outside bool   // some migrations can't be in a transaction
	db      string // a URL, or a file's path
	folder  string // of the migrations
}

// tool is a migration program.
type tool struct {
	name    string
	program string
	format  string // of its folders
	floor   bool   // it is the database's own client
	// args returns the command line, or nil if the tool can't do the task.
	args func(c call) []string
}

const ours = "whimbrel"

// plainName returns a tool's name without Markdown.
func plainName(name string) string { return strings.ReplaceAll(name, "`", "") }

// tools are in the order of the tables. The first tool of each kind of database is the one that the
// others are compared with.
var tools = []tool{
	{name: "`psql -1 -f`", program: "psql", format: formatClient, floor: true, args: psql("-1")},
	{name: "`psql -f`", program: "psql", format: formatClient, floor: true, args: psql()},
	{name: "`mariadb`", program: "mariadb", format: formatClient, floor: true, args: mariaDBClient},
	{name: "`sqlite3`", program: "sqlite3", format: formatClient, floor: true, args: sqlite3},
	{name: ours, program: "whimbrel", format: formatPairs, args: whimbrelArgs},
	{name: "golang-migrate", program: "migrate", format: formatPairs, args: golangMigrate},
	{name: "goose", program: "goose", format: formatGoose, args: goose},
	{name: "dbmate", program: "dbmate", format: formatDbmate, args: dbmate},
	{name: "tern", program: "tern", format: formatTern, args: tern},
	{name: "sql-migrate", program: "sql-migrate", format: formatSQLMigrate, args: sqlMigrate},
}

func psql(transaction ...string) func(call) []string {
	return func(c call) []string {
		if c.kind != postgres || len(transaction) == 0 && c.verb == upAtomic || len(transaction) > 0 && c.outside {
			return nil
		}
		args := append([]string{c.program, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-d", c.db}, transaction...)
		if script := clientScript(c); script != "" {
			return append(args, "-f", script)
		}
		return append(args, "-c", "SELECT 1")
	}
}

func mariaDBClient(c call) []string {
	if c.kind != mariadb || c.verb == upAtomic {
		return nil
	}
	statement := "SELECT 1"
	if script := clientScript(c); script != "" {
		statement = "source " + script
	}
	return append(append([]string{c.program}, mariaDBFlags(c.db)...), "--execute="+statement, databaseName(c.db))
}

func sqlite3(c call) []string {
	if c.kind != sqlite {
		return nil
	}
	args := []string{c.program, "-batch", "-bail", c.db}
	if script := clientScript(c); script != "" {
		return append(args, ".read "+script)
	}
	return append(args, "SELECT 1")
}

// clientScript returns the script for the database's own client, or "" if nothing is pending; the
// client then only asks one question.
func clientScript(c call) string {
	switch {
	case c.nothing || c.verb == status:
		return ""
	case c.verb == down:
		return filepath.Join(c.folder, "down.sql")
	}
	return filepath.Join(c.folder, "up.sql")
}

func whimbrelArgs(c call) []string {
	db := c.db
	if c.kind == mariadb && c.verb == upAtomic {
		return nil
	}
	if c.kind == sqlite {
		db = "sqlite:" + db
	}
	args := map[verb][]string{up: {"up"}, upAtomic: {"up", "--atomic"}, down: {"down", "--all"}, status: {"status"}}[c.verb]
	return append(append([]string{c.program}, args...), "--database", db, "--dir", c.folder)
}

func golangMigrate(c call) []string {
	db := c.db
	switch {
	case c.kind == sqlite:
		db = "sqlite://" + db
	case c.kind == mariadb:
		// Its driver sends at most 4 MiB, unless it asks the server for the limit.
		db = "mysql://" + mariaDBSource(db) + "&maxAllowedPacket=0"
	}
	args := map[verb][]string{up: {"up"}, down: {"down", "-all"}, status: {"version"}}[c.verb]
	if args == nil {
		return nil
	}
	return append([]string{c.program, "-path", c.folder, "-database", db}, args...)
}

func goose(c call) []string {
	args := map[verb][]string{up: {"up"}, down: {"reset"}, status: {"status"}}[c.verb]
	if args == nil {
		return nil
	}
	dialect, db := map[kind]string{postgres: "postgres", mariadb: "mysql", sqlite: "sqlite3"}[c.kind], c.db
	if c.kind == mariadb {
		db = mariaDBSource(db)
	}
	return append([]string{c.program, "-env", "none", "-dir", c.folder, dialect, db}, args...)
}

// dbmate rolls back one migration per start.
func dbmate(c call) []string {
	db := c.db
	if c.kind == sqlite {
		db = "sqlite:" + db
	}
	args := map[verb][]string{up: {"migrate"}, status: {"status"}}[c.verb]
	if args == nil {
		return nil
	}
	return append([]string{c.program, "--no-dump-schema", "--env-file", os.DevNull, "--migrations-dir", c.folder, "--url", db}, args...)
}

func tern(c call) []string {
	args := map[verb][]string{up: {"migrate"}, down: {"migrate", "--destination", "0"}, status: {"status"}}[c.verb]
	if args == nil || c.kind != postgres {
		return nil
	}
	return append(append([]string{c.program}, args...), "--conn-string", c.db, "--migrations", c.folder)
}

// sqlMigrate needs a settings file, which names the database by an environment variable.
func sqlMigrate(c call) []string {
	args := map[verb][]string{up: {"up"}, down: {"down", "-limit=0"}, status: {"status"}}[c.verb]
	if args == nil {
		return nil
	}
	return append(append([]string{c.program}, args...), "-config="+filepath.Join(c.folder, sqlMigrateConfig))
}

// databaseVariable is the environment variable named in sqlMigrateConfig.
const databaseVariable = "BENCH_DATABASE"

// process is a command whose output is kept in case it fails.
type process struct {
	*exec.Cmd
	output bytes.Buffer
}

func command(k kind, db string, args []string) *process {
	p := &process{Cmd: exec.Command(args[0], args[1:]...)}
	if k == mariadb {
		db = mariaDBSource(db) // sql-migrate's notation
	}
	p.Env = append(os.Environ(), databaseVariable+"="+db)
	p.Stdout, p.Stderr = &p.output, &p.output
	return p
}

func (p *process) said() string {
	said := p.output.String()
	return fmt.Sprintf("…%s", said[max(0, len(said)-2000):])
}
