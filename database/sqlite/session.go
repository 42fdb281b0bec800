package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
)

// pragmas are the connection's settings that a script can change, and that can be read and written.
// Settings stored in the file (user_version, journal_mode, …) are the script's to change.
// foreign_keys is handled separately. defer_foreign_keys ends with the transaction; writing it
// earlier would cancel pending checks.
var pragmas = []string{
	"recursive_triggers", "ignore_check_constraints", "legacy_alter_table",
	"query_only", "writable_schema", "trusted_schema", "reverse_unordered_selects", "automatic_index",
	"cell_size_check", "checkpoint_fullfsync", "fullfsync", "read_uncommitted", "secure_delete",
	"synchronous", "temp_store", "locking_mode", "busy_timeout", "cache_size", "cache_spill",
	"analysis_limit", "journal_size_limit", "max_page_count", "soft_heap_limit", "threads",
	"count_changes", "full_column_names", "short_column_names", "empty_result_callbacks",
}

// inTransaction lists the settings that can't be written in a transaction, so no transaction can
// have changed them.
var inTransaction = []string{"synchronous", "temp_store"}

// session is the state of a connection that a script can change.
type session struct {
	values   []any // of pragmas
	caseLike bool  // case_sensitive_like, which has no pragma to read it
	temp     []object
	attached []string
}

// object is an object in the temporary schema.
type object struct{ kind, name string }

// readSession reads the session. It sends one query per PRAGMA: tables could hide the table-valued
// functions that do the same.
func (c *conn) readSession(ctx context.Context) (*session, error) {
	s := &session{values: make([]any, len(pragmas))}
	if err := c.ask("SELECT 'a' NOT LIKE 'A'").Scan(&s.caseLike); err != nil {
		return nil, err
	}
	for i, p := range pragmas {
		if err := c.ask("PRAGMA " + p).Scan(&s.values[i]); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
	}
	// Tables are dropped first: their indexes and triggers go with them.
	temp, err := texts(ctx, c, `SELECT type, name FROM temp.sqlite_schema WHERE type IN ('table', 'view', 'trigger') AND name NOT LIKE 'sqlite\_%' ESCAPE '\'
	ORDER BY type != 'view', type != 'table'`)
	if err != nil {
		return nil, err
	}
	for _, row := range temp {
		s.temp = append(s.temp, object{row[0], row[1]})
	}
	files, err := texts(ctx, c, "PRAGMA database_list")
	for _, f := range files {
		if name := f[1]; name != "main" && name != "temp" {
			s.attached = append(s.attached, name)
		}
	}
	return s, err
}

// mainFile returns the file as SQLite resolves it, without symbolic links, or "" in memory.
func (c *conn) mainFile(ctx context.Context) (string, error) {
	files, err := texts(ctx, c, "PRAGMA database_list") // main first
	if err != nil || len(files) == 0 {
		return "", err
	}
	return files[0][2], nil
}

// restore restores the session. done is false if the transaction still uses a database that the
// script attached, so restore must be called again.
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
