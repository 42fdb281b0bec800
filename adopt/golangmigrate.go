package adopt

import (
	"context"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// golangMigrate is golang-migrate: schema_migrations(version, dirty), with at most one row.
// Everything up to the version is applied. It writes the row, with the dirty flag, before it runs a
// migration.
var golangMigrate = &reader{
	tool: GolangMigrate, tables: []string{"schema_migrations"}, columns: []string{"version", "dirty"},
	is:   func(t *table, _ []*table) bool { return t.schema != "hdb_catalog" }, // Hasura's
	read: readGolangMigrate, lock: lockGolangMigrate, write: writeGolangMigrate, single: true,
	block: &block{
		how: "a dirty row in MySQL, else a trigger on its table", trigger: true,
		marks: func(q *querier, t *table) *mark {
			if q.dialect != sqltext.MySQL {
				return nil
			}
			return &mark{
				put:  []string{fmt.Sprintf("INSERT INTO %s (version, dirty) VALUES (%d, 1)", q.full(t), golangMigrateBlock)},
				take: []string{fmt.Sprintf("DELETE FROM %s WHERE version = %d", q.full(t), golangMigrateBlock)},
			}
		},
	},
}

// golangMigrateBlock is the version of a second row, which is the first in the order of the primary
// key: golang-migrate reads it alone, and says that this version is dirty.
const golangMigrateBlock = -99

func readGolangMigrate(ctx context.Context, q *querier, t *table) (*history, error) {
	rows, err := q.rows(ctx, t, []string{q.ident("version"), q.ident("dirty")}, "")
	if err != nil {
		return nil, err
	}
	h := &history{}
	rows = slices.DeleteFunc(rows, func(r []any) bool {
		version, _ := asInt(r[0])
		h.blocked = h.blocked || version == golangMigrateBlock
		return version == golangMigrateBlock
	})
	if len(rows) > 1 {
		h.refuse(Unreadable, -1, "", "the table has %d rows, but golang-migrate keeps one version", len(rows))
		return h, nil
	}
	for _, r := range rows {
		version, ok := asInt(r[0])
		dirty, known := asBool(r[1])
		switch {
		case !ok || version < -1 || !known:
			h.refuse(Unreadable, -1, asText(r[0]), "the row has the version %s and the dirty flag %s, which golang-migrate does not write", shown(r[0]), shown(r[1]))
		case dirty:
			h.refuse(Dirty, version, fmt.Sprint(version), "version %d is dirty: golang-migrate stopped in it, and it may have been applied in part", version)
		case version >= 0:
			h.upTo = &version
		}
	}
	return h, nil
}

// lockGolangMigrate returns golang-migrate's lock, whose key has the names of the database, the
// schema and the table. If it was opened with a URL, the name of the database begins with a slash.
func lockGolangMigrate(ctx context.Context, q *querier, t *table) (*toolLock, error) {
	if q.dialect == sqltext.SQLite {
		return nil, nil
	}
	name, err := q.databaseName(ctx)
	if err != nil {
		return nil, err
	}
	if q.dialect == sqltext.PostgreSQL {
		return advisory(int64(golangMigrateKey(t.schema, t.name, "/"+name)), int64(golangMigrateKey(t.schema, t.name, name))), nil
	}
	return namedLock(fmt.Sprint(golangMigrateKey(name + ":" + t.name))), nil
}

// golangMigrateKey is GenerateAdvisoryLockId of golang-migrate.
func golangMigrateKey(names ...string) uint32 {
	return crc32.ChecksumIEEE([]byte(strings.Join(names, "\x00"))) * 1486364155
}

func writeGolangMigrate(ctx context.Context, q *querier, t *table, c changes) error {
	return writeOne(ctx, q, t, c, []string{"version", "dirty"}, func(version int64) []string {
		return []string{fmt.Sprint(version), "false"}
	})
}

// writeOne replaces the only row of a table that keeps one version.
func writeOne(ctx context.Context, q *querier, t *table, c changes, columns []string, row func(version int64) []string) error {
	if err := q.exec(ctx, "DELETE FROM "+q.full(t)); err != nil || len(c.applied) == 0 {
		return err
	}
	return q.insert(ctx, t, columns, row(c.applied[len(c.applied)-1].Version))
}
