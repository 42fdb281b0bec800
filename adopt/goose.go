package adopt

import (
	"context"
	"fmt"
	"math"

	"github.com/whimbrel-db/whimbrel/internal/order"
)

// goose is goose: goose_db_version(id, version_id, is_applied, tstamp). For each version the newest
// row decides; the row of version 0 is a seed. It writes a row after it has run the migration, in
// the same transaction if there is one.
var goose = &reader{
	tool: Goose, tables: []string{"goose_db_version"}, columns: []string{"id", "version_id", "is_applied", "tstamp"},
	beside: []string{"goose_lock"},
	read:   readGoose, lock: onPostgres(4097083626), write: writeGoose, // the lock of its library
	block: &block{how: "a version above all others, with which every file is missing, and a trigger on its table", trigger: true, marks: func(q *querier, t *table) *mark {
		return &mark{
			put:  []string{fmt.Sprintf("INSERT INTO %s (version_id, is_applied) VALUES (%d, true)", q.full(t), gooseBlock)},
			take: []string{fmt.Sprintf("DELETE FROM %s WHERE version_id %s %d", q.full(t), q.equal(), gooseBlock)},
		}
	}},
}

// gooseBlock is the version with which goose finds that migrations are missing before it.
const gooseBlock = math.MaxInt64

func readGoose(ctx context.Context, q *querier, t *table) (*history, error) {
	rows, err := q.rows(ctx, t, []string{q.ident("version_id"), q.ident("is_applied"), q.epoch("tstamp", false)}, q.ident("id"))
	if err != nil {
		return nil, err
	}
	h := &history{}
	newest := map[int64]record{}
	for _, r := range rows {
		version, ok := asVersion(r[0])
		applied, known := asBool(r[1])
		switch {
		case !ok || !known:
			h.refuse(Unreadable, -1, asText(r[0]), "a row has the version %s and is_applied %s, which goose does not write", shown(r[0]), shown(r[1]))
		case version == gooseBlock:
			h.blocked = true
		case version == 0: // the seed
		case applied:
			newest[version] = record{id: fmt.Sprint(version), version: version, at: asTime(r[2])}
		default:
			delete(newest, version)
		}
	}
	for _, r := range newest {
		h.records = append(h.records, r)
	}
	order.By(h.records, byVersion)
	return h, nil
}

func byVersion(a, b record) int {
	switch {
	case a.version < b.version:
		return -1
	case a.version > b.version:
		return 1
	}
	return 0
}

func writeGoose(ctx context.Context, q *querier, t *table, c changes) error {
	return rowWriter{key: "version_id", columns: []string{"is_applied"}, old: number, row: func(q *querier, m match) ([]string, error) {
		return []string{number(q, m), "true"}, nil
	}}.write(ctx, q, t, c)
}
