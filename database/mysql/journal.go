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

// isOpen is whether a row of the journal says that something of a run has happened, or may have.
const isOpen = `(done > 0 OR begun <> '')`

// journalJSON is a row of the journal as a database.Journal is written.
const journalJSON = "CAST(JSON_OBJECT('version', version, 'name', name, 'direction', direction, 'checksum', checksum, 'statements', statements, 'done', done, " +
	"'done_checksum', done_checksum, 'begun', begun, 'before', `before`, 'error', error, 'started_at', DATE_FORMAT(started_at, '%Y-%m-%dT%H:%i:%s.%fZ'), " +
	"'updated_at', DATE_FORMAT(updated_at, '%Y-%m-%dT%H:%i:%s.%fZ'), 'db_user', db_user, 'host', host, 'app', app, 'pid', pid) AS char) COLLATE utf8mb4_bin"

// isHeld is whether somebody has the lock that a row of the journal names: a lease, whose name is a hash alone, or an advisory one.
const isHeld = "IF(LENGTH(lock_name) = 40, EXISTS (SELECT 1 FROM {lease} AS l USE INDEX (PRIMARY) WHERE l.lock_name = j.lock_name AND l.until > UTC_TIMESTAMP(6)), IS_USED_LOCK(lock_name) IS NOT NULL)"

func readJournal(doc []byte) (*database.Journal, error) {
	j := &database.Journal{}
	if err := json.Unmarshal(doc, j); err != nil {
		return nil, fmt.Errorf("a row of the journal is not as it should be: %w", err)
	}
	return j, nil
}

// fillIn completes a journal: who writes it, and when.
func (h *hold) fillIn(j *database.Journal) {
	now := h.clock.now().Truncate(time.Microsecond)
	if j.StartedAt.IsZero() {
		j.StartedAt = now
	}
	j.StartedAt, j.UpdatedAt = j.StartedAt.UTC().Truncate(time.Microsecond), now
	j.DBUser, j.Host, j.App, j.PID = h.user, h.db.host, h.db.opts.App, int64(os.Getpid())
}

// journalTable is the journal's name for sessions whose database a script may have changed.
func (h *hold) journalTable() string {
	return quote(h.database) + "." + quote(h.db.names.Journal)
}

// hexText is a text that no setting of the session reads otherwise.
func hexText(s string) string {
	if s == "" {
		return "''"
	}
	return "_utf8mb4 X'" + hex.EncodeToString([]byte(s)) + "'"
}

// putJournal writes the journal of the set on a connection, in the transaction that may be open there. The row is
// inserted or updated by its key, as is known, so that nobody locks the gap beside it.
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

// endRun takes the set's row out of the journal.
func (h *hold) endRun(ctx context.Context, c *conn) error {
	if !h.hasRow {
		return nil
	}
	_, err := c.exec(ctx, "DELETE FROM "+h.journalTable()+" WHERE set_name = "+hexText(h.set)+" AND "+h.guard.form.fence(h.guard, h.set))
	return ownError("writing the journal", err)
}

// endRunBy ends the open run of the set in a batch, if an event does.
func (b *batch) endRunBy(ctx context.Context, e database.Entry) error {
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
	errNotHeld        = fmt.Errorf("the server says that it is not held any more: %w", database.ErrFenced)
	errOwnTransaction = errors.New("the script has opened a transaction and left it open; it must end it")
)
