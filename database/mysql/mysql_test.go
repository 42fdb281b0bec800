package mysql_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	client "github.com/go-sql-driver/mysql"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/databasetest"
	"github.com/whimbrel-db/whimbrel/database/mysql"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// opener opens a database in one way.
type opener func(t *testing.T, url string, opts database.Options) (database.Database, error)

func fromURL(_ *testing.T, url string, opts database.Options) (database.Database, error) {
	return database.Open(context.Background(), url, opts)
}

// fromPool opens a database with a pool of the caller, with settings that change how values are
// formatted.
func fromPool(t *testing.T, rawURL string, opts database.Options) (database.Database, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	config := client.NewConfig()
	config.User, config.Net, config.Addr, config.DBName = u.User.Username(), "tcp", u.Host, strings.TrimPrefix(u.Path, "/")
	config.ParseTime, config.ClientFoundRows = true, true
	config.Logger = &client.NopLogger{}
	connector, err := client.NewConnector(config)
	if err != nil {
		return nil, err
	}
	pool := sql.OpenDB(connector)
	t.Cleanup(func() { pool.Close() })
	return mysql.New(pool, opts)
}

func TestContract(t *testing.T) {
	databasetest.Run(t, func(t *testing.T) databasetest.Target {
		target := target(t, testdb.MariaDB(t), fromURL)
		target.Powers = append(target.Powers, database.PowerClone)
		return target
	})
}

// withLease requests the lock for clusters.
func withLease(_ *testing.T, url string, opts database.Options) (database.Database, error) {
	return database.Open(context.Background(), url+"?lock=lease", opts)
}

func TestContractWithALease(t *testing.T) {
	databasetest.Run(t, func(t *testing.T) databasetest.Target {
		target := target(t, testdb.MariaDB(t), withLease)
		target.Holders = true
		return target
	})
}

func TestContractOfAPool(t *testing.T) {
	databasetest.Run(t, func(t *testing.T) databasetest.Target { return target(t, testdb.MariaDB(t), fromPool) })
}

func target(t *testing.T, url string, open opener) databasetest.Target {
	db := testdb.OpenMariaDB(t, url)
	name := url[strings.LastIndexByte(url, '/')+1:]
	return databasetest.Target{
		Powers: []database.Power{database.PowerSettings, database.PowerReset, database.PowerMetadata, database.PowerQuery, database.PowerHolder, database.PowerBackfill},
		Open:   func(_ context.Context, opts database.Options) (database.Database, error) { return open(t, url, opts) },
		Tables: func(ctx context.Context) (names []string, err error) {
			return column(ctx, db, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()")
		},
		RowCount: func(ctx context.Context, table string) (n int, err error) {
			err = db.QueryRowContext(ctx, "SELECT count(*) FROM `"+table+"`").Scan(&n)
			return n, err
		},
		NoDDL:   true,
		Session: sessionChanges(name),
		Never:   func(table string) string { return "ALTER TABLE " + table + " COMMENT = 'altered'" },
		Again:   "CREATE TABLE IF NOT EXISTS again (x int)",
		Func: func(id, table string, fail error) *migration.Script {
			return mysql.Func(id, func(ctx context.Context, tx mysql.Tx) error {
				if _, err := tx.ExecContext(ctx, "INSERT INTO "+table+" VALUES (?)", 7); err != nil {
					return err
				}
				return fail
			})
		},
		Slow:   "SELECT SLEEP(120)",
		Notice: "SELECT CAST('whimbrel' AS SIGNED)",
		Block: func(ctx context.Context, table string) (func() error, error) {
			return blockTable(ctx, t, db, url, table)
		},
		Deadlock: func(ctx context.Context, held, wanted string) (func() error, error) {
			return deadlock(ctx, db, held, wanted)
		},
		Blockers: true, Terminates: true, Counters: counters(db),
		Break: func(database.Database) {
			ids, err := column(context.Background(), db, "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()")
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range ids {
				db.Exec("KILL " + id) // it may have ended by itself
			}
		},
	}
}

// counters is the table that the suite's backfills work on.
func counters(db *sql.DB) *databasetest.Counters {
	do := func(ctx context.Context, query string, args ...any) error {
		_, err := db.ExecContext(ctx, query, args...)
		return err
	}
	return &databasetest.Counters{
		Create: func(ctx context.Context, rows int) error {
			err := do(ctx, "CREATE TABLE counters (id bigint unsigned NOT NULL PRIMARY KEY, n int NOT NULL DEFAULT 0, bad int NOT NULL DEFAULT 0, CHECK (n = 0 OR NOT bad))")
			if err == nil && rows > 0 {
				err = do(ctx, "INSERT INTO counters (id) SELECT seq FROM seq_1_to_1000 WHERE seq <= ?", rows)
			}
			return err
		},
		Body: "UPDATE counters SET n = n + 1 WHERE id BETWEEN :first AND :last",
		Read: func(ctx context.Context) (map[int]int, error) {
			rows, err := db.QueryContext(ctx, "SELECT id, n FROM counters")
			if err != nil {
				return nil, err
			}
			defer rows.Close()
			counts := map[int]int{}
			for rows.Next() {
				var id, n int
				if err := rows.Scan(&id, &n); err != nil {
					return nil, err
				}
				counts[id] = n
			}
			return counts, rows.Err()
		},
		Insert: func(ctx context.Context, key int) error { return do(ctx, "INSERT INTO counters (id) VALUES (?)", key) },
		Delete: func(ctx context.Context, key int) error { return do(ctx, "DELETE FROM counters WHERE id = ?", key) },
		Fail: func(ctx context.Context, key int, fails bool) error {
			return do(ctx, "UPDATE counters SET bad = ? WHERE id = ?", fails, key)
		},
	}
}

// blockTable lets a session of an ordinary user lock all rows of a table, and the gaps between
// them.
func blockTable(ctx context.Context, t testing.TB, db *sql.DB, url, table string) (end func() error, err error) {
	name := url[strings.LastIndexByte(url, '/')+1:]
	user := userOf(t, db, name)
	pool := testdb.OpenMariaDB(t, strings.Replace(url, "root@", user+"@", 1))
	c, err := pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range []string{"START TRANSACTION", "SELECT * FROM `" + table + "` FOR UPDATE"} {
		if _, err := c.ExecContext(ctx, s); err != nil {
			return nil, err
		}
	}
	return func() error {
		c.ExecContext(context.Background(), "ROLLBACK") // it may have been terminated
		return pool.Close()
	}, nil
}

// userOf creates an ordinary user without a password, for one database.
func userOf(t testing.TB, db *sql.DB, name string) string {
	user := fmt.Sprintf("u%x", sha256.Sum256([]byte(name)))[:30]
	for _, s := range []string{"CREATE USER IF NOT EXISTS " + user, "GRANT ALL ON `" + name + "`.* TO " + user} {
		_, err := db.ExecContext(background(t), s)
		must(t, err)
	}
	t.Cleanup(func() { db.Exec("DROP USER IF EXISTS " + user) })
	return user
}

// deadlock lets a session lock all rows of the table wanted and then wait for those of held. It
// changes more rows than the caller, so the server ends the caller's transaction.
func deadlock(ctx context.Context, db *sql.DB, held, wanted string) (end func() error, err error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range []string{"START TRANSACTION", "SELECT * FROM `" + wanted + "` FOR UPDATE", "INSERT INTO `" + wanted + "` SELECT seq FROM seq_1_to_300"} {
		if _, err := c.ExecContext(ctx, s); err != nil {
			return nil, err
		}
	}
	var id int64
	if err := c.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(&id); err != nil {
		return nil, err
	}
	waited := make(chan error, 1)
	go func() {
		_, err := c.ExecContext(ctx, "SELECT * FROM `"+held+"` FOR UPDATE")
		waited <- err
	}()
	for waits := false; !waits && err == nil; time.Sleep(10 * time.Millisecond) {
		waits, err = waitsForARow(ctx, db, id)
	}
	return func() error {
		err := <-waited
		_, rerr := c.ExecContext(context.Background(), "ROLLBACK")
		return errors.Join(err, rerr, c.Close())
	}, err
}

// waitsForARow reports whether a connection waits for a lock on a row. It asks the engine itself:
// information_schema.innodb_trx is not refreshed while anybody reads it more often than every
// 0.1 s.
func waitsForARow(ctx context.Context, db *sql.DB, id int64) (bool, error) {
	var engine, name, status string
	err := db.QueryRowContext(ctx, "SHOW ENGINE INNODB STATUS").Scan(&engine, &name, &status)
	for transaction := range strings.SplitSeq(status, "---TRANSACTION") {
		if strings.Contains(transaction, "LOCK WAIT") && strings.Contains(transaction, fmt.Sprintf("thread id %d,", id)) {
			return true, err
		}
	}
	return false, err
}

func sessionChanges(name string) []databasetest.SessionChange {
	probe := func(condition string) string {
		return "INSERT INTO `" + name + "`.probe SELECT 1 FROM DUAL WHERE " + condition
	}
	return []databasetest.SessionChange{
		{Name: "sql_mode", Change: "SET sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT'", Probe: probe("@@sql_mode LIKE '%ANSI_QUOTES%'")},
		{Name: "no sql_mode", Change: "SET SESSION sql_mode = ''", Probe: probe("@@sql_mode = ''")},
		{Name: "foreign_key_checks", Change: "SET FOREIGN_KEY_CHECKS = 0", Probe: probe("@@foreign_key_checks = 0")},
		{Name: "unique_checks", Change: "/*!40014 SET @OLD_UNIQUE_CHECKS=@@UNIQUE_CHECKS, UNIQUE_CHECKS=0 */", Probe: probe("@@unique_checks = 0 OR @old_unique_checks IS NOT NULL")},
		{Name: "NAMES", Change: "SET NAMES latin1", Probe: probe("@@character_set_client <> 'utf8mb4'")},
		{Name: "a user variable", Change: "SET @a = 1, @`b c` := 2", Probe: probe("@a IS NOT NULL OR @`b c` IS NOT NULL")},
		{Name: "a user variable in a query", Change: "SELECT 1 INTO @a", Probe: probe("@A IS NOT NULL")},
		{Name: "time_zone", Change: "SET time_zone = '+05:30'", Probe: probe("@@time_zone = '+05:30'")},
		{Name: "the database", Change: "USE information_schema", Probe: probe("DATABASE() <> '" + name + "'")},
		{Name: "the time", Change: "SET timestamp = 12345", Probe: probe("NOW() < '1980-01-01'")},
		{Name: "lock_wait_timeout", Change: "SET lock_wait_timeout = 7", Probe: probe("@@lock_wait_timeout = 7")},
		{Name: "the isolation level", Change: "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED", Probe: probe("@@tx_isolation = 'READ-UNCOMMITTED'")},
		{Name: "max_statement_time", Change: "SET max_statement_time = 100.5", Probe: probe("@@max_statement_time = 100.5")},
	}
}

// column reads the first column of an answer.
func column(ctx context.Context, db *sql.DB, query string, args ...any) (all []string, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
