// Package postgres is the driver for PostgreSQL 13 and later, on pgx v5.
//
// It is registered under the schemes "postgres" and "postgresql". A URL is what pgx
// and libpq take: postgres://user:password@host:port/database?sslmode=…, also with
// several hosts and with host= for a Unix socket. No other startup parameter is sent
// than what the URL says and application_name, so that poolers don't refuse it.
//
// # The lock
//
// The migration lock is a transaction-scoped advisory lock, taken with
// pg_try_advisory_xact_lock and polling with jitter. Its key is a 64-bit hash of the
// history table's oid and the set, so that every way to connect leads to the same one, and no
// migration changes it. A [database.Tx] holds it in its own
// transaction: one connection is enough, and PgBouncer in transaction mode works.
// A [database.Run] holds it in a transaction on a second connection, which the driver opens.
//
// # The tables
//
// Whimbrel's tables are looked for in all schemas, unless Options.Schema names one; two that have
// them are a [database.TablesError]. Their owner must be the current role or one that it is a member
// of (a superuser is a member of the roles that were granted to it), a superuser, for an ordinary role
// the owner of the database, or Options.TablesOwner: who owns the history decides what a rollback executes.
// Triggers, rules, row-level security that holds for the role, and code of others on the tables are refused.
//
// # What is sent
//
// State is one round trip. A migration in a transaction of its own is two, when its
// script has few statements and leaves the session alone: one that begins, locks and
// reads the head of the history, and one with the script, the history row and COMMIT. A
// longer script is sent in chunks of some hundred kilobytes, one round trip each. A script that may
// change the session costs one more, to see what it changed and put it back.
//
// Where the server can (PostgreSQL 14 and later, on Linux), a batch sets
// client_connection_check_interval to 1 s for its transaction, so that the server
// ends the statement of a client that is gone.
//
// Cancelling a context sends a cancel request and waits for the server's answer.
package postgres
