package bench

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// sizes are the amounts of work.
type sizes struct{ migrations, statements, dataBytes int }

var (
	full  = sizes{migrations: 1000, statements: 5000, dataBytes: 20 << 20}
	quick = sizes{migrations: 100, statements: 500, dataBytes: 2 << 20}
)

func (s sizes) dataRows() int { return s.dataBytes / len(dataRow(rand.New(rand.NewPCG(0, 0)), 0)) }

// count formats a number with thousands separators: 1,000.
func count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// The formats of folders.
const (
	formatPairs      = "pairs" // 0001_name.up.sql and 0001_name.down.sql
	formatGoose      = "goose"
	formatDbmate     = "dbmate"
	formatTern       = "tern"
	formatSQLMigrate = "sql-migrate"
	formatClient     = "client" // up.sql and down.sql, for the database's own client
)

// migration is the format-independent content.
type migration struct {
	version  int
	up, down string
}

// generate writes the folders of all formats into root, as FORMAT/KIND/FOLDER. Its output is
// deterministic.
func generate(root string, s sizes) (string, error) {
	for _, k := range []kind{postgres, sqlite} {
		tables := tableMigrations(k, s.migrations+1)
		contents := map[string][]migration{
			many:       tables[:s.migrations],
			oneMore:    tables,
			statements: {statementsMigration(s.statements)},
			data:       {dataMigration(s)},
		}
		for name, migrations := range contents {
			for format, write := range formats {
				folder := filepath.Join(root, format, string(k), name)
				if err := os.MkdirAll(folder, 0o755); err != nil {
					return "", err
				}
				written := migrations
				if format == formatClient && name == oneMore { // a client has no history
					written = tables[s.migrations:]
				}
				for file, text := range write(k, folder, written) {
					if err := os.WriteFile(filepath.Join(folder, file), []byte(text), 0o644); err != nil {
						return "", err
					}
				}
			}
		}
	}
	return root, nil
}

func tableMigrations(k kind, n int) []migration {
	columns := map[kind]string{
		postgres: "id bigint PRIMARY KEY, name text NOT NULL, created_at timestamptz NOT NULL DEFAULT now()",
		sqlite:   "id INTEGER PRIMARY KEY, name TEXT NOT NULL, created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP",
	}[k]
	all := make([]migration, n)
	for i := range all {
		table := fmt.Sprintf("t%04d", i+1)
		all[i] = migration{version: i + 1, up: "CREATE TABLE " + table + " (" + columns + ");\n", down: "DROP TABLE " + table + ";\n"}
	}
	return all
}

const (
	createRows = "CREATE TABLE bench_rows (id bigint PRIMARY KEY, name text NOT NULL);\n"
	dropRows   = "DROP TABLE bench_rows;\n"
)

func statementsMigration(n int) migration {
	var b strings.Builder
	b.WriteString(createRows)
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, "INSERT INTO bench_rows (id, name) VALUES (%d, 'the name of row %d');\n", i, i)
	}
	return migration{version: 1, up: b.String(), down: dropRows}
}

// dataMigration consists of INSERTs of 1,000 rows each, as in dumps.
func dataMigration(s sizes) migration {
	const together = 1000
	var b strings.Builder
	b.WriteString(createRows)
	r := rand.New(rand.NewPCG(1, 2))
	rows := s.dataRows()
	for i := range rows {
		if i%together == 0 {
			b.WriteString("INSERT INTO bench_rows (id, name) VALUES\n")
		}
		b.WriteString(dataRow(r, i))
		if i%together == together-1 || i == rows-1 {
			b.WriteString(";\n")
		} else {
			b.WriteString(",\n")
		}
	}
	return migration{version: 1, up: b.String(), down: dropRows}
}

// dataRow returns one row; all have the same length.
func dataRow(r *rand.Rand, id int) string {
	return fmt.Sprintf("(%07d, '%016x %016x %016x %016x')", id, r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64())
}

// sqlMigrateConfig is the settings file of sql-migrate.
const sqlMigrateConfig = "dbconfig.yml"

// formats return the names and texts of a folder's files.
var formats = map[string]func(k kind, folder string, all []migration) map[string]string{
	formatPairs: func(_ kind, _ string, all []migration) map[string]string {
		files := map[string]string{}
		for _, m := range all {
			files[fmt.Sprintf("%04d_table.up.sql", m.version)] = m.up
			files[fmt.Sprintf("%04d_table.down.sql", m.version)] = m.down
		}
		return files
	},
	formatGoose:  oneFileEach("-- +goose Up\n", "\n-- +goose Down\n"),
	formatDbmate: oneFileEach("-- migrate:up\n", "\n-- migrate:down\n"),
	formatTern:   oneFileEach("", "\n---- create above / drop below ----\n\n"),
	formatSQLMigrate: func(k kind, folder string, all []migration) map[string]string {
		files := oneFileEach("-- +migrate Up\n", "\n-- +migrate Down\n")(k, folder, all)
		dialect := map[kind]string{postgres: "postgres", sqlite: "sqlite3"}[k]
		files[sqlMigrateConfig] = fmt.Sprintf("development:\n  dialect: %s\n  datasource: ${%s}\n  dir: %s\n", dialect, databaseVariable, folder)
		return files
	},
	formatClient: func(k kind, _ string, all []migration) map[string]string {
		var ups, downs strings.Builder
		if k == sqlite {
			ups.WriteString("BEGIN;\n")
			downs.WriteString("BEGIN;\n")
		}
		for i := range all {
			ups.WriteString(all[i].up)
			downs.WriteString(all[len(all)-1-i].down)
		}
		if k == sqlite {
			ups.WriteString("COMMIT;\n")
			downs.WriteString("COMMIT;\n")
		}
		return map[string]string{"up.sql": ups.String(), "down.sql": downs.String()}
	},
}

func oneFileEach(before, between string) func(kind, string, []migration) map[string]string {
	return func(_ kind, _ string, all []migration) map[string]string {
		files := map[string]string{}
		for _, m := range all {
			files[fmt.Sprintf("%04d_table.sql", m.version)] = before + m.up + between + m.down
		}
		return files
	}
}
