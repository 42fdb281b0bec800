package adopt

import (
	"context"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

const railsMetadata = "ar_internal_metadata"

// rails is Rails: schema_migrations(version) beside ar_internal_metadata. Its migrations are Ruby,
// so the set begins with db/structure.sql as a baseline, or as a migration, of the newest version;
// what is below counts as applied.
var rails = &reader{
	tool: Rails, tables: []string{"schema_migrations"}, columns: []string{"version"},
	is: func(t *table, beside []*table) bool {
		return isText(t.types["version"]) && hasBeside(t, beside, railsMetadata)
	},
	beside: []string{railsMetadata},
	read:   readRails, lock: lockRails,
	block: &block{
		how: "a trigger on its table", trigger: true,
		except: map[sqltext.Dialect]string{sqltext.MySQL: "Rails writes to its table only after a migration has run, which MySQL can't roll back"},
	},
	write: func(_ context.Context, _ *querier, _ *table, c changes) error {
		return &UnsupportedError{
			Tool: Rails, What: "write the changes since the takeover into the history",
			Why: fmt.Sprintf("its migrations are Ruby, and %d of Whimbrel's are none of them", len(c.added)+len(c.removed)),
		}
	},
}

func readRails(ctx context.Context, q *querier, t *table) (*history, error) {
	h, err := readDbmate(ctx, q, t)
	if err != nil || len(h.records) == 0 {
		return h, err
	}
	newest := slices.MaxFunc(h.records, byVersion)
	newest.covers = true
	for i := range h.refused {
		h.refused[i].Reason = fmt.Sprintf("a row has the version %s, which Rails does not write", shown(h.refused[i].ID))
	}
	h.records = []record{newest}
	return h, nil
}

func lockRails(ctx context.Context, q *querier, _ *table) (*toolLock, error) {
	if q.dialect == sqltext.SQLite {
		return nil, nil
	}
	name, err := q.databaseName(ctx)
	if err != nil {
		return nil, err
	}
	key := railsKey(name)
	if q.dialect == sqltext.PostgreSQL {
		return advisory(key), nil
	}
	return namedLock(fmt.Sprint(key)), nil
}

// railsKey is the key of Rails' lock.
func railsKey(database string) int64 {
	return 2053462845 * int64(crc32.ChecksumIEEE([]byte(database)))
}
