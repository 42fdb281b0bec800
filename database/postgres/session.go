package postgres

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database/postgres/internal/pgcatalog"
)

// session is the state that a script can change and that the end of its transaction does not
// restore.
type session struct {
	Settings map[string]string `json:"-"` // those set in this session
	Role     string            `json:"role"`
	User     string            `json:"user"` // session authorization
	Temp     []string          `json:"temp"` // temporary objects, in the form that DROP takes
	Prepared []string          `json:"prepared"`
	Protocol []string          `json:"protocol"` // prepared by the client library for its own use
	Cursors  []string          `json:"cursors"`
	Channels []string          `json:"channels"`
	Locks    []string          `json:"locks"`  // advisory locks, as calls that release them
	Marker   string            `json:"marker"` // of the Tx's transaction
	// old values, after "=", of settings changed for the transaction
	Masked map[string]string `json:"masked"`

	custom map[string]*string // custom settings (with a dot) named in scripts; nil: not set
	known  bool               // the session has been read

	mayListen bool // LISTEN in a transaction only takes effect at its end
	// a timeout of the transaction may have been set for the session, to the same value
	maySetTimeouts bool
}

// endTransaction removes what applied only to the transaction.
func (s *session) endTransaction() {
	for name := range s.Masked {
		delete(s.Settings, name)
	}
}

// settingsQuery reads the settings as a JSON object, with the path that scripts see. It leaves out
// settings that the server sets itself, and custom settings, which the server doesn't list.
const settingsQuery = `SELECT coalesce(pg_catalog.json_object_agg(name, setting), '{}') FROM pg_catalog.pg_settings
WHERE source OPERATOR(pg_catalog.=) 'session' AND name OPERATOR(pg_catalog.!~~) 'transaction\_%'`

// sessionQuery reads the rest of the session as one JSON document. A sequence of an identity column
// is dropped with its table. It avoids quote_ident, whose result depends on a setting.
const sessionQuery = `SELECT pg_catalog.json_build_object(
	'role', pg_catalog.current_setting('role'),
	'user', session_user,
	'temp', (SELECT coalesce(pg_catalog.json_agg(word || ' IF EXISTS pg_temp.' || name ORDER BY word, name), '[]') FROM (
		SELECT CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END AS word, '"' || pg_catalog.replace(relname, '"', '""') || '"' AS name
			FROM pg_catalog.pg_class c WHERE relnamespace = pg_catalog.pg_my_temp_schema() AND relkind IN ('r','p','v','S','f','c')
			AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'i')
		UNION ALL SELECT 'ROUTINE', '"' || pg_catalog.replace(proname, '"', '""') || '"' || '(' || pg_catalog.pg_get_function_identity_arguments(oid) || ')'
			FROM pg_catalog.pg_proc WHERE pronamespace = pg_catalog.pg_my_temp_schema()
		UNION ALL SELECT CASE typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, '"' || pg_catalog.replace(typname, '"', '""') || '"'
			FROM pg_catalog.pg_type WHERE typnamespace = pg_catalog.pg_my_temp_schema() AND typtype IN ('d','e','r')) t),
	'prepared', (SELECT coalesce(pg_catalog.json_agg(name), '[]') FROM pg_catalog.pg_prepared_statements WHERE from_sql),
	'protocol', (SELECT coalesce(pg_catalog.json_agg(name), '[]') FROM pg_catalog.pg_prepared_statements WHERE NOT from_sql),
	'cursors', (SELECT coalesce(pg_catalog.json_agg(name), '[]') FROM pg_catalog.pg_cursors WHERE name <> ''),
	'channels', (SELECT coalesce(pg_catalog.json_agg(c), '[]') FROM pg_catalog.pg_listening_channels() c),
	'locks', (SELECT coalesce(pg_catalog.json_agg(DISTINCT 'pg_catalog.pg_advisory_unlock' || CASE mode WHEN 'ShareLock' THEN '_shared' ELSE '' END || CASE objsubid
			WHEN 1 THEN pg_catalog.format('(%L::bigint)', (classid::bigint << 32) | objid::bigint)
			ELSE pg_catalog.format('(%L::int, %L::int)', classid::bigint::bit(32)::int, objid::bigint::bit(32)::int) END), '[]')
		FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid() AND granted),
	'marker', coalesce(pg_catalog.current_setting('whimbrel.transaction', true), ''),
	'masked', pg_catalog.json_build_object('application_name', pg_catalog.current_setting('whimbrel.application_name', true),
		'client_connection_check_interval', pg_catalog.current_setting('whimbrel.client_connection_check_interval', true),
		'tcp_keepalives_idle', pg_catalog.current_setting('whimbrel.tcp_keepalives_idle', true),
		'tcp_keepalives_interval', pg_catalog.current_setting('whimbrel.tcp_keepalives_interval', true),
		'tcp_keepalives_count', pg_catalog.current_setting('whimbrel.tcp_keepalives_count', true),
		'tcp_user_timeout', pg_catalog.current_setting('whimbrel.tcp_user_timeout', true),
		'lock_timeout', pg_catalog.current_setting('whimbrel.lock_timeout', true),
		'idle_in_transaction_session_timeout', pg_catalog.current_setting('whimbrel.idle_in_transaction_session_timeout', true),
		'transaction_timeout', pg_catalog.current_setting('whimbrel.transaction_timeout', true)))`

func (s *session) read() []query {
	rest := jsonInto(query{sql: sessionQuery}, s)
	rest.done = func(pgconn.CommandTag) error {
		s.known = true
		return nil
	}
	return []query{jsonInto(query{sql: settingsQuery, path: callers}, &s.Settings), rest}
}

// readCustom returns a query that reads custom settings.
func (s *session) readCustom(names []string) query {
	sql := "SELECT "
	var args []arg
	for i, name := range names {
		if i > 0 {
			sql += ", "
		}
		sql += fmt.Sprintf("pg_catalog.current_setting($%d, true)", i+1)
		args = append(args, text(name))
	}
	return query{sql: sql, args: args, path: callers, row: func(r *row) error {
		if s.custom == nil {
			s.custom = map[string]*string{}
		}
		for _, name := range names {
			s.custom[name] = nil
			if b := r.bytes(); b != nil {
				s.custom[name] = text(string(b))
			}
		}
		return r.err
	}}
}

// undo returns the statements that restore the session to before. They see the session's own path,
// and look up nothing.
func (s *session) undo(before *session) []query {
	var qs []query
	add := func(parts ...string) { qs = append(qs, silent(parts...)) }
	for _, name := range added(s.Cursors, before.Cursors) {
		add("CLOSE ", quote(name))
	}
	if s.User != before.User {
		add("SET SESSION AUTHORIZATION ", quote(before.User))
	}
	temp := added(s.Temp, before.Temp)
	alone := len(before.Temp) == 0 // then one statement suffices, and it needs no privilege
	if len(temp) > 0 && alone {
		add("DISCARD TEMP")
	} else if len(temp) > 0 {
		add("SET ROLE NONE")
		for _, what := range temp {
			// pinned, like the query that read the names
			qs = append(qs, query{sql: "DROP " + what + " CASCADE", quiet: true})
		}
	}
	if s.Role != before.Role || s.User != before.User || len(temp) > 0 && !alone {
		add("SELECT pg_catalog.set_config('role', ", literal(before.Role), ", false)")
	}
	qs = append(qs, s.undoSettings(before)...)
	for _, name := range added(s.Prepared, before.Prepared) {
		add("DEALLOCATE ", quote(name))
	}
	if s.mayListen {
		add("UNLISTEN *")
		s.Channels = nil
	}
	for _, name := range added(s.Channels, before.Channels) {
		add("UNLISTEN ", quote(name))
	}
	for _, name := range added(before.Channels, s.Channels) {
		add("LISTEN ", quote(name))
	}
	for _, call := range added(s.Locks, before.Locks) {
		add("SELECT ", call)
	}
	return qs
}

// silent returns a command whose notices are suppressed.
func silent(parts ...string) query {
	return query{sql: strings.Join(parts, ""), path: callers, quiet: true}
}

func (s *session) undoSettings(before *session) (qs []query) {
	add := func(parts ...string) { qs = append(qs, silent(parts...)) }
	for _, name := range slices.Sorted(maps.Keys(s.Settings)) {
		if _, was := before.Settings[name]; !was {
			add("RESET ", settingName(name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before.Settings)) {
		value := before.Settings[name]
		unmasked, isMasked := strings.CutPrefix(before.Masked[name], "=")
		switch {
		case s.Settings[name] == value && !(isMasked && s.maySetTimeouts && namesTimeout(name)):
		case isMasked: // set for the transaction only; the script may have set the same for the session
			n, was := literal(name), literal(unmasked)
			add("SELECT pg_catalog.set_config(", n, ", NULL, false), CASE WHEN pg_catalog.current_setting(", n, ") OPERATOR(pg_catalog.<>) ", was,
				" THEN pg_catalog.set_config(", n, ", ", was, ", false) END, pg_catalog.set_config(", n, ", ", literal(value), ", true)")
		default:
			add("SELECT pg_catalog.set_config(", literal(name), ", ", literal(value), ", false)")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.custom)) {
		now, was := s.custom[name], before.custom[name]
		switch {
		case now == nil || was != nil && *was == *now:
		case was == nil:
			add("RESET ", settingName(name))
		default:
			add("SELECT pg_catalog.set_config(", literal(name), ", ", literal(*was), ", false)")
		}
	}
	return qs
}

// lost reports whether something is gone that can't be restored, and that the connection's owner or
// the client library needs.
func (s *session) lost(before *session) bool {
	gone := slices.Concat(added(before.Temp, s.Temp), added(before.Prepared, s.Prepared), added(before.Protocol, s.Protocol), added(before.Cursors, s.Cursors))
	return len(gone) > 0
}

// settingName quotes the name of a setting; a custom one has two parts.
func settingName(name string) string {
	parts := strings.Split(name, ".")
	for i := range parts {
		parts[i] = quote(parts[i])
	}
	return strings.Join(parts, ".")
}

func literal(s string) string { return pgcatalog.Literal(s) }

func added(now, before []string) []string {
	return slices.DeleteFunc(slices.Clone(now), func(s string) bool { return slices.Contains(before, s) })
}
