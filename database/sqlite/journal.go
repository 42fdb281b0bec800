package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	lib "modernc.org/sqlite/lib"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// putJournal writes the journal of a set in the open transaction, and fills it in.
func (d *db) putJournal(c *conn, set string, j *database.Journal) error {
	now := time.Now().UTC().Truncate(time.Microsecond)
	if j.StartedAt.IsZero() {
		j.StartedAt = now
	}
	j.StartedAt, j.UpdatedAt = j.StartedAt.UTC().Truncate(time.Microsecond), now
	j.DBUser, j.Host, j.App, j.PID = systemUser(), d.host, d.opts.App, int64(os.Getpid())
	return c.do(d.sql.put, set, j.Version, j.Name, string(j.Direction), sumText(j.Checksum), j.Of, j.Done, sumText(j.DoneSum), j.Begun, j.Before,
		j.Error, formatTime(j.StartedAt), formatTime(j.UpdatedAt), j.DBUser, j.Host, j.App, j.PID)
}

func sumText(c migration.Checksum) string {
	if c.IsZero() {
		return ""
	}
	return c.String()
}

// endRun ends the open run of a set in the open transaction, if an event does. All that says anything of a version, or of a
// script, has EndedBy for it; this says the same in SQL.
func (d *db) endRun(c *conn, e database.Event) error {
	version, direction := database.NilVersion, ""
	switch e.Direction {
	case database.Up, database.Down, database.Mark, database.Forget, database.Baseline:
		version = e.Version
	case database.Repeat, database.Seed:
		direction = string(e.Direction)
	case database.Reset:
	default:
		return nil
	}
	return d.connectError(c.do(d.sql.close, e.Set, e.Direction == database.Reset, version, direction, e.Name))
}

// write does something in a transaction of its own.
func (r *run) write(ctx context.Context, what func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := poll(ctx, readPatience, func() error { return r.c.do("BEGIN IMMEDIATE") }); err != nil {
		if code(err) == lib.SQLITE_ERROR {
			return fmt.Errorf("the script has opened a transaction and not ended it: %w", err)
		}
		return r.d.connectError(err)
	}
	err := what()
	if err == nil {
		err = r.c.commit(ctx, readPatience)
	}
	if err != nil {
		r.c.rollback()
	}
	return err
}

func (r *run) Journal(ctx context.Context, j *database.Journal) error {
	ctx, leave, err := r.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return r.write(ctx, func() error {
		if j == nil {
			return r.c.do(r.d.sql.close, r.set, true, 0, "", "")
		}
		return r.d.putJournal(r.c, r.set, j)
	})
}

// transact executes a statement and writes the journal in one transaction: that which the statement itself
// ends, or one of its own.
func (r *run) transact(ctx context.Context, s *migration.Script, st sqltext.Statement, done *database.Journal, limit time.Duration) error {
	if st.Tx == sqltext.TxCommit {
		if err := r.d.putJournal(r.c, r.set, done); err != nil {
			return err
		}
		return r.alone(ctx, s, st, limit)
	}
	err := poll(ctx, limit, func() error { return r.c.do("BEGIN IMMEDIATE") })
	if err == nil {
		err = r.c.statement(ctx, s, st)
	}
	var failed *database.StatementError
	if err == nil {
		if err = r.d.putJournal(r.c, r.set, done); err == nil {
			err = r.c.commit(ctx, limit)
		}
	}
	if err == nil {
		return nil
	}
	r.c.rollback()
	if errors.As(err, &failed) {
		return err
	}
	return statementError(st, err)
}

// Before says nothing: see Outcome.
func (r *run) Before(context.Context, sqltext.Statement) (string, error) { return "", nil }

// Outcome says of every statement that it can run again: those that can't be in a transaction are VACUUM,
// ATTACH and PRAGMAs, of which each does the same a second time.
func (r *run) Outcome(context.Context, sqltext.Statement, string, database.LockOptions) (*database.Outcome, error) {
	return &database.Outcome{Verdict: database.NotHappened, Why: "it can be executed again without harm"}, nil
}
