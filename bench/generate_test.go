package bench

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// sizes are the amounts of work.
type sizes struct{ migrations, statements, dataBytes, indexes, history int }

var (
	full  = sizes{migrations: 1000, statements: 5000, dataBytes: 20 << 20, indexes: 40, history: 434}
	quick = sizes{migrations: 100, statements: 500, dataBytes: 2 << 20, indexes: 8, history: 62}
)

// outside returns how many migrations of the history can't be in a transaction.
func (s sizes) outside() int { return s.history * 98 / 434 }

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
	outside  bool // it can't be in a transaction
}

// content is that of a folder.
type content struct {
	all     []migration
	applied int // how many have been applied before the measurement
}

// generate writes the folders of all formats into root, as FORMAT/KIND/FOLDER. Its output is
// deterministic.
func generate(root string, s sizes) (string, error) {
	for _, k := range kinds {
		for name, c := range contents(k, s) {
			for format, write := range formats {
				folder := filepath.Join(root, format, string(k), name)
				if err := os.MkdirAll(folder, 0o755); err != nil {
					return "", err
				}
				written := c.all
				if format == formatClient { // a client has no history
					written = c.all[c.applied:]
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

func contents(k kind, s sizes) map[string]content {
	tables := tableMigrations(k, s.migrations+1)
	all := map[string]content{
		many:        {all: tables[:s.migrations]},
		oneMore:     {all: tables, applied: s.migrations},
		changedRows: {all: rowMigrations(s.migrations)},
		statements:  {all: []migration{statementsMigration(s.statements)}},
		data:        {all: []migration{dataMigration(s)}},
	}
	if k == postgres {
		built := indexMigrations(s.indexes)
		all[plain] = content{all: built[:1]}
		all[indexes] = content{all: built, applied: 1}
		all[history] = content{all: historyMigrations(s)}
	}
	return all
}

func tableMigrations(k kind, n int) []migration {
	columns := map[kind]string{
		postgres: "id bigint PRIMARY KEY, name text NOT NULL, created_at timestamptz NOT NULL DEFAULT now()",
		mariadb:  "id bigint PRIMARY KEY, name varchar(200) NOT NULL, created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP",
		sqlite:   "id INTEGER PRIMARY KEY, name TEXT NOT NULL, created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP",
	}[k]
	all := make([]migration, n)
	for i := range all {
		table := fmt.Sprintf("t%04d", i+1)
		all[i] = migration{version: i + 1, up: "CREATE TABLE " + table + " (" + columns + ");\n", down: "DROP TABLE " + table + ";\n"}
		if k == mariadb {
			all[i].up += "CREATE INDEX " + table + "_name ON " + table + " (name);\n"
		}
	}
	return all
}

const (
	createRows = "CREATE TABLE bench_rows (id bigint PRIMARY KEY, name varchar(100) NOT NULL);\n"
	dropRows   = "DROP TABLE bench_rows;\n"
)

func insertRow(id int) string {
	return fmt.Sprintf("INSERT INTO bench_rows (id, name) VALUES (%d, 'the name of row %d');\n", id, id)
}

func rowMigrations(n int) []migration {
	all := []migration{{version: 1, up: createRows, down: dropRows}}
	for i := 1; i < n; i++ {
		all = append(all, migration{version: i + 1, up: insertRow(i), down: fmt.Sprintf("DELETE FROM bench_rows WHERE id = %d;\n", i)})
	}
	return all
}

func statementsMigration(n int) migration {
	var b strings.Builder
	b.WriteString(createRows)
	for i := 1; i < n; i++ {
		b.WriteString(insertRow(i))
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
	formatGoose:  oneFileEach("-- +goose Up\n", "-- +goose NO TRANSACTION\n-- +goose Up\n", "\n-- +goose Down\n"),
	formatDbmate: oneFileEach("-- migrate:up\n", "-- migrate:up transaction:false\n", "\n-- migrate:down\n"),
	formatTern:   oneFileEach("", "---- tern: disable-tx ----\n", "\n---- create above / drop below ----\n\n"),
	formatSQLMigrate: func(k kind, folder string, all []migration) map[string]string {
		files := oneFileEach("-- +migrate Up\n", "-- +migrate Up notransaction\n", "\n-- +migrate Down\n")(k, folder, all)
		dialect := map[kind]string{postgres: "postgres", mariadb: "mysql", sqlite: "sqlite3"}[k]
		files[sqlMigrateConfig] = fmt.Sprintf("development:\n  dialect: %s\n  datasource: ${%s}\n  dir: %s\n", dialect, databaseVariable, folder)
		return files
	},
	formatClient: func(k kind, _ string, all []migration) map[string]string {
		var ups, downs strings.Builder
		mixed := slices.ContainsFunc(all, func(m migration) bool { return m.outside })
		for i := range all {
			if mixed && !all[i].outside {
				ups.WriteString(inTransaction(all[i].up))
			} else {
				ups.WriteString(all[i].up)
			}
			downs.WriteString(all[len(all)-1-i].down)
		}
		files := map[string]string{"up.sql": ups.String(), "down.sql": downs.String()}
		if k == sqlite {
			for name, text := range files {
				files[name] = inTransaction(text)
			}
		}
		return files
	},
}

func inTransaction(script string) string { return "BEGIN;\n" + script + "COMMIT;\n" }

func oneFileEach(before, beforeOutside, between string) func(kind, string, []migration) map[string]string {
	return func(_ kind, _ string, all []migration) map[string]string {
		files := map[string]string{}
		for _, m := range all {
			begin := before
			if m.outside {
				begin = beforeOutside
			}
			files[fmt.Sprintf("%04d_table.sql", m.version)] = begin + m.up + between + m.down
		}
		return files
	}
}
