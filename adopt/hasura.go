package adopt

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/order"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// hasura is Hasura before its release 2: hdb_catalog.schema_migrations(version, dirty), one row for
// each applied migration.
var hasura = &reader{
	tool: Hasura, tables: []string{"schema_migrations"}, columns: []string{"version", "dirty"}, dialects: []sqltext.Dialect{sqltext.PostgreSQL},
	is:    func(t *table, _ []*table) bool { return t.schema == "hdb_catalog" },
	read:  readHasura,
	block: &block{how: "a trigger on its table", trigger: true},
	write: rowWriter{key: "version", columns: []string{"dirty"}, old: number, row: func(_ *querier, m match) ([]string, error) {
		return []string{fmt.Sprint(m.Version), "false"}, nil
	}}.write,
}

func readHasura(ctx context.Context, q *querier, t *table) (*history, error) {
	rows, err := q.rows(ctx, t, []string{q.ident("version"), q.ident("dirty")}, q.ident("version"))
	if err != nil {
		return nil, err
	}
	h := &history{}
	for _, r := range rows {
		dirty, known := asBool(r[1])
		h.hasura(asText(r[0]), dirty, known)
	}
	return h, nil
}

// hasura adds a migration of Hasura.
func (h *history) hasura(id string, dirty, known bool) {
	version, ok := asVersion(id)
	switch {
	case !ok || !known:
		h.refuse(Unreadable, -1, id, "the history has the version %s, which Hasura does not write", shown(id))
	case dirty:
		h.refuse(Dirty, version, id, "version %d is dirty: Hasura stopped in it, and it may have been applied in part", version)
	default:
		h.records = append(h.records, record{id: id, version: version})
	}
}

// hasuraState is Hasura from release 2 on: hdb_catalog.hdb_version has the state of the command as
// JSON.
var hasuraState = &reader{
	tool: Hasura, tables: []string{"hdb_version"}, columns: []string{"hasura_uuid", "version", "upgraded_on", "cli_state", "console_state"},
	optional: []string{"ee_client_id", "ee_client_secret"}, dialects: []sqltext.Dialect{sqltext.PostgreSQL},
	is:   func(t *table, _ []*table) bool { return t.schema == "hdb_catalog" },
	read: readHasuraState, write: writeHasuraState,
	// Hasura's server writes to this table, too.
}

// hasuraSources is the part of Hasura's state that has the migrations.
type hasuraSources struct {
	Migrations map[string]map[string]bool `json:"migrations"`
}

// source returns the source whose migrations the set has: the only one, or the one named default.
func (s hasuraSources) source() (name string, ok bool) {
	if len(s.Migrations) == 1 {
		for name := range s.Migrations {
			return name, true
		}
	}
	_, ok = s.Migrations["default"]
	return "default", ok || len(s.Migrations) == 0
}

func (q *querier) hasuraState(ctx context.Context, t *table) (state map[string]json.RawMessage, sources hasuraSources, err error) {
	rows, err := q.rows(ctx, t, []string{q.ident("cli_state") + "::pg_catalog.text"}, "")
	if err != nil || len(rows) == 0 {
		return nil, sources, err
	}
	text := []byte(asText(rows[0][0]))
	if err := json.Unmarshal(text, &sources); err != nil {
		return nil, sources, &TableError{Tool: Hasura, Table: q.name(t), Problem: "its cli_state is not Hasura's: " + err.Error()}
	}
	if err := json.Unmarshal(text, &state); err != nil {
		return nil, sources, &TableError{Tool: Hasura, Table: q.name(t), Problem: "its cli_state is not Hasura's: " + err.Error()}
	}
	return state, sources, nil
}

func readHasuraState(ctx context.Context, q *querier, t *table) (*history, error) {
	_, sources, err := q.hasuraState(ctx, t)
	if err != nil {
		return nil, err
	}
	h := &history{}
	name, ok := sources.source()
	if !ok {
		h.refuse(Unreadable, -1, "", "the state has several sources, and none is named default: %s", strings.Join(slices.Sorted(maps.Keys(sources.Migrations)), ", "))
		return h, nil
	}
	for _, id := range slices.Sorted(maps.Keys(sources.Migrations[name])) {
		h.hasura(id, sources.Migrations[name][id], true)
	}
	order.By(h.records, byVersion)
	return h, nil
}

func writeHasuraState(ctx context.Context, q *querier, t *table, c changes) error {
	state, sources, err := q.hasuraState(ctx, t)
	if err != nil {
		return err
	}
	name, _ := sources.source()
	if sources.Migrations == nil {
		sources.Migrations = map[string]map[string]bool{}
	}
	migrations := map[string]bool{}
	for _, m := range c.applied {
		migrations[strconv.FormatInt(m.Version, 10)] = false
	}
	sources.Migrations[name] = migrations
	if state == nil {
		state = map[string]json.RawMessage{}
	}
	if state["migrations"], err = json.Marshal(sources.Migrations); err != nil {
		return err
	}
	text, err := json.Marshal(state)
	if err != nil {
		return err
	}
	return q.exec(ctx, fmt.Sprintf("UPDATE %s SET cli_state = %s::pg_catalog.jsonb", q.full(t), q.text(string(text))))
}
