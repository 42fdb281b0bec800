package postgres

import (
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Custom settings, with a dot in their names, are not in pg_settings. So those that a script
// changes are found in its text.
var (
	customSet    = lazyregexp.New(`(?i)\bset\s+(?:session\s+|local\s+)?("?[a-z_][\w$]*"?(?:\."?[a-z_][\w$]*"?)+)\s*(?:=|to\b)`)
	customConfig = lazyregexp.New(`(?i)\bset_config\s*\(\s*e?'([^']*\.[^']*)'`)
	listen       = lazyregexp.New(`(?i)listen\b`)
	customReset  = lazyregexp.New(`(?i)\breset\s+("?[a-z_][\w$]*"?(?:\."?[a-z_][\w$]*"?)+)`)
)

// resetsAll matches statements that reset custom settings without naming them.
var resetsAll = lazyregexp.New(`(?i)\b(reset|discard)\s+all\b`)

// customSettings returns the names of the custom settings that a statement may change.
func customSettings(st sqltext.Statement) []string {
	if !st.Session || !strings.Contains(st.Text, ".") {
		return nil
	}
	var names []string
	for _, re := range []*lazyregexp.Regexp{customSet, customConfig, customReset} {
		for _, m := range re.FindAllStringSubmatch(st.Text, -1) {
			name := strings.ToLower(strings.ReplaceAll(m[1], `"`, ""))
			if !strings.HasPrefix(name, "whimbrel.") && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// sessionWords begin the statements that exist to change the session.
var sessionWords = []string{"SET", "RESET", "PREPARE", "DEALLOCATE", "DECLARE", "LISTEN", "UNLISTEN", "LOAD", "DISCARD", "CREATE"}

// changesSession reports whether a statement clearly changes the session. Other statements may do
// so through functions that they call.
func changesSession(st sqltext.Statement) bool {
	if !st.Session {
		return false
	}
	low := strings.ToLower(st.Text)
	return slices.Contains(sessionWords, st.Verb()) || strings.Contains(low, "set_config") || strings.Contains(low, "pg_advisory_lock")
}

// forTransaction reports whether a statement sets what ends with its transaction.
func forTransaction(st sqltext.Statement) bool {
	l := sqltext.List(st.Text, sqltext.PostgreSQL)
	return l.Is(0, "SET") && l.Any(1, "LOCAL", "TRANSACTION", "CONSTRAINTS")
}
