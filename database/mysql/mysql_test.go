package mysql_test

import (
	"context"
	"database/sql"
	"net/url"
	"strings"
	"testing"

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
		Powers: []database.Power{database.PowerSettings, database.PowerReset, database.PowerMetadata, database.PowerQuery},
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
