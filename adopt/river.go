package adopt

import (
	"context"
	"fmt"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// river is River's migrator: river_migration(line, version, created_at), before its fifth version
// (id, created_at, version), one row for each applied migration. It migrates River's own tables,
// beside those of the application, so it is taken over only if it is named: into a set whose files
// "river migrate-get" has written. It writes the row after it has run the migration, in the same
// transaction.
var river = &reader{
	tool: River, tables: []string{"river_migration"}, columns: []string{"version", "created_at"}, optional: []string{"id", "line"},
	component: true, prefix: "river_",
	dialects: []sqltext.Dialect{sqltext.PostgreSQL, sqltext.SQLite},
	read:     readRiver, write: writeRiver,
	block: &block{how: "a trigger on its table", trigger: true},
}

// riverLine is the line of River's own migrations. Others belong to its extensions.
const riverLine = "main"

func readRiver(ctx context.Context, q *querier, t *table) (*history, error) {
	columns := []string{q.ident("version"), q.epoch("created_at", true)}
	lines := t.has([]string{"line", "version", "created_at"}, []string{"id"})
	if lines {
		columns = append(columns, q.ident("line"))
	}
	rows, err := q.rows(ctx, t, columns, q.ident("version"))
	if err != nil {
		return nil, err
	}
	h := &history{}
	for _, r := range rows {
		if lines && asText(r[2]) != riverLine {
			continue
		}
		version, ok := asVersion(r[0])
		if !ok {
			h.refuse(Unreadable, -1, asText(r[0]), "a row has the version %s, which River does not write", shown(r[0]))
			continue
		}
		h.records = append(h.records, record{id: fmt.Sprint(version), version: version, at: asTime(r[1])})
	}
	return h, nil
}

func writeRiver(ctx context.Context, q *querier, t *table, c changes) error {
	columns, values, where := []string{"version"}, []string{""}, ""
	if t.has([]string{"line", "version", "created_at"}, []string{"id"}) {
		columns, values = append(columns, "line"), append(values, q.text(riverLine))
		where = " AND line " + q.equal() + " " + q.text(riverLine)
	}
	for _, m := range c.removed {
		if err := q.exec(ctx, fmt.Sprintf("DELETE FROM %s WHERE version %s %d", q.full(t), q.equal(), m.Version)+where); err != nil {
			return err
		}
	}
	for _, m := range c.added {
		values[0] = fmt.Sprint(m.Version)
		if err := q.insert(ctx, t, columns, values); err != nil {
			return err
		}
	}
	return nil
}
