package adopt

import (
	"context"
	"strings"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// dbmate is dbmate: schema_migrations(version), the leading digits of the file's name, one row for
// each applied migration. It writes the row after it has run the migration, in the same transaction
// if there is one.
var dbmate = &reader{
	tool: Dbmate, tables: []string{"schema_migrations"}, columns: []string{"version"},
	is: func(t *table, beside []*table) bool {
		return isText(t.types["version"]) && !hasBeside(t, beside, railsMetadata)
	},
	read: readDbmate, write: writeDbmate,
	block: &block{
		how: "a trigger on its table", trigger: true,
		except: map[sqltext.Dialect]string{sqltext.MySQL: "dbmate writes to its table only after a migration has run, which MySQL can't roll back"},
	},
}

// isText reports whether a type is a character type.
func isText(kind string) bool {
	return strings.HasPrefix(kind, "varchar") || strings.HasPrefix(kind, "character varying") || strings.HasPrefix(kind, "text")
}

func readDbmate(ctx context.Context, q *querier, t *table) (*history, error) {
	rows, err := q.rows(ctx, t, []string{q.ident("version")}, q.ident("version"))
	if err != nil {
		return nil, err
	}
	h := &history{}
	for _, r := range rows {
		id, isText := r[0].(string)
		version, ok := asVersion(r[0])
		if !ok || isText && strings.Trim(id, "0123456789") != "" {
			h.refuse(Unreadable, -1, asText(r[0]), "a row has the version %s, which dbmate does not write", shown(r[0]))
			continue
		}
		h.records = append(h.records, record{id: asText(r[0]), version: version})
	}
	return h, nil
}

func writeDbmate(ctx context.Context, q *querier, t *table, c changes) error {
	return rowWriter{key: "version", row: func(q *querier, m match) ([]string, error) {
		return []string{q.text(fileDigits(m))}, nil
	}}.write(ctx, q, t, c)
}
