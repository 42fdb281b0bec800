package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/sqlite"
)

// SQLiteOptions are the options of StartSQLite.
type SQLiteOptions struct {
	// DB is a handle that the caller opened with modernc.org/sqlite. It remains the caller's: Stop
	// leaves it open. Its connections need a busy timeout, since processes share the file.
	DB *sql.DB
	// File is the path of a database that StartSQLite opens and Stop closes, if DB is nil.
	File string
	// App, River and Limits are those of Options.
	App    string
	River  river.Config
	Limits Limits
}

// StartSQLite is Start for an SQLite database. SQLite has no schemas, so River's tables are where
// the application's own would be: a program that uses River itself needs another file.
func StartSQLite(ctx context.Context, opts SQLiteOptions) (*Queue[*sql.Tx], error) {
	handle, closeHandle, err := openSQLite(opts)
	if err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	db, err := sqlite.New(handle, database.Options{App: opts.App})
	if err != nil {
		closeHandle()
		return nil, fmt.Errorf("jobs: %w", err)
	}
	return start(ctx, backend[*sql.Tx]{
		db:     db,
		driver: riversqlite.New(handle),
		store:  sqliteStore{handle},
		close:  closeHandle,
	}, opts.River, opts.Limits)
}

// openSQLite returns the caller's handle, or a new one, and the function that closes it if it is
// new.
func openSQLite(opts SQLiteOptions) (*sql.DB, func(), error) {
	switch {
	case opts.DB != nil && opts.File != "":
		return nil, nil, errors.New("the options have both a handle and a file")
	case opts.DB != nil:
		return opts.DB, func() {}, nil
	case opts.File != "":
		handle, err := sql.Open("sqlite", "file:"+(&url.URL{Path: opts.File}).EscapedPath()+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)")
		if err != nil {
			return nil, nil, err
		}
		handle.SetMaxOpenConns(1) // as River advises: SQLite has one writer
		return handle, func() { handle.Close() }, nil
	default:
		return nil, nil, errors.New("the options have neither a handle nor a file")
	}
}

// sqliteStore keeps leases in SQLite, whose transactions exclude each other.
type sqliteStore struct{ db *sql.DB }

func (s sqliteStore) prepare(ctx context.Context, limits []limit) error {
	for _, l := range limits {
		_, err := s.db.ExecContext(ctx, `
			WITH RECURSIVE slots (slot) AS (SELECT 1 UNION ALL SELECT slot + 1 FROM slots WHERE slot < $2)
			INSERT INTO job_leases (queue, slot) SELECT $1, slot FROM slots WHERE true
			ON CONFLICT DO NOTHING`, l.queue, l.slots)
		if err != nil {
			return err
		}
	}
	return nil
}

func (s sqliteStore) claim(ctx context.Context, limits []limit, l Lease, token string, length time.Duration) (bool, error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback()
	for _, limit := range limits {
		n, err := affected(tx.ExecContext(ctx, `
			UPDATE job_leases SET token = $3, job_id = $4, client = $5, ends = unixepoch('subsec') + $6
			WHERE queue = $1 AND slot = (
				SELECT min(slot) FROM job_leases WHERE queue = $1 AND slot <= $2 AND ends <= unixepoch('subsec')
			)`, limit.queue, limit.slots, token, l.JobID, l.Client, length.Seconds()))
		if err != nil || n == 0 {
			return false, err
		}
	}
	return true, tx.Commit()
}

func affected(result sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (s sqliteStore) renew(ctx context.Context, token string, n int, length time.Duration) (bool, error) {
	renewed, err := affected(s.db.ExecContext(ctx, `
		UPDATE job_leases SET ends = unixepoch('subsec') + $2 WHERE token = $1`, token, length.Seconds()))
	return renewed == int64(n), err
}

func (s sqliteStore) release(ctx context.Context, token string) error {
	_, err := s.db.ExecContext(ctx, `
		UPDATE job_leases SET token = NULL, job_id = NULL, client = NULL, ends = 0 WHERE token = $1`, token)
	return err
}

// fence writes, so that no other transaction can until this one ends.
func (s sqliteStore) fence(ctx context.Context, tx *sql.Tx, token string, n int) (bool, error) {
	found, err := affected(tx.ExecContext(ctx, `UPDATE job_leases SET ends = ends WHERE token = $1`, token))
	return found == int64(n), err
}

func (s sqliteStore) list(ctx context.Context) (all []Lease, err error) {
	rows, err := s.db.QueryContext(ctx, `
		SELECT queue, slot, job_id, client, ends FROM job_leases
		WHERE ends > unixepoch('subsec') ORDER BY queue, slot`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var l Lease
		var ends float64
		if err := rows.Scan(&l.Queue, &l.Slot, &l.JobID, &l.Client, &ends); err != nil {
			return nil, err
		}
		l.Ends = time.UnixMicro(int64(ends * 1e6))
		all = append(all, l)
	}
	return all, rows.Err()
}

func (s sqliteStore) counts(ctx context.Context) (Counts, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT queue, state, count(*) FROM river_job GROUP BY queue, state`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := Counts{}
	for rows.Next() {
		var queue, state string
		var n int
		if err := rows.Scan(&queue, &state, &n); err != nil {
			return nil, err
		}
		all.add(queue, state, n)
	}
	return all, rows.Err()
}
