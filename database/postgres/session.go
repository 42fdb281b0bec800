package postgres

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel/migration"
)

// session is what a script may change and a transaction's end would not put back.
type session struct {
	Settings map[string]string `json:"settings"` // that were set in this session
	Role     string            `json:"role"`
	User     string            `json:"user"` // session authorization
	Temp     []string          `json:"temp"` // DROP's words and name of temporary objects
	Prepared []string          `json:"prepared"`
	Cursors  []string          `json:"cursors"`
	Channels []string          `json:"channels"`
}

// sessionQuery reads the session as one JSON document. Settings of Whimbrel's own are
// left out.
const sessionQuery = `SELECT json_build_object(
	'settings', (SELECT coalesce(json_object_agg(name, setting), '{}') FROM pg_settings WHERE source = 'session'
		AND name NOT LIKE 'whimbrel.%' AND name NOT LIKE 'transaction\_%' AND name <> 'client_connection_check_interval'),
	'role', current_setting('role'),
	'user', session_user,
	'temp', (SELECT coalesce(json_agg(word || ' pg_temp.' || name ORDER BY word), '[]') FROM (
		SELECT CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END AS word, quote_ident(relname) AS name
			FROM pg_class WHERE relnamespace = pg_my_temp_schema() AND relkind IN ('r','p','v','S','f','c')
		UNION ALL SELECT 'ROUTINE', quote_ident(proname) || '(' || pg_get_function_identity_arguments(oid) || ')' FROM pg_proc WHERE pronamespace = pg_my_temp_schema()
		UNION ALL SELECT CASE typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, quote_ident(typname) FROM pg_type WHERE typnamespace = pg_my_temp_schema() AND typtype IN ('d','e','r')) t),
	'prepared', (SELECT coalesce(json_agg(name), '[]') FROM pg_prepared_statements WHERE from_sql),
	'cursors', (SELECT coalesce(json_agg(name), '[]') FROM pg_cursors WHERE is_holdable),
	'channels', (SELECT coalesce(json_agg(c), '[]') FROM pg_listening_channels() c))`

// mayChangeSession says whether a script needs the session to be looked after.
func mayChangeSession(s *migration.Script, a *migration.Analysis) bool {
	return a.Session || s.Func() != nil || s.LockTimeout > 0 || s.StatementTimeout > 0
}

func readSession(s *session) query {
	return query{sql: sessionQuery, row: func(r *row) error {
		if err := json.Unmarshal(r.bytes(), s); err != nil {
			return err
		}
		return r.err
	}}
}

// runKeepingSession runs a script, sees what it did to the session, and queues what
// puts it back, before anything else is done on the connection. The first time it
// also looks at how the session was.
func (b *batch) runKeepingSession(ctx context.Context, s *migration.Script, a *migration.Analysis) error {
	if b.session == nil {
		b.session = &session{}
		if err := b.add(ctx, readSession(b.session)); err != nil {
			return err
		}
	}
	for _, q := range timeouts(s.Directives, true) {
		if err := b.add(ctx, q); err != nil {
			return err
		}
	}
	if err := b.run(ctx, s, a); err != nil {
		return err
	}
	var after session
	b.queue = append(b.queue, readSession(&after))
	if err := b.flush(ctx); err != nil {
		return err
	}
	for _, sql := range after.undo(b.session) {
		if err := b.add(ctx, query{sql: sql}); err != nil {
			return err
		}
	}
	return nil
}

// timeouts sets what a script's directives ask for.
func timeouts(d migration.Directives, local bool) []query {
	set := func(name string, ms int64) query {
		return query{sql: "SELECT set_config($1, $2, $3)", args: []arg{text(name), number(ms), boolean(local)}}
	}
	var qs []query
	if d.LockTimeout > 0 {
		qs = append(qs, set("lock_timeout", d.LockTimeout.Milliseconds()))
	}
	if d.StatementTimeout > 0 {
		qs = append(qs, set("statement_timeout", d.StatementTimeout.Milliseconds()))
	}
	return qs
}

// undo returns the statements that lead from s back to before.
func (s *session) undo(before *session) []string {
	var sqls []string
	add := func(parts ...string) { sqls = append(sqls, strings.Join(parts, "")) }
	if s.User != before.User {
		add("SET SESSION AUTHORIZATION ", quote(before.User))
	}
	if s.Role != before.Role || s.User != before.User {
		add("SELECT set_config('role', ", literal(before.Role), ", false)")
	}
	for _, temp := range added(s.Temp, before.Temp) {
		word, name, _ := strings.Cut(temp, " pg_temp.")
		add("DROP ", word, " IF EXISTS pg_temp.", name, " CASCADE")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Settings)) {
		if _, was := before.Settings[name]; !was {
			add("RESET ", settingName(name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before.Settings)) {
		if value := before.Settings[name]; s.Settings[name] != value {
			add("SELECT set_config(", literal(name), ", ", literal(value), ", false)")
		}
	}
	for _, name := range added(s.Prepared, before.Prepared) {
		add("DEALLOCATE ", quote(name))
	}
	for _, name := range added(s.Cursors, before.Cursors) {
		add("CLOSE ", quote(name))
	}
	for _, name := range added(s.Channels, before.Channels) {
		add("UNLISTEN ", quote(name))
	}
	return sqls
}

// settingName quotes a setting's name; one with a dot has two parts.
func settingName(name string) string { return pgx.Identifier(strings.Split(name, ".")).Sanitize() }

func literal(s string) string {
	if strings.Contains(s, `\`) {
		return "E'" + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), "'", "''") + "'"
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

func added(now, before []string) []string {
	var more []string
	for _, s := range now {
		if !slices.Contains(before, s) {
			more = append(more, s)
		}
	}
	return more
}
