package mysql

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
)

// isOpen is a condition: a journal row records that a part of a run has happened, or may have.
const isOpen = `(done > 0 OR begun <> '')`

// journalJSON formats a row of the journal as the JSON of a database.Journal.
const journalJSON = "CAST(JSON_OBJECT('version', version, 'name', name, 'direction', direction, 'checksum', checksum, 'statements', statements, 'done', done, " +
	"'done_checksum', IF(done_checksum = '" + severalMark + "', '', done_checksum), 'begun', begun, 'before', `before`, 'error', error, 'started_at', DATE_FORMAT(started_at, '%Y-%m-%dT%H:%i:%s.%fZ'), " +
	"'updated_at', DATE_FORMAT(updated_at, '%Y-%m-%dT%H:%i:%s.%fZ'), 'db_user', db_user, 'os_user', os_user, 'host', host, 'app', app, 'actor', actor, 'pid', pid) AS char) COLLATE utf8mb4_bin"

// isHeld is a condition: the lock named in a journal row is held. A lease's name is a bare hash.
const isHeld = "IF(LENGTH(lock_name) = 40, EXISTS (SELECT 1 FROM {lease} AS l USE INDEX (PRIMARY) WHERE l.lock_name = j.lock_name AND l.until > UTC_TIMESTAMP(6)), IS_USED_LOCK(lock_name) IS NOT NULL)"

func readJournal(doc []byte) (*database.Journal, error) {
	j := &database.Journal{}
	if err := json.Unmarshal(doc, j); err != nil {
		return nil, fmt.Errorf("a row of the journal is damaged: %w", err)
	}
	return j, nil
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

// putJournal writes the set's journal on a connection, in its open transaction if any. since is
// the newest entry of the set.
func (h *hold) putJournal(ctx context.Context, c *conn, j *database.Journal, since int64) error {
	drivers.Stamp(j, h.clock.now(), h.user, h.db.process)
	w := h.journalWrite(j, hexText(j.DoneSum.Digits()), hexText(j.Before), since)
	w.sql = ownWaits(h.lockWait, w.sql)
	return h.db.limitLockWait(ctx, h.lockWait, func(ctx context.Context) error {
		_, err := h.perform(ctx, c, w)
		return err
	})
}

// journalWrite writes the set's journal, with SQL expressions for the columns done_checksum and
// before. Whether the row exists is known, so it is inserted or updated by its key, without locking
// the gap beside it.
func (h *hold) journalWrite(j *database.Journal, sum, before string, since int64) write {
	columns := []string{"since_id", "version", "name", "direction", "checksum", "statements", "done", "done_checksum", "begun", "`before`", "error", "started_at", "updated_at", "db_user", "os_user", "host", "app", "actor", "pid"}
	values := []string{
		number64(since), number64(j.Version), hexText(j.Name), hexText(string(j.Direction)), hexText(j.Checksum.Digits()), number64(int64(j.Of)), number64(int64(j.Done)),
		sum, hexText(j.Begun), before, hexText(j.Error), "'" + formatTime(j.StartedAt) + "'", "'" + formatTime(j.UpdatedAt) + "'",
		hexText(j.DBUser), hexText(j.OSUser), hexText(j.Host), hexText(j.App), hexText(j.Actor), number64(j.PID),
	}
	columns, values = append(columns, "lock_name"), append(values, hexText(h.guard.form.name(h.set)))
	was := h.row
	h.row, h.next = nil, values // until it is known to be written, any of them may be in the row
	fence := h.guard.form.fence(h.guard, h.set)
	query := "INSERT INTO " + h.journalTable() + " (set_name, " + strings.Join(columns, ", ") + ") SELECT " + hexText(h.set) + ", " + strings.Join(values, ", ") + " FROM DUAL WHERE " + fence
	if h.hasRow {
		var set []string
		for i, value := range values {
			// the same expression for before can have another value now
			if was == nil || was[i] != value || columns[i] == "updated_at" || columns[i] == "`before`" {
				set = append(set, columns[i]+" = "+value)
			}
		}
		query = "UPDATE " + h.journalTable() + " SET " + strings.Join(set, ", ") + " WHERE set_name = " + hexText(h.set) + " AND " + fence
	}
	return write{doing: "writing the journal", sql: query, fenced: true}
}

// endRun removes the set's row from the journal.
func (h *hold) endRun(ctx context.Context, c *conn) error {
	_, err := h.each(ctx, c, h.runEnds())
	return err
}

// runEnds returns the write that removes the set's row from the journal, if it has one.
func (h *hold) runEnds() []write {
	if !h.hasRow {
		return nil
	}
	return []write{{doing: "writing the journal", sql: "DELETE FROM " + h.journalTable() + " WHERE set_name = " + hexText(h.set) + " AND " + h.guard.form.fence(h.guard, h.set)}}
}

// failRun stores the error of a failed attempt in the journal of its run.
func (h *hold) failRun(ctx context.Context, c *conn, entries ...database.Entry) error {
	_, err := h.each(ctx, c, h.runFails(entries...))
	return err
}

// runFails returns the writes that store the errors of failed attempts in the journal of their run.
func (h *hold) runFails(entries ...database.Entry) (all []write) {
	h.row = nil // the row gets another error
	for _, e := range entries {
		if !h.hasRow || h.ended || e.Direction != database.Failed {
			continue
		}
		all = append(all, write{doing: "writing the journal", sql: "UPDATE " + h.journalTable() + " SET error = " + hexText(e.Error) + " WHERE set_name = " + hexText(h.set) +
			" AND version = " + number64(e.Version) + " AND direction = " + hexText(string(e.Tried)) + " AND name = " + hexText(e.Name) + " AND " + h.guard.form.fence(h.guard, h.set)})
	}
	return all
}

// wrote notes what the set's row contains now; nil means that it is gone.
func (h *hold) wrote(j *database.Journal) {
	h.hasRow, h.journal, h.ended = j != nil, j, false
	h.row, h.next = h.next, nil
	if j == nil {
		h.row = nil
	}
}

// follows notes that another statement of those that the row announces has begun.
func (h *hold) follows(j *database.Journal) { h.hasRow, h.journal, h.ended = true, j, false }

// ends reports whether one of the entries ends the interrupted run.
func (h *hold) ends(ctx context.Context, c *conn, entries ...database.Entry) (bool, error) {
	if !h.hasRow || h.ended {
		return false, nil
	}
	if h.journal == nil { // an earlier run wrote it
		st, err := h.db.readState(ctx, c, h.set)
		if err != nil {
			return false, err
		}
		h.journal = st.Interrupted
	}
	return h.journal != nil && slices.ContainsFunc(entries, h.journal.EndedBy), nil
}

var (
	errNotHeld        = fmt.Errorf("the server reports that it is no longer held: %w", database.ErrFenced)
	errOwnTransaction = errors.New("the script left a transaction open; it must end it")
)
