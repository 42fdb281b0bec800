package mysql

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// isOpen is a condition: a journal row records that a part of a run has happened, or may have.
const isOpen = `(done > 0 OR begun <> '')`

// journalJSON formats a row of the journal as the JSON of a database.Journal.
const journalJSON = "CAST(JSON_OBJECT('version', version, 'name', name, 'direction', direction, 'checksum', checksum, 'statements', statements, 'done', done, " +
	"'done_checksum', done_checksum, 'begun', begun, 'before', `before`, 'error', error, 'started_at', DATE_FORMAT(started_at, '%Y-%m-%dT%H:%i:%s.%fZ'), " +
	"'updated_at', DATE_FORMAT(updated_at, '%Y-%m-%dT%H:%i:%s.%fZ'), 'db_user', db_user, 'host', host, 'app', app, 'pid', pid) AS char) COLLATE utf8mb4_bin"

// isHeld is a condition: the lock named in a journal row is held. A lease's name is a bare hash.
const isHeld = "IF(LENGTH(lock_name) = 40, EXISTS (SELECT 1 FROM {lease} AS l USE INDEX (PRIMARY) WHERE l.lock_name = j.lock_name AND l.until > UTC_TIMESTAMP(6)), IS_USED_LOCK(lock_name) IS NOT NULL)"

func readJournal(doc []byte) (*database.Journal, error) {
	j := &database.Journal{}
	if err := json.Unmarshal(doc, j); err != nil {
		return nil, fmt.Errorf("a row of the journal is damaged: %w", err)
	}
	return j, nil
}

// fillIn sets the user, host, process and times of a journal.
func (h *hold) fillIn(j *database.Journal) {
	now := h.clock.now().Truncate(time.Microsecond)
	if j.StartedAt.IsZero() {
		j.StartedAt = now
	}
	j.StartedAt, j.UpdatedAt = j.StartedAt.UTC().Truncate(time.Microsecond), now
	j.DBUser, j.Host, j.App, j.PID = h.user, h.db.host, h.db.opts.App, int64(os.Getpid())
}

// journalTable returns the journal's qualified name, for sessions whose database a script may have
// changed.
func (h *hold) journalTable() string {
	return quote(h.database) + "." + quote(h.db.names.Journal)
}

// hexText returns a string literal that no session setting reinterprets.
func hexText(s string) string {
	if s == "" {
		return "''"
	}
	return "_utf8mb4 X'" + hex.EncodeToString([]byte(s)) + "'"
}

// putJournal writes the set's journal on a connection, in its open transaction if any. Whether the
// row exists is known, so it is inserted or updated by its key, without locking the gap beside it.
func (h *hold) putJournal(ctx context.Context, c *conn, j *database.Journal) error {
	h.fillIn(j)
	columns := []string{"version", "name", "direction", "checksum", "statements", "done", "done_checksum", "begun", "`before`", "error", "started_at", "updated_at", "db_user", "host", "app", "pid"}
	values := []string{
		number64(j.Version), hexText(j.Name), hexText(string(j.Direction)), hexText(j.Checksum.Digits()), number64(int64(j.Of)), number64(int64(j.Done)),
		hexText(j.DoneSum.Digits()), hexText(j.Begun), hexText(j.Before), hexText(j.Error), "'" + formatTime(j.StartedAt) + "'", "'" + formatTime(j.UpdatedAt) + "'",
		hexText(j.DBUser), hexText(j.Host), hexText(j.App), number64(j.PID),
	}
	fence := h.guard.form.fence(h.guard, h.set)
	query := "INSERT INTO " + h.journalTable() + " (set_name, lock_name, " + strings.Join(columns, ", ") + ") SELECT " + hexText(h.set) + ", " + hexText(h.guard.form.name(h.set)) + ", " + strings.Join(values, ", ") + " FROM DUAL WHERE " + fence
	if h.hasRow {
		for i := range columns {
			columns[i] += " = " + values[i]
		}
		query = "UPDATE " + h.journalTable() + " SET lock_name = " + hexText(h.guard.form.name(h.set)) + ", " + strings.Join(columns, ", ") + " WHERE set_name = " + hexText(h.set) + " AND " + fence
	}
	var res sql.Result
	err := h.db.limitLockWait(ctx, h.lockWait, func(ctx context.Context) (err error) {
		res, err = c.exec(ctx, query)
		return err
	})
	if err != nil {
		return ownError("writing the journal", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return &database.LockLostError{Set: h.set, Err: errNotHeld}
	}
	return nil
}

// endRun removes the set's row from the journal.
func (h *hold) endRun(ctx context.Context, c *conn) error {
	if !h.hasRow {
		return nil
	}
	_, err := c.exec(ctx, "DELETE FROM "+h.journalTable()+" WHERE set_name = "+hexText(h.set)+" AND "+h.guard.form.fence(h.guard, h.set))
	return ownError("writing the journal", err)
}

// endRunBy removes the set's interrupted run in a Tx if an entry ends it.
func (b *transaction) endRunBy(ctx context.Context, e database.Entry) error {
	if !b.h.hasRow {
		return nil
	}
	if b.open == nil {
		st, err := b.db.readState(ctx, b.h.worker, b.h.set)
		if err != nil {
			return err
		}
		if b.open = st.Interrupted; b.open == nil {
			return nil
		}
	}
	if !b.open.EndedBy(e) {
		return nil
	}
	b.open = nil
	return b.h.endRun(ctx, b.h.worker)
}

var (
	errNotHeld        = fmt.Errorf("the server reports that it is no longer held: %w", database.ErrFenced)
	errOwnTransaction = errors.New("the script left a transaction open; it must end it")
)
