package adopt

import (
	"context"
	"path"
	"strconv"
)

// sqlMigrate is sql-migrate: gorp_migrations(id, applied_at), the names of the files. It refuses to
// run anything if the table has a name without a file.
var sqlMigrate = &reader{
	tool: SQLMigrate, tables: []string{"gorp_migrations"}, columns: []string{"id", "applied_at"},
	read: readSQLMigrate,
	block: &block{
		how: "a row with an unknown name, and a trigger on its table", trigger: true,
		marks: failedRow("id", "'"+blockRow+"'", "", ""),
	},
	write: rowWriter{key: "id", columns: []string{"applied_at"}, row: func(q *querier, m match) ([]string, error) {
		return []string{q.text(path.Base(m.Up.File)), q.timeOf(m.at)}, nil
	}}.write,
}

// blockRow is the name of the migration that a block adds to the table of a tool.
const blockRow = "taken over by whimbrel"

func readSQLMigrate(ctx context.Context, q *querier, t *table) (*history, error) {
	rows, err := q.rows(ctx, t, []string{q.ident("id"), q.epoch("applied_at", true)}, q.ident("id"))
	if err != nil {
		return nil, err
	}
	h := &history{}
	for _, r := range rows {
		id := asText(r[0])
		switch {
		case id == blockRow:
			h.blocked = true
			continue
		case id == "":
			h.refuse(Unreadable, -1, "", "a row has the id %s, which sql-migrate does not write", shown(r[0]))
			continue
		}
		rec := record{id: id, origin: id, file: id, version: -1, at: asTime(r[1])}
		if v, err := strconv.ParseInt(leadingDigits(id), 10, 64); err == nil {
			rec.version = v
		}
		h.records = append(h.records, rec)
	}
	return h, nil
}
