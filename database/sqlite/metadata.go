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

func (d *db) readMetadata(ctx context.Context, q querier, s *metadata.State) error {
	var has bool
	if err := q.QueryRowContext(ctx, "SELECT count(*) FROM main.sqlite_schema WHERE name = ? COLLATE NOCASE", d.names.Metadata).Scan(&has); err != nil {
		return err
	}
	if has {
		err := each(ctx, q, d.sql.facts, func(kind, name, facts string) error {
			e, err := drivers.ReadStored(kind, name, facts)
			s.Entries = append(s.Entries, e)
			return err
		})
		if err != nil {
			return err
		}
	}
	return d.readObjects(ctx, q, s)
}

// readObjects lists tables with their columns, and views.
func (d *db) readObjects(ctx context.Context, q querier, s *metadata.State) error {
	kinds := map[string]metadata.Kind{"table": metadata.Table, "virtual": metadata.Table, "view": metadata.View}
	err := each(ctx, q, "PRAGMA main.table_list", func(schema, name, kind string) error {
		lower := strings.ToLower(name)
		if k, is := kinds[kind]; is && schema == "main" && !strings.HasPrefix(lower, "sqlite_") && !slices.Contains(d.names.Lower(), lower) {
			s.Objects = append(s.Objects, metadata.Object{Name: metadata.Name{Kind: k, Object: name}})
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, o := range slices.Clone(s.Objects) {
		err := eachColumn(ctx, q, o.Name.Object, func(column string) {
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
func eachColumn(ctx context.Context, q querier, object string, f func(column string)) error {
	rows, err := q.QueryContext(ctx, "PRAGMA main.table_xinfo("+quote(object)+")")
	if err == nil {
		defer rows.Close()
		for rows.Next() {
			var name string
			var hidden int
			var other any
			if err := rows.Scan(&other, &name, &other, &other, &other, &other, &hidden); err != nil {
				return err
			}
			if hidden != 1 {
				f(name)
			}
		}
		err = rows.Err()
	}
	if code(err) == lib.SQLITE_ERROR {
		return nil
	}
	return err
}

// each calls f with the first three columns of each row, as strings.
func each(ctx context.Context, q querier, query string, f func(a, b, c string) error) error {
	rows, err := q.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values, to := make([]sql.NullString, len(columns)), make([]any, len(columns))
	for i := range values {
		to[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(to...); err != nil {
			return err
		}
		if err := f(values[0].String, values[1].String, values[2].String); err != nil {
			return err
		}
	}
	return rows.Err()
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
			return fmt.Errorf("write the metadata: %w", b.d.connectError(err))
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
	ctx, cancel := d.during(ctx)
	defer cancel()
	if d.units.Closing.Err() != nil {
		return nil, drivers.ErrClosed
	}
	if d.absent() {
		return nil, &database.ConnectError{Target: d.target(), Err: fs.ErrNotExist, Hint: "the first migration creates it"}
	}
	c, err := d.acquire(ctx, newWaiter("", database.LockOptions{Timeout: d.patience}))
	if err != nil {
		return nil, err
	}
	defer c.release()
	var before *session
	err = poll(ctx, d.patience, func() (err error) {
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
	err = poll(ctx, d.patience, func() (err error) {
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
		var failed *database.StatementError
		if errors.As(err, &failed) && code(failed.Err)&0xff == lib.SQLITE_READONLY {
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
	if err := c.QueryRowContext(ctx, "SELECT total_changes()").Scan(&before); err != nil {
		return nil, err
	}
	out, err := c.read(ctx, st.Text)
	if err != nil {
		return nil, err
	}
	if err := c.QueryRowContext(ctx, "SELECT total_changes()").Scan(&after); err != nil {
		return nil, err
	}
	out.Changed = after - before
	return out, nil
}

func (c *conn) read(ctx context.Context, query string) (*database.Rows, error) {
	rows, err := c.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := &database.Rows{}
	if out.Columns, err = rows.Columns(); err != nil {
		return nil, err
	}
	if len(out.Columns) > 0 {
		out.Rows = [][]any{}
	}
	for rows.Next() {
		row := make([]any, len(out.Columns))
		to := make([]any, len(row))
		for i := range row {
			to[i] = &row[i]
		}
		if err := rows.Scan(to...); err != nil {
			return nil, err
		}
		for i, v := range row {
			row[i] = value(v)
		}
		out.Rows = append(out.Rows, row)
	}
	return out, errors.Join(rows.Err(), rows.Close())
}

// value converts a value of the client.
func value(v any) any {
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
