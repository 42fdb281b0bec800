package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Query executes one statement in a read-only transaction, which is rolled back.
func (db *Database) Query(ctx context.Context, statement string) (*database.Rows, error) {
	st, err := database.ReadingStatement(statement, sqltext.PostgreSQL)
	if err != nil {
		return nil, err
	}
	c, err := db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer c.giveBack()
	defer c.rollback()
	var rows *database.Rows
	err = c.keepingSession(ctx, st, func() error {
		if err := c.pipeline(ctx, command("BEGIN TRANSACTION READ ONLY")); err != nil {
			return err
		}
		rows, err = c.queryRows(ctx, st)
		c.rollback()
		return err
	})
	var failed *database.StatementError
	// it writes, or needs another transaction
	if errors.As(err, &failed) && (failed.Code == "25006" || failed.Code == "25001") {
		failed.Err, failed.Hint = errors.Join(database.ErrReadOnly, failed.Err), ""
	}
	return rows, err
}

// Query executes one statement in the transaction.
func (b *transaction) Query(ctx context.Context, statement string) (*database.Rows, error) {
	st, err := database.OneStatement(statement, sqltext.PostgreSQL)
	if err != nil {
		return nil, err
	}
	if st.Verb() == "COPY" && sqltext.List(st.Text, sqltext.PostgreSQL).Index("TO", "STDOUT") > 0 {
		return nil, refused(st, "COPY to the client returns no rows", "use SELECT")
	}
	ctx, leave, err := b.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := b.flush(ctx); err != nil {
		return nil, err
	}
	b.scripts++
	b.last = st
	b.limiter.holds = true
	var rows *database.Rows
	err = b.c.keepingSession(ctx, st, func() error {
		rows, err = b.c.queryRows(ctx, st)
		return err
	})
	return rows, err
}

// keepingSession restores the session after a statement that may change it.
func (c *conn) keepingSession(ctx context.Context, st sqltext.Statement, do func() error) error {
	if !st.Session {
		return do()
	}
	var before, after session
	names := customSettings(st)
	qs := before.read()
	if len(names) > 0 {
		qs = append(qs, before.readCustom(names))
	}
	if err := c.pipeline(ctx, qs...); err != nil {
		return err
	}
	err := do()
	if perr := c.putBack(&before, &after, names); perr != nil {
		c.closeNow()
		if err == nil {
			err = perr
		}
	}
	return err
}

// putBack restores the session to before.
func (c *conn) putBack(before, after *session, names []string) error {
	qs := after.read()
	if len(names) > 0 {
		qs = append(qs, after.readCustom(names))
	}
	if err := c.within(cancelGrace, pipelined(qs)); err != nil {
		return err
	}
	c.unusable = c.unusable || after.lost(before)
	if undo := after.undo(before); len(undo) > 0 {
		return c.within(cancelGrace, pipelined(undo))
	}
	return nil
}

// queryRows executes a statement and reads its rows.
func (c *conn) queryRows(ctx context.Context, st sqltext.Statement) (*database.Rows, error) {
	if c.watch != nil {
		defer c.watch.watch(sent{statements: []watched{{st, c.watch.opts.LockTimeout}}, message: true})()
	}
	rows := &database.Rows{}
	err := c.do(ctx, func(ctx context.Context, pc *pgconn.PgConn) error {
		rr := pc.ExecParams(ctx, st.Text, nil, nil, nil, nil)
		fields := slices.Clone(rr.FieldDescriptions())
		for _, f := range fields {
			rows.Columns = append(rows.Columns, f.Name)
		}
		if len(fields) > 0 {
			rows.Rows = [][]any{}
		}
		for rr.NextRow() {
			row := make([]any, len(fields))
			for i, v := range rr.Values() {
				row[i] = value(fields[i].DataTypeOID, v)
			}
			rows.Rows = append(rows.Rows, row)
		}
		tag, err := rr.Close()
		if tag.Insert() || tag.Update() || tag.Delete() {
			rows.Changed = tag.RowsAffected()
		}
		return err
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && ctx.Err() == nil {
		return nil, statementError(st, pg, st.Text, st.Pos)
	}
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// value converts a value in the server's text form.
func value(typ uint32, text []byte) any {
	if text == nil {
		return nil
	}
	s := string(text)
	switch typ {
	case 16: // bool
		return s == "t"
	case 20, 21, 23, 26: // bigint, smallint, integer, oid
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n
		}
	case 700, 701, 1700: // real, double precision, numeric; NaN and infinity aren't JSON numbers
		if json.Valid(text) {
			return json.Number(s)
		}
	}
	return s
}
