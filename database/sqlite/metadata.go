package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"time"

	lib "modernc.org/sqlite/lib"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// metadataTable creates the metadata table, when there are entries to store.
const metadataTable = `CREATE TABLE IF NOT EXISTS main.{metadata} (
	kind TEXT NOT NULL,
	name TEXT NOT NULL,
	facts TEXT NOT NULL,
	PRIMARY KEY (kind, name)
) WITHOUT ROWID`

// Metadata reads the metadata and the objects in one transaction. Objects have no IDs and no
// comments.
func (d *db) Metadata(ctx context.Context) (*metadata.State, error) {
	var s *metadata.State
	err := d.read(ctx, func(ctx context.Context) error {
		s = &metadata.State{}
		if d.absent() {
			return nil
		}
		c, err := d.reader(ctx)
		if err != nil {
			return err
		}
		defer c.release()
		// takes no lock, whatever the client's _txlock is
		if err := c.do("BEGIN DEFERRED"); err != nil {
			return d.connectError(err)
		}
		defer c.rollback()
		return d.connectError(d.readMetadata(ctx, c, s))
	})
	return s, err
}

func (d *db) readMetadata(ctx context.Context, c *conn, s *metadata.State) error {
	var has bool
	if err := c.ask("SELECT count(*) FROM main.sqlite_schema WHERE name = ? COLLATE NOCASE", d.names.Metadata).Scan(&has); err != nil {
		return err
	}
	if has {
		rows, err := texts(ctx, c, d.sql.facts)
		for _, row := range rows {
			var e metadata.Stored
			if err == nil {
				e, err = drivers.ReadStored(row[0], row[1], row[2])
			}
			s.Entries = append(s.Entries, e)
		}
		if err != nil {
			return err
		}
	}
	return d.readObjects(ctx, c, s)
}

// readObjects lists tables with their columns, and views.
func (d *db) readObjects(ctx context.Context, c *conn, s *metadata.State) error {
	kinds := map[string]metadata.Kind{"table": metadata.Table, "virtual": metadata.Table, "view": metadata.View}
	list, err := texts(ctx, c, "PRAGMA main.table_list")
	if err != nil {
		return err
	}
	for _, t := range list {
		schema, name, lower := t[0], t[1], strings.ToLower(t[1])
		if k, is := kinds[t[2]]; is && schema == "main" && !strings.HasPrefix(lower, "sqlite_") && !slices.Contains(d.names.Lower(), lower) {
			s.Objects = append(s.Objects, metadata.Object{Name: metadata.Name{Kind: k, Object: name}})
		}
	}
	for _, o := range slices.Clone(s.Objects) {
		err := eachColumn(ctx, c, o.Name.Object, func(column string) {
			s.Objects = append(s.Objects, metadata.Object{Name: metadata.Name{Kind: o.Name.Kind.Columns(), Object: o.Name.Object, Column: column}})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// eachColumn calls f for each column of a table or view, except the hidden ones of virtual tables.
// A broken object, which depends on something missing, has none.
func eachColumn(ctx context.Context, c *conn, object string, f func(column string)) error {
	err := drivers.Each(ctx, c, "PRAGMA main.table_xinfo("+quote(object)+")", nil, func(scan func(...any) error) error {
		var name string
		var hidden int
		var other any
		err := scan(&other, &name, &other, &other, &other, &other, &hidden)
		if err == nil && hidden != 1 {
			f(name)
		}
		return err
	})
	if code(err) == lib.SQLITE_ERROR {
		return nil
	}
	return err
}

// texts returns the rows of a query, as strings.
func texts(ctx context.Context, c *conn, query string, args ...any) ([][]string, error) {
	_, rows, err := drivers.ReadRows(ctx, c, query, args, func(_ string, v sql.NullString) string { return v.String })
	return rows, err
}

// Metadata reads the metadata in the transaction.
func (b *transaction) Metadata(ctx context.Context) (*metadata.State, error) {
	s := &metadata.State{}
	err := b.do(ctx, func(ctx context.Context) error { return b.d.connectError(b.d.readMetadata(ctx, b.c, s)) })
	if err != nil {
		return nil, err
	}
	return s, nil
}

// PutMetadata writes the entries. SQLite has a single writer, so there are no conflicts.
func (b *transaction) PutMetadata(ctx context.Context, change *metadata.Change) error {
	return b.do(ctx, func(context.Context) error {
		b.written = true
		err := foreignError(b.foreign)
		if err == nil {
			err = b.c.do(b.d.sql.factsTable)
		}
		if err == nil {
			err = b.c.do(b.d.sql.forgetFacts)
		}
		for _, e := range change.Entries {
			facts, ferr := metadata.EncodeFacts(e.Facts)
			if ferr != nil {
				return ferr
			}
			if err == nil {
				err = b.c.write(b.d.sql.addFact, string(e.Name.Kind), e.Name.String(), facts)
			}
		}
		if err != nil {
			return b.d.ownError("writing the metadata", err)
		}
		return nil
	})
}

// Query executes one statement on a connection that is read-only meanwhile.
func (d *db) Query(ctx context.Context, statement string) (*database.Rows, error) {
	st, err := database.ReadingStatement(statement, sqltext.SQLite)
	if err != nil {
		return nil, err
	}
	ctx, cancel := d.life.Until(ctx)
	defer cancel()
	if d.life.Closing.Err() != nil {
		return nil, drivers.ErrClosed
	}
	if d.absent() {
		return nil, &database.ConnectError{Target: d.target(), Err: fs.ErrNotExist, Hint: "the first migration creates it"}
	}
	c, err := d.acquire(ctx, newWaiter("", database.LockOptions{Timeout: d.readTimeout}))
	if err != nil {
		return nil, err
	}
	defer c.release()
	var before *session
	err = poll(ctx, d.readTimeout, func() (err error) {
		before, err = c.readSession(ctx)
		return d.connectError(err)
	})
	if err == nil {
		err = c.onlyRead(ctx, true)
	}
	if err != nil {
		return nil, err
	}
	var rows *database.Rows
	err = poll(ctx, d.readTimeout, func() (err error) {
		rows, err = c.rows(ctx, st)
		return err
	})
	if c.onlyRead(context.WithoutCancel(ctx), false) != nil {
		c.drop()
	} else if done, rerr := c.restore(before); rerr != nil || !done {
		c.drop()
	}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return nil, cause
	}
	if err != nil && !errors.Is(err, database.ErrLocked) {
		err = statementError(st, err)
		if failed, ok := drivers.AsType[*database.StatementError](err); ok && code(failed.Err)&0xff == lib.SQLITE_READONLY {
			failed.Err = errors.Join(database.ErrReadOnly, failed.Err)
		}
	}
	return rows, err
}

// onlyRead switches query_only on or off.
func (c *conn) onlyRead(ctx context.Context, on bool) error {
	sql := "PRAGMA query_only = 0"
	if on {
		sql = "PRAGMA query_only = 1"
	}
	_, err := c.ExecContext(ctx, sql)
	return err
}

// Query executes one statement in the transaction.
func (b *transaction) Query(ctx context.Context, statement string) (rows *database.Rows, err error) {
	st, err := database.OneStatement(statement, sqltext.SQLite)
	if err != nil {
		return nil, err
	}
	s := migration.Text(database.QueryFile, statement)
	err = b.do(ctx, func(ctx context.Context) error {
		if err := foreignError(b.foreign); err != nil {
			return err
		}
		return b.guarded(ctx, s, st.Session, func() (err error) {
			if rows, err = b.c.rows(ctx, st); err != nil && ctx.Err() == nil {
				err = statementError(st, err)
			}
			return err
		})
	})
	return rows, err
}

// rows executes a statement and reads its rows.
func (c *conn) rows(ctx context.Context, st sqltext.Statement) (*database.Rows, error) {
	var before, after int64
	if err := c.ask("SELECT total_changes()").Scan(&before); err != nil {
		return nil, err
	}
	columns, rows, err := drivers.ReadRows(ctx, c, st.Text, nil, value)
	if err != nil {
		return nil, err
	}
	if err := c.ask("SELECT total_changes()").Scan(&after); err != nil {
		return nil, err
	}
	return &database.Rows{Columns: columns, Rows: rows, Changed: after - before}, nil
}

// value converts a value of the client.
func value(_ string, v any) any {
	switch v := v.(type) {
	case []byte:
		return fmt.Sprintf(`\x%x`, v)
	case time.Time: // the client converts text in columns of such a type
		return v.Format("2006-01-02 15:04:05.999999999Z07:00")
	case float64:
		return number(v)
	}
	return v
}

// number converts values that aren't JSON numbers to text, as PostgreSQL writes them.
func number(v float64) any {
	switch {
	case math.IsInf(v, 1):
		return "Infinity"
	case math.IsInf(v, -1):
		return "-Infinity"
	case math.IsNaN(v):
		return "NaN"
	}
	return v
}
