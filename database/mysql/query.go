package mysql

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/database/mysql/internal/mycatalog"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Query executes one statement in a read-only transaction, on a connection that is not reused.
func (db *Database) Query(ctx context.Context, statement string) (*database.Rows, error) {
	st, err := database.ReadingStatement(statement, sqltext.MySQL)
	if err != nil {
		return nil, err
	}
	c, err := db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer c.giveBack()
	if _, err := db.learn(ctx, c); err != nil {
		return nil, err
	}
	if err := c.row(ctx, "SELECT CONNECTION_ID()", nil, &c.id); err != nil {
		return nil, ownError("reading the connection's id", err)
	}
	c.unusable = true // closing it rolls the transaction back
	if _, err := c.exec(ctx, "START TRANSACTION READ ONLY"); err != nil {
		return nil, ownError("beginning a read-only transaction", err)
	}
	var out *database.Rows
	err = c.do(ctx, func(ctx context.Context) error {
		out, err = c.rows(ctx, st.Text)
		return err
	})
	if err != nil && ctx.Err() == nil && db.life.Closing.Err() == nil {
		err = statementError(st, err)
		if failed, ok := drivers.AsType[*database.StatementError](err); ok && number(failed.Err) == readOnlyTransaction {
			failed.Err = errors.Join(database.ErrReadOnly, failed.Err)
		}
	}
	return out, err
}

// readOnlyTransaction is the error number of a write in a read-only transaction.
const readOnlyTransaction = 1792

// Query executes one statement in the transaction.
func (b *transaction) Query(ctx context.Context, statement string) (rows *database.Rows, err error) {
	st, err := database.OneStatement(statement, sqltext.MySQL)
	if err != nil {
		return nil, err
	}
	if readsClientFile(st) {
		return nil, refused(st, "LOAD DATA LOCAL reads a file on this machine", "use INSERT, or LOAD DATA INFILE on the server")
	}
	s := migration.Text(database.QueryFile, statement)
	err = b.do(ctx, func(ctx context.Context) error {
		if st.Tx == sqltext.TxNever {
			return refused(st, st.Why+" commits or may commit by itself, so it can't run in a transaction", "")
		}
		b.written, b.last = true, st
		run := func() error {
			err := b.h.worker.do(ctx, func(ctx context.Context) (err error) {
				rows, err = b.h.worker.rows(ctx, st.Text)
				return err
			})
			if err != nil && ctx.Err() == nil {
				err = statementError(st, err)
			}
			return err
		}
		if !st.Session {
			return run()
		}
		return b.keepingSession(ctx, s, run)
	})
	return rows, err
}

// rows executes a statement and reads its rows.
func (c *conn) rows(ctx context.Context, query string) (*database.Rows, error) {
	columns, rows, err := drivers.ReadRows(ctx, c, query, nil, value)
	if err != nil || rows != nil {
		return &database.Rows{Columns: columns, Rows: rows}, err
	}
	var changed int64
	if err := c.QueryRowContext(ctx, mycatalog.Whole("SELECT ROW_COUNT()")).Scan(&changed); err != nil {
		return nil, err
	}
	return &database.Rows{Changed: max(changed, 0)}, nil
}

// value converts a value in text form.
func value(kind string, v sql.RawBytes) any {
	if v == nil {
		return nil
	}
	text := string(v)
	switch kind = strings.TrimPrefix(kind, "UNSIGNED "); kind {
	case "TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT", "YEAR":
		if n, err := strconv.ParseInt(text, 10, 64); err == nil { // leading zeros are accepted
			return n
		}
		return json.Number(text)
	case "DECIMAL", "FLOAT", "DOUBLE":
		return json.Number(text)
	case "BINARY", "VARBINARY", "BLOB", "TINYBLOB", "MEDIUMBLOB", "LONGBLOB", "BIT", "GEOMETRY":
		return fmt.Sprintf(`\x%x`, v)
	}
	return text
}
