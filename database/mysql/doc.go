// Package mysql is the driver for MySQL and MariaDB, based on go-sql-driver/mysql. It is tested on
// MariaDB 10.11, as a single server and as a Galera cluster, and is also written for MySQL 5.7 and
// 8.
//
// It is registered under the schemes "mysql" and "mariadb". A URL is
// mysql://user:password@host:port/database?tls=…; docs/mysql.md lists its parameters. The driver
// reads nothing from the environment.
//
// # Transactions and runs
//
// Nearly every statement but DML commits by itself. In a [database.Tx], a statement that is not
// known to be transactional is a *[database.StatementError]. A Tx is a transaction on one
// connection, the worker; another, the guard, holds the lock. Comments and a Reset, which are DDL,
// come after the Tx's COMMIT: if they fail, the error says what to repeat.
//
// A [database.Run] executes statements on the worker, and writes its journal on the guard or in the
// statement's own transaction. Before DDL, it stores the definitions of the objects that the
// statement names; from these, [database.Run].Outcome derives whether the statement took effect.
//
// # The lock
//
// The migration lock is GET_LOCK on the guard, acquired by polling with jitter. Its name is a hash
// of the database and the history table, as the server reports them, and the set. The guard checks
// every two seconds that it still holds the lock; losing it cancels the worker's statement. The
// worker holds a second lock, which identifies a worker whose client is gone: the next process
// terminates it before it begins. In a Galera cluster the lock is a lease instead, see [LockLease].
//
// Canceling a context sends KILL QUERY through the guard and waits for the server's answer; a call
// that only reads Whimbrel's tables closes its connection instead. A connection whose session a
// script may have changed is closed, not reused.
package mysql
