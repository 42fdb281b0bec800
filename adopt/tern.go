package adopt

import (
	"context"
	"fmt"
	"math"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// tern is tern: schema_version(version int4), one row. Everything up to the version is applied; the
// versions have no gaps and begin with 1. It writes the row after it has run the migration, in the
// same transaction if there is one.
var tern = &reader{
	tool: Tern, tables: []string{"schema_version"}, columns: []string{"version"}, dialects: []sqltext.Dialect{sqltext.PostgreSQL},
	is:   func(t *table, _ []*table) bool { return t.types["version"] == "integer" },
	read: readTern, lock: onPostgres(9628173550095224), write: writeTern, single: true,
	block: &block{
		how: "a version that no folder has, and a trigger on its table", trigger: true,
		marks: func(q *querier, t *table) *mark {
			return &mark{
				put:  []string{fmt.Sprintf("UPDATE %s SET version = version OPERATOR(pg_catalog.+) '%d'::pg_catalog.int4", q.full(t), ternBlock)},
				take: []string{fmt.Sprintf("UPDATE %s SET version = version OPERATOR(pg_catalog.-) '%[2]d'::pg_catalog.int4 WHERE version OPERATOR(pg_catalog.>=) '%[2]d'::pg_catalog.int4", q.full(t), ternBlock)},
			}
		},
	},
}

// ternBlock is added to the version, so that tern finds that it is outside of the valid versions.
const ternBlock = 1_000_000_000

func readTern(ctx context.Context, q *querier, t *table) (*history, error) {
	rows, err := q.rows(ctx, t, []string{q.ident("version")}, "")
	if err != nil {
		return nil, err
	}
	h := &history{}
	if len(rows) != 1 {
		h.refuse(Unreadable, -1, "", "the table has %d rows, but tern keeps one version", len(rows))
		return h, nil
	}
	version, ok := asVersion(rows[0][0])
	if !ok || version > math.MaxInt32 {
		h.refuse(Unreadable, -1, asText(rows[0][0]), "the row has the version %s, which tern does not write", shown(rows[0][0]))
		return h, nil
	}
	if version >= ternBlock {
		h.blocked = true
		version -= ternBlock
	}
	if version > 0 {
		h.upTo = &version
	}
	return h, nil
}

func writeTern(ctx context.Context, q *querier, t *table, c changes) error {
	if len(c.applied) == 0 {
		c.applied = []match{{}} // version 0
	}
	return writeOne(ctx, q, t, c, []string{"version"}, func(version int64) []string { return []string{fmt.Sprint(version)} })
}
