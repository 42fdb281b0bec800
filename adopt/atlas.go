package adopt

import (
	"context"
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// atlas is Atlas: atlas_schema_revisions, with the hash that atlas.sum has of the file, often in a
// schema of the same name. It writes a row before it runs a migration.
var atlas = &reader{
	tool: Atlas, tables: []string{"atlas_schema_revisions"},
	columns:  []string{"version", "description", "type", "applied", "total", "executed_at", "execution_time", "error", "hash", "partial_hashes", "operator_version"},
	optional: []string{"error_stmt"},
	read:     readAtlas, lock: lockAtlas,
	block: &block{
		how: "a trigger on its table", trigger: true,
		except: map[sqltext.Dialect]string{sqltext.MySQL: "a row that Atlas refuses can't be told from one of its own"},
	},
	write: rowWriter{
		key: "version", columns: []string{"description", "type", "applied", "total", "executed_at", "execution_time", "hash", "operator_version"},
		row: func(q *querier, m match) ([]string, error) {
			if m.Origin == nil || m.Origin.Sum == "" {
				return nil, fmt.Errorf("%s has no hash in atlas.sum", m.Up.File)
			}
			version := m.Origin.ID
			return []string{q.text(version), q.text(m.Name), "4", "0", "0", q.timeOf(m.at), "0", q.text(m.Origin.Sum), "'whimbrel'"}, nil
		},
	}.write,
}

// atlasIdentifier is the version of a row that is no migration.
const atlasIdentifier = ".atlas_cloud_identifier"

// The bits of a row's type.
const (
	atlasBaseline = 1
	atlasResolved = 4
)

func readAtlas(ctx context.Context, q *querier, t *table) (*history, error) {
	var columns []string
	for _, c := range []string{"version", "type", "applied", "total", "hash"} {
		columns = append(columns, q.ident(c))
	}
	rows, err := q.rows(ctx, t, append(columns, q.epoch("executed_at", true)), q.ident("version"))
	if err != nil {
		return nil, err
	}
	h := &history{}
	for _, r := range rows {
		id := asText(r[0])
		if id == atlasIdentifier {
			continue
		}
		kind, ok := asInt(r[1])
		applied, ok1 := asInt(r[2])
		total, ok2 := asInt(r[3])
		version, ok3 := asVersion(id)
		switch {
		case !ok || !ok1 || !ok2 || !ok3:
			h.refuse(Unreadable, -1, id, "a row has the version %s, the type %s and %s of %s statements, which Atlas does not write", shown(r[0]), shown(r[1]), shown(r[2]), shown(r[3]))
		case applied < total && kind&atlasResolved == 0:
			h.refuse(Failed, version, id, "version %s stopped after %d of %d statements", id, applied, total)
		default:
			rec := record{id: id, origin: id, version: version, at: asTime(r[5]), covers: kind&atlasBaseline != 0}
			if sum := strings.TrimPrefix(asText(r[4]), "h1:"); sum != "" && !rec.covers {
				rec.edited = func(m migration.Migration) (string, error) {
					if m.Origin == nil || m.Origin.Sum == "" || strings.TrimPrefix(m.Origin.Sum, "h1:") == sum {
						return "", nil
					}
					return "atlas.sum has another hash than the table, for it or a file before it", nil
				}
			}
			h.records = append(h.records, rec)
		}
	}
	return h, nil
}

func lockAtlas(_ context.Context, q *querier, _ *table) (*toolLock, error) {
	switch q.dialect {
	case sqltext.PostgreSQL:
		return advisory(2686470616), nil
	case sqltext.MySQL:
		return namedLock("atlas_migrate_execute"), nil
	}
	return nil, nil
}
