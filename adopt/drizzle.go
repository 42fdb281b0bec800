package adopt

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// drizzle is Drizzle: __drizzle_migrations(id, hash, created_at), in the schema drizzle of
// PostgreSQL. created_at is the time of the migration in the journal, in milliseconds, and
// identifies it; hash is the SHA-256 of the file. Drizzle runs what is newer than the newest row,
// and writes the rows in the same transaction.
var drizzle = &reader{
	tool: Drizzle, tables: []string{"__drizzle_migrations"}, columns: []string{"id", "hash", "created_at"},
	optional: []string{"name", "applied_at"}, // of newer releases
	read:     readDrizzle,
	block: &block{
		how: "a trigger on its table", trigger: true,
		except: map[sqltext.Dialect]string{sqltext.MySQL: "Drizzle writes to its table only after a migration has run, which MySQL can't roll back"},
	},
	write: rowWriter{
		key: "created_at", columns: []string{"hash"},
		old: func(_ *querier, m match) string { return fmt.Sprint(m.Origin.When.UnixMilli()) },
		row: func(q *querier, m match) ([]string, error) {
			if m.Origin == nil || m.Origin.When.IsZero() {
				return nil, fmt.Errorf("%s has no time of Drizzle's journal", m.Up.File)
			}
			sum := m.Origin.Sum // of the file, if another text runs
			if sum == "" {
				text, err := fileText(m.Up)
				if err != nil {
					return nil, err
				}
				sum = fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
			}
			return []string{fmt.Sprint(m.Origin.When.UnixMilli()), q.text(sum)}, nil
		},
	}.write,
}

func readDrizzle(ctx context.Context, q *querier, t *table) (*history, error) {
	rows, err := q.rows(ctx, t, []string{q.ident("created_at"), q.ident("hash")}, q.ident("id"))
	if err != nil {
		return nil, err
	}
	h := &history{}
	for _, r := range rows {
		millis, ok := asInt(r[0])
		if !ok || millis <= 0 {
			h.refuse(Unreadable, -1, asText(r[0]), "a row has created_at %s, which Drizzle does not write", shown(r[0]))
			continue
		}
		h.records = append(h.records, record{
			id: fmt.Sprint(millis), version: -1, when: time.UnixMilli(millis).UTC(), edited: hashed("SHA-256", sha256.New, asText(r[1])),
		})
	}
	return h, nil
}
