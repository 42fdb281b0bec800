package sqlite

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// pragmas are the settings of a connection that a script can change, and that can be read
// and written. What the file keeps (user_version, journal_mode, …) is the script's to
// change; foreign_keys is looked after by itself; defer_foreign_keys ends with the
// transaction, and written before that it would forget what is left to check.
var pragmas = []string{
	"recursive_triggers", "ignore_check_constraints", "legacy_alter_table",
	"query_only", "writable_schema", "trusted_schema", "reverse_unordered_selects", "automatic_index",
	"cell_size_check", "checkpoint_fullfsync", "fullfsync", "read_uncommitted", "secure_delete",
	"synchronous", "temp_store", "locking_mode", "busy_timeout", "cache_size", "cache_spill",
	"analysis_limit", "journal_size_limit", "max_page_count", "soft_heap_limit", "threads",
	"count_changes", "full_column_names", "short_column_names", "empty_result_callbacks",
}

// inTransaction are those that can't be written while a transaction is open, and so
// can't have been changed in one either.
var inTransaction = []string{"synchronous", "temp_store"}

// session is what a script could change in its connection.
type session struct {
	values   []any // of pragmas
	caseLike bool  // case_sensitive_like, which can't be asked for by its name
	temp     []object
	attached []string
}

// object is something in the temporary schema.
type object struct{ kind, name string }

var readPragmas = func() string {
	var b strings.Builder
	b.WriteString("SELECT 'a' NOT LIKE 'A'")
	for _, p := range pragmas {
		b.WriteString(", (SELECT * FROM pragma_" + p + ")")
	}
	return b.String()
}()

// readSession reads the session as it is.
func (c *conn) readSession(ctx context.Context) (*session, error) {
	s := &session{values: make([]any, len(pragmas))}
	to := []any{&s.caseLike}
	for i := range s.values {
		to = append(to, &s.values[i])
	}
	if err := c.QueryRowContext(ctx, readPragmas).Scan(to...); err != nil {
		return nil, err
	}
	// Tables go first: they take their indexes and triggers with them.
	rows, err := c.QueryContext(ctx, `SELECT type, name FROM (
	SELECT type, name FROM temp.sqlite_schema WHERE type IN ('table', 'view', 'trigger') AND name NOT LIKE 'sqlite\_%' ESCAPE '\'
	UNION ALL SELECT '', name FROM pragma_database_list WHERE name NOT IN ('main', 'temp'))
	ORDER BY type != 'view', type != 'table'`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var o object
		if err := rows.Scan(&o.kind, &o.name); err != nil {
			return nil, err
		}
		if o.kind == "" {
			s.attached = append(s.attached, o.name)
		} else {
			s.temp = append(s.temp, o)
		}
	}
	return s, rows.Err()
}

// restore makes the session what it was. done is false when a database that the script
// attached is still in use by the transaction, so that it must be called again.
func (c *conn) restore(old *session) (done bool, err error) {
	now, err := c.readSession(bg)
	if err != nil {
		return false, err
	}
	for i, p := range pragmas {
		value := old.values[i]
		if now.values[i] == value {
			continue
		}
		if p == "secure_delete" && value == int64(2) {
			value = "fast"
		}
		if err := c.do(fmt.Sprintf("PRAGMA %s = %v", p, value)); err != nil && !slices.Contains(inTransaction, p) {
			return false, fmt.Errorf("PRAGMA %s: %w", p, err)
		}
	}
	if now.caseLike != old.caseLike {
		if err := c.do(fmt.Sprintf("PRAGMA case_sensitive_like = %t", old.caseLike)); err != nil {
			return false, err
		}
	}
	for _, o := range now.temp {
		if slices.Contains(old.temp, o) {
			continue
		}
		if err := c.do("DROP " + o.kind + " IF EXISTS temp." + quote(o.name)); err != nil {
			return false, err
		}
	}
	done = true
	for _, name := range now.attached {
		if !slices.Contains(old.attached, name) && c.do("DETACH "+quote(name)) != nil {
			done = false // it is part of the transaction
		}
	}
	return done, nil
}
