package faults

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	_ "github.com/whimbrel-db/whimbrel/database/mysql"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// mariaDB is a place on a MariaDB server.
type mariaDB struct {
	wire
	pool      *sql.DB // not through the wire
	observing database.Database
}

func newMariaDB(t testing.TB, url string) *mariaDB {
	t.Helper()
	p := &mariaDB{wire: newWire(t, url), pool: testdb.OpenMariaDB(t, url)}
	p.connect(t)
	t.Cleanup(p.disconnect)
	return p
}

func (p *mariaDB) connect(t testing.TB) {
	t.Helper()
	var err error
	if p.observing, err = database.Open(t.Context(), p.url, database.Options{}); err != nil {
		t.Fatal(err)
	}
}

func (p *mariaDB) disconnect() { p.observing.Close() }

func (p *mariaDB) block(ctx context.Context, table string) (func(), error) {
	c, err := p.pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	_, err = c.ExecContext(ctx, "LOCK TABLES "+table+" WRITE")
	return func() {
		_, _ = c.ExecContext(context.WithoutCancel(ctx), "UNLOCK TABLES")
		c.Close()
	}, err
}

func (p *mariaDB) observer(context.Context) (database.Database, error) { return p.observing, nil }

func (*mariaDB) placeholders() []string {
	return []string{
		"{index without a name}", "ALTER TABLE a ADD INDEX (x)",
		"{concurrently}", "", "{of a}", " ON a", "{of b}", " ON b", "{of m}", " ON m", "{vacuum m}", "ANALYZE TABLE m",
		"{begin serializable}", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; START TRANSACTION", "{set seven}", "SET @seven = 7", "{insert 7 if seven is set}", "INSERT INTO m SELECT @seven",
		"{copy 8 and 9 into m}", "INSERT INTO m VALUES (8), (9);", "{copy 21 and 22 into a}", "INSERT INTO a VALUES (21), (22);",
	}
}

func (p *mariaDB) clean(ctx context.Context) error {
	tables, err := p.tables(ctx, "")
	if err != nil || len(tables) == 0 {
		return err
	}
	_, err = p.pool.ExecContext(ctx, "DROP TABLE `"+strings.Join(tables, "`, `")+"`")
	return err
}

// tables returns the tables whose names do not match the pattern.
func (p *mariaDB) tables(ctx context.Context, unlike string) ([]string, error) {
	return p.column(ctx, "SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name NOT LIKE ? ORDER BY table_name", unlike)
}

func (p *mariaDB) column(ctx context.Context, query string, args ...any) (values []string, err error) {
	rows, err := p.pool.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, rows.Err()
}

func (p *mariaDB) describe(ctx context.Context) (string, error) {
	// The lock must be free as soon as the server has noticed that the client is gone.
	lock, _, err := p.observing.Begin(ctx, setName, database.LockOptions{Timeout: testTimeout / 4})
	if err != nil {
		return "", err
	}
	if err := lock.Rollback(ctx); err != nil {
		return "", err
	}
	tables, err := p.tables(ctx, "whimbrel%")
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, name := range tables {
		var definition string
		if err := p.pool.QueryRowContext(ctx, "SHOW CREATE TABLE `"+name+"`").Scan(&name, &definition); err != nil {
			return "", err
		}
		rows, err := p.column(ctx, "SELECT x FROM `"+name+"` ORDER BY x")
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%s\nrows of %s: %v\n", definition, name, rows)
	}
	return b.String(), nil
}
