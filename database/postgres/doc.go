// Package postgres is the driver for PostgreSQL 13 and later, based on pgx v5.
//
// It is registered under the schemes "postgres" and "postgresql". A URL has the form that pgx and
// libpq accept: postgres://user:password@host:port/database?sslmode=…, also with several hosts and
// with host= for a Unix socket. The only startup parameters sent are those in the URL and
// application_name, so that poolers accept them.
//
// # The lock
//
// The migration lock is a transaction-scoped advisory lock, acquired with pg_try_advisory_xact_lock
// by polling with jitter. Its key is a 64-bit hash of the history table's oid and the set, so it is
// the same for every way to connect, and no migration changes it. A [database.Tx] holds it in its
// own transaction: one connection is enough, and PgBouncer in transaction mode works. A
// [database.Run] holds it in a transaction on a second connection, which the driver opens.
//
// # The tables
//
// The driver looks for Whimbrel's tables in all schemas, unless Options.Schema names one; two
// schemas with these tables are a [database.TablesError]. Their owner must be trusted, because the
// history decides what a rollback executes: the current role, a role that it is a member of, a
// superuser, Options.TablesOwner, or for an ordinary role the owner of the database. A superuser
// counts only as a member of roles granted to it. The driver refuses tables with triggers, rules,
// row-level security that applies to the role, or user-defined code.
//
// # What is sent
//
// State takes one round trip. A migration in a transaction of its own takes two if its script has
// few statements and doesn't change the session: one that begins, locks and reads the head of the
// history, and one with the script, the history row and COMMIT. A longer script is sent in chunks
// of some hundred statements or kilobytes. Chunks are sent before those before them are answered,
// so only the last one takes a round trip. A script that may change the session takes one more, to
// find the changes and revert them.
//
// On PostgreSQL 14 and later on Linux, a Tx sets client_connection_check_interval to 1 s for its
// transaction, so that the server ends the statement of a client that is gone.
//
// Canceling a context sends a cancel request and waits for the server's answer.
package postgres
