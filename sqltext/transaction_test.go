package sqltext

import (
	"strings"
	"testing"
)

// spellings are ways to write the same statement.
func spellings(text string) []string {
	return []string{text, strings.ToLower(text), "/* COMMIT */ " + strings.ReplaceAll(text, " ", " -- x\n\t")}
}

// one returns the statement that a text is.
func one(t *testing.T, d Dialect, text string) Statement {
	t.Helper()
	pieces, err := Split(text, d, Options{})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if len(pieces) != 1 {
		t.Fatalf("%s: len(pieces) = %v, want 1", text, len(pieces))
	}
	return pieces[0]
}

// What is refused, or does nothing, outside of a transaction.
func TestOnlyInATransaction(t *testing.T) {
	t.Parallel()
	for d, kinds := range map[Dialect]map[string][]string{
		PostgreSQL: {
			"SET LOCAL":       {"SET LOCAL lock_timeout = '1s'", "SET LOCAL ROLE a", "SET LOCAL default_transaction_isolation = 'serializable'"},
			"SET TRANSACTION": {"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SET TRANSACTION READ ONLY", "SET TRANSACTION SNAPSHOT 'a'"},
			"SET CONSTRAINTS": {"SET CONSTRAINTS ALL DEFERRED", "SET CONSTRAINTS a, b IMMEDIATE"},
			"LOCK TABLE":      {"LOCK TABLE big IN ACCESS EXCLUSIVE MODE", "LOCK big"},
			"DECLARE CURSOR without WITH HOLD": {
				"DECLARE c CURSOR FOR SELECT 1", "DECLARE c SCROLL CURSOR WITHOUT HOLD FOR SELECT 'WITH HOLD'", "DECLARE c CURSOR FOR WITH HOLD AS (SELECT 1) SELECT 1",
			},
			"ON COMMIT DROP":               {"CREATE TEMP TABLE a (x int) ON COMMIT DROP", "CREATE TEMPORARY TABLE a ON COMMIT DROP AS SELECT 1"},
			"SET transaction_isolation":    {"SET transaction_isolation = 'serializable'"},
			"SET transaction_read_only":    {"SET SESSION transaction_read_only TO on"},
			"pg_advisory_xact_lock":        {"SELECT pg_advisory_xact_lock(1)", "SELECT pg_catalog.pg_advisory_xact_lock(1, 2)", "INSERT INTO a SELECT pg_advisory_xact_lock(1)", "(SELECT pg_advisory_xact_lock(1))"},
			"pg_try_advisory_xact_lock":    {"SELECT pg_try_advisory_xact_lock(1)"},
			"pg_advisory_xact_lock_shared": {"WITH a AS (SELECT pg_advisory_xact_lock_shared(1)) SELECT 1"},
			"set_config(…, true)":          {"SELECT set_config('a.b', 'c', true)", "SELECT pg_catalog.set_config('a.b', coalesce('c', 'd'), 'on')"},
			"SELECT … FOR UPDATE":          {"SELECT 1 FROM a FOR UPDATE", "SELECT 1 FROM a FOR UPDATE OF a NOWAIT", "SELECT 1 FROM a FOR UPDATE SKIP LOCKED"},
			"SELECT … FOR NO KEY UPDATE":   {"WITH b AS (SELECT 1) SELECT 1 FROM a FOR NO KEY UPDATE"},
			"SELECT … FOR SHARE":           {"TABLE a FOR SHARE"},
			"": {
				"SET lock_timeout = '1s'", "SET SESSION lock_timeout = '1s'", "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SET default_transaction_isolation = 'serializable'",
				"DECLARE c CURSOR WITH HOLD FOR SELECT 1", "DECLARE c BINARY INSENSITIVE NO SCROLL CURSOR WITH HOLD FOR SELECT 1", "CREATE TEMP TABLE a (x int)",
				"CREATE TEMP TABLE a (x int) ON COMMIT DELETE ROWS", "SELECT 'pg_advisory_xact_lock(1)'", "SELECT pg_advisory_lock(1)", "SELECT set_config('a.b', 'c', false)",
				"SELECT set_config('a.b', 'c', $1)", "CREATE VIEW v AS SELECT pg_advisory_xact_lock(1)", "DO 'SELECT pg_advisory_xact_lock(1)'", "SELECT 'a for update'",
				"NOTIFY a", "BEGIN ISOLATION LEVEL SERIALIZABLE", "SAVEPOINT a", "CREATE FUNCTION f() RETURNS void BEGIN ATOMIC SELECT pg_advisory_xact_lock(1); END",
			},
		},
		SQLite: {
			"PRAGMA defer_foreign_keys": {"PRAGMA defer_foreign_keys = ON", "PRAGMA main.defer_foreign_keys(1)"},
			"":                          {"PRAGMA defer_foreign_keys = OFF", "PRAGMA defer_foreign_keys", "PRAGMA foreign_keys = ON", "SELECT 1"},
		},
		MySQL: {
			"SELECT … FOR UPDATE":         {"SELECT 1 FROM a FOR UPDATE", "SELECT 1 FROM a FOR UPDATE WAIT 5"},
			"SELECT … LOCK IN SHARE MODE": {"SELECT 1 FROM a LOCK IN SHARE MODE"},
			"":                            {"LOCK TABLES a WRITE", "SET LOCAL sql_mode = ''", "SET TRANSACTION READ ONLY", "SELECT 'for update'"},
		},
	} {
		for want, texts := range kinds {
			for _, text := range texts {
				for _, text := range spellings(text) {
					if got := one(t, d, text).OnlyInTx; !strings.EqualFold(got, want) {
						t.Errorf("%v: %s: %q, want %q", d, text, got, want)
					}
				}
			}
		}
	}
}

// The kinds of transaction that statements ask for.
func TestModes(t *testing.T) {
	t.Parallel()
	for d, modes := range map[Dialect]map[Mode][]string{
		PostgreSQL: {
			0:                           {"BEGIN", "BEGIN WORK", "START TRANSACTION", "BEGIN ISOLATION LEVEL READ COMMITTED", "BEGIN READ WRITE, NOT DEFERRABLE", "SET lock_timeout = 0", "SET LOCAL default_transaction_read_only = on", "COMMIT"},
			ModeOwn:                     {"BEGIN ISOLATION LEVEL SERIALIZABLE", "START TRANSACTION ISOLATION LEVEL REPEATABLE READ", "BEGIN DEFERRABLE", "SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "SET TRANSACTION SNAPSHOT 'a'", "SET transaction_isolation = serializable", "SET transaction_deferrable = on"},
			ModeOwn | ModeReadOnly:      {"BEGIN READ ONLY", "BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE", "SET TRANSACTION READ ONLY", "SET transaction_read_only TO true"},
			ModeOwn | ModeReadWrite:     {"BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE", "SET TRANSACTION READ WRITE", "SET transaction_read_only = off"},
			ModeSession:                 {"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SET default_transaction_isolation TO 'serializable'", "SET SESSION default_transaction_deferrable = on"},
			ModeSession | ModeReadOnly:  {"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SET default_transaction_read_only = 'on'"},
			ModeSession | ModeReadWrite: {"SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE", "SET default_transaction_read_only = off", "SET default_transaction_read_only TO 'false'"},
		},
		MySQL: {
			0:                          {"BEGIN", "BEGIN WORK", "START TRANSACTION", "START TRANSACTION READ WRITE", "SET GLOBAL TRANSACTION READ ONLY", "SET @@global.tx_read_only = 1", "SET @transaction_isolation = 1", "SET autocommit = 0"},
			ModeOwn:                    {"START TRANSACTION WITH CONSISTENT SNAPSHOT"},
			ModeOwn | ModeReadOnly:     {"START TRANSACTION READ ONLY"},
			ModeNext:                   {"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SET @@transaction_isolation = 'SERIALIZABLE'"},
			ModeNext | ModeReadOnly:    {"SET TRANSACTION READ ONLY"},
			ModeSession:                {"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", "SET LOCAL TRANSACTION ISOLATION LEVEL READ COMMITTED", "SET tx_isolation = 'SERIALIZABLE'", "SET @@session.transaction_isolation = 'SERIALIZABLE'", "SET SESSION transaction_isolation = 'SERIALIZABLE'", "SET @a = f(1, 2), SESSION transaction_isolation = 'SERIALIZABLE'"},
			ModeSession | ModeReadOnly: {"SET SESSION TRANSACTION READ ONLY", "SET tx_read_only = 1"},
		},
		SQLite: {0: {"BEGIN", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE TRANSACTION"}},
	} {
		for want, texts := range modes {
			for _, text := range texts {
				for _, text := range spellings(text) {
					if got := one(t, d, text).Mode; got != want {
						t.Errorf("%v: %s: %b, want %b", d, text, got, want)
					}
				}
			}
		}
	}
}
