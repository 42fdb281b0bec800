package adopt

import (
	"context"
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// diesel is Diesel: __diesel_schema_migrations(version, run_on). The version is the digits of the
// folder's name. It writes a row after it has run the migration, in the same transaction if there
// is one.
var diesel = &reader{
	tool: Diesel, tables: []string{"__diesel_schema_migrations"}, columns: []string{"version", "run_on"},
	read: readDiesel,
	block: &block{
		how: "a trigger on its table", trigger: true,
		except: map[sqltext.Dialect]string{sqltext.MySQL: "Diesel writes to its table only after a migration has run, which MySQL can't roll back"},
	},
	write: rowWriter{key: "version", columns: []string{"run_on"}, row: func(q *querier, m match) ([]string, error) {
		id := fmt.Sprint(m.Version)
		if o := m.Origin; o != nil && o.ID != "" {
			id = o.ID
		}
		return []string{q.text(id), q.timeOf(m.at)}, nil
	}}.write,
}

func readDiesel(ctx context.Context, q *querier, t *table) (*history, error) {
	rows, err := q.rows(ctx, t, []string{q.ident("version"), q.epoch("run_on", true)}, q.ident("version"))
	if err != nil {
		return nil, err
	}
	h := &history{}
	for _, r := range rows {
		id := asText(r[0])
		version, ok := asVersion(id)
		if !ok || strings.Trim(id, "0123456789") != "" {
			h.refuse(Unreadable, -1, id, "a row has the version %s, which Diesel does not write", shown(r[0]))
			continue
		}
		h.records = append(h.records, record{id: id, origin: id, version: version, at: asTime(r[1])})
	}
	return h, nil
}
