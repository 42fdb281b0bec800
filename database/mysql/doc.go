// Package mysql is the driver for MySQL and MariaDB, on go-sql-driver/mysql. It is tried out on MariaDB 10.11, alone and as a
// Galera cluster, and written for MySQL 8 (5.7 at least) as well.
//
// It is registered under the schemes "mysql" and "mariadb". A URL is
// mysql://user:password@host:port/database?tls=…; docs/mysql.md lists its parameters. Nothing is read from the environment.
//
// # Batches and runs
//
// Nearly everything but DML commits by itself, and what is not known not to is kept out of a [database.Batch]: it is a
// *[database.StatementError] there. A batch is a transaction on one connection, the worker; another, the guard, has the lock. Comments and a
// Reset, which are DDL, come after the batch's COMMIT: when they fail, the error says what is to be done again.
//
// A [database.Run] executes statements on the worker and writes its journal on the guard, or in the statement's own transaction. Before DDL
// it keeps the definitions of what the statement names, by which [database.Run].Outcome knows whether it has happened.
//
// # The lock
//
// The migration lock is GET_LOCK on the guard, polled for with jitter. Its name is a hash of the database, the history table
// and the set, as the server says them. The guard is asked every two seconds whether it still has it; losing it cancels what the
// worker runs. The worker holds a second lock, by which a worker is found whose client is gone: it is ended before anybody else begins. In
// a Galera cluster the lock is a lease instead, see [LockLease].
//
// Cancelling a context sends KILL QUERY by way of the guard and waits for the server's answer; what only reads Whimbrel's tables ends with its
// connection. A connection whose session a script may have changed is closed instead of given back.
package mysql
