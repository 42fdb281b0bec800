package mysql

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
)

// write is a statement of Whimbrel's own that changes a row of its tables. It has no parameters, so
// that it can be part of a compound statement.
type write struct {
	doing  string // for errors
	sql    string
	fenced bool   // it changes one row unless the lock was lost
	set    string // whose lock; "" for the hold's
	insert bool   // its id matters
}

// perform executes a write, and returns the id that it inserted.
func (h *hold) perform(ctx context.Context, c *conn, w write) (id int64, err error) {
	res, err := c.exec(ctx, w.sql)
	if err != nil {
		return 0, ownError(w.doing, err)
	}
	return h.inserted(w, res)
}

// inserted returns the id that a write inserted, unless the write found the lock lost.
func (h *hold) inserted(w write, res sql.Result) (id int64, err error) {
	if n, err := res.RowsAffected(); w.fenced && (err != nil || n == 0) {
		return 0, h.overtaken(w)
	}
	return res.LastInsertId()
}

// overtaken is the error of a write that found the lock lost.
func (h *hold) overtaken(w write) error {
	return &database.LockLostError{Set: cmp.Or(w.set, h.set), Err: errNotHeld}
}

// writeAll executes writes on the guard: in one transaction if there are several or the lock has a
// seal, and on a server that can, in one round trip. It returns the ids that they inserted.
func (h *hold) writeAll(ctx context.Context, c *conn, writes ...write) (ids []int64, err error) {
	several := len(writes) > 1
	for _, set := range h.locked {
		if seal := h.guard.form.seal(set); seal != "" && len(writes) > 0 {
			writes, several = append(writes, write{doing: "checking the migration lock", sql: seal, fenced: true, set: set}), true
		}
	}
	err = h.db.limitLockWait(ctx, h.lockWait, func(ctx context.Context) error {
		switch {
		case !several && len(writes) == 1 && writes[0].insert:
			var id int64
			id, err = h.append(ctx, c, writes[0])
			ids = []int64{id}
		case !several:
			ids, err = h.each(ctx, c, writes)
		case h.blocks():
			ids, err = h.atOnce(ctx, c, writes)
		default:
			ids, err = h.oneByOne(ctx, c, writes)
		}
		return err
	})
	return ids, err
}

// each executes writes one by one, in the open transaction if any.
func (h *hold) each(ctx context.Context, c *conn, writes []write) (ids []int64, err error) {
	for _, w := range writes {
		id, err := h.perform(ctx, c, w)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// append executes a write of a history entry that ends a run, or that no other write belongs to. It
// isn't interrupted when a context is done: its outcome would be unknown.
func (h *hold) append(ctx context.Context, c *conn, w write) (id int64, err error) {
	if ctx.Err() != nil {
		return 0, drivers.Reason(ctx)
	}
	if c.gone {
		return 0, errBroken
	}
	var res sql.Result
	err = c.uninterrupted(ctx, func(ctx context.Context) error {
		res, err = c.ExecContext(ctx, w.sql)
		return err
	})
	switch {
	case c.gone:
		return 0, h.unknownCommit(err)
	case err != nil:
		return 0, ownError(w.doing, err)
	}
	return h.inserted(w, res)
}

// oneByOne executes writes in a transaction.
func (h *hold) oneByOne(ctx context.Context, c *conn, writes []write) (ids []int64, err error) {
	if _, err = c.exec(ctx, startTransaction); err != nil {
		return nil, ownError(startTransaction, err)
	}
	if ids, err = h.each(ctx, c, writes); err == nil {
		err = h.unknownCommit(c.commit(ctx))
	}
	if err != nil {
		c.finish("ROLLBACK")
	}
	return ids, err
}

// atOnce executes writes in a transaction, all in one compound statement, which ends with the
// COMMIT. So it isn't interrupted when a context is done: its outcome would be unknown.
func (h *hold) atOnce(ctx context.Context, c *conn, writes []write) ([]int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, drivers.Reason(ctx)
	}
	if c.gone {
		return nil, errBroken
	}
	var step int
	var list string
	h.guard.commits++
	query := compoundOf(writes, h.guard.commits)
	err := c.uninterrupted(ctx, func(ctx context.Context) error {
		return c.QueryRowContext(ctx, query).Scan(&step, &list)
	})
	switch {
	case err == nil && step == len(writes):
		return readIDs(list)
	case err == nil: // it rolled back at this step, which found the lock lost
		return nil, h.overtaken(writes[min(step, len(writes)-1)])
	case c.gone:
		return nil, h.unknownCommit(err)
	case number(err) == erInterrupted && h.reachedCommit(c):
		err = h.unknownCommit(&database.CommitUnknownError{Err: err})
	default:
		err = ownError(writes[0].doing, err)
	}
	c.finish("ROLLBACK")
	return nil, err
}

// reachedCommit reports whether the guard's last compound statement may have executed its COMMIT.
func (h *hold) reachedCommit(c *conn) bool {
	ctx, stop := context.WithTimeout(context.Background(), cancelGrace)
	defer stop()
	var at sql.NullInt64
	return c.row(ctx, "SELECT "+atCommit, nil, &at) != nil || at.Int64 == h.guard.commits
}

// atCommit is the user variable that has the number of the guard's last COMMIT.
const atCommit = "@whimbrel_commit"

// compoundOf returns a compound statement that executes writes in a transaction. It returns the
// number of writes that it has executed, and the ids that they inserted. If one finds the lock
// lost, it rolls back and returns the number of those before. An error leaves the transaction open.
func compoundOf(writes []write, number int64) string {
	var b strings.Builder
	b.WriteString("BEGIN NOT ATOMIC DECLARE whimbrel_step INT DEFAULT 0; DECLARE whimbrel_ids TEXT DEFAULT ''; " +
		"whimbrel: BEGIN " + startTransaction + "; ")
	for _, w := range writes {
		b.WriteString(w.sql + "; ")
		if w.fenced {
			b.WriteString("IF ROW_COUNT() < 1 THEN ROLLBACK; LEAVE whimbrel; END IF; ")
		}
		if w.insert {
			b.WriteString("SET whimbrel_ids = CONCAT(whimbrel_ids, LAST_INSERT_ID(), ' '); ")
		}
		b.WriteString("SET whimbrel_step = whimbrel_step + 1; ")
	}
	b.WriteString("SET " + atCommit + " = " + number64(number) + "; COMMIT; END whimbrel; SELECT whimbrel_step, whimbrel_ids; END")
	return b.String()
}

func readIDs(list string) (ids []int64, err error) {
	for word := range strings.FieldsSeq(list) {
		id, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// entryWrite completes an entry and returns the write that appends it to the history.
func (h *hold) entryWrite(e *database.Entry) (write, error) {
	query, err := h.entryInsert(e, "", "")
	return write{doing: recording(*e), sql: query + " WHERE " + h.guard.form.fence(h.guard, h.set), fenced: true, insert: true}, err
}

// entryInsert completes an entry and returns the statement that appends it, without its condition.
// SQL expressions say when the step began and how long it took, unless they are "".
func (h *hold) entryInsert(e *database.Entry, began, took string) (query string, err error) {
	values, err := h.entryValues(e, began, took)
	return h.db.sql.entry + "SELECT " + values + " FROM DUAL", err
}

// entryValues completes an entry and returns its values as SQL.
func (h *hold) entryValues(e *database.Entry, began, took string) (list string, err error) {
	if err := checkSet(e.Set); err != nil {
		return "", err
	}
	*e = drivers.Complete(*e, h.user, h.db.process)
	var values []string
	for _, v := range drivers.EntryValues(*e, formatTime) {
		values = append(values, literalOf(v))
	}
	if began != "" {
		values[drivers.EntryStartedAt], values[drivers.EntryStartedAt+1] = began, took
	}
	e.UpText, e.DownText = "", ""
	return strings.Join(values, ", "), nil
}

// recording says what a write of an entry does.
func recording(e database.Entry) string {
	return fmt.Sprintf("recording %s of version %d", e.Direction, e.Version)
}

// storedColumns are those of an entry that only the server knows.
const storedColumns = "id, CAST(started_at AS char(26)), duration_us"

// store sets what the server knows of an entry.
func store(e *database.Entry, values []string) error {
	if len(values) < 3 {
		return errors.New("the server did not return the history entry")
	}
	id, err1 := strconv.ParseInt(values[0], 10, 64)
	at, err2 := parseTime(values[1])
	took, err3 := strconv.ParseInt(values[2], 10, 64)
	e.ID, e.StartedAt, e.Duration = id, at, time.Duration(took)*time.Microsecond
	return errors.Join(err1, err2, err3)
}

// literalOf returns a value of a row as an SQL constant.
func literalOf(v any) string {
	switch v := v.(type) {
	case string:
		return literal(v)
	case sql.NullString:
		if v.Valid {
			return literal(v.String)
		}
	case bool:
		if v {
			return "1"
		}
		return "0"
	case int:
		return strconv.Itoa(v)
	case int64:
		return number64(v)
	case time.Time:
		return literal(formatTime(v))
	}
	return "NULL"
}
