package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	lib "modernc.org/sqlite/lib"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// putJournal completes the journal of a set and writes it in the open transaction. It leaves
// last_insert_rowid() to the script.
func (d *db) putJournal(c *conn, set string, j *database.Journal) error {
	defer c.keepRowid()()
	drivers.Stamp(j, time.Now(), d.process.OSUser, d.process)
	return d.ownError(writesJournal, c.write(d.sql.put, set, j.Version, j.Name, string(j.Direction), j.Checksum.Digits(), j.Of, j.Done, j.DoneSum.Digits(), j.Begun, j.Before,
		j.Error, formatTime(j.StartedAt), formatTime(j.UpdatedAt), j.DBUser, j.OSUser, j.Host, j.App, j.Actor, j.PID))
}

// writesJournal is what a statement on the journal does.
const writesJournal = "writing the journal"

// endRun removes the interrupted run of a set in the open transaction if an entry ends it. If the
// entry says that the run failed, endRun stores its error in the journal. This is Journal.EndedBy
// and Journal.FailedBy in SQL.
func (d *db) endRun(c *conn, e database.Entry) error {
	version, direction := database.NilVersion, ""
	switch e.Direction {
	case database.Up, database.Down, database.Mark, database.Forget, database.Baseline, database.Load:
		version = e.Version
	case database.Repeat, database.Seed:
		direction = string(e.Direction)
	case database.Abandon:
		if version = e.Version; version == database.NilVersion {
			direction = string(e.Tried)
		}
	case database.Failed:
		return d.ownError(writesJournal, c.do(d.sql.fail, e.Set, e.Version, string(e.Tried), e.Name, e.Error))
	case database.Reset:
	default:
		return nil
	}
	return d.ownError(writesJournal, c.do(d.sql.close, e.Set, e.Direction == database.Reset, version, direction, e.Name))
}

// write calls a function in a transaction of its own. If readers block the COMMIT, it
// gives way to them for a moment, and calls the function again in another one.
func (r *run) write(ctx context.Context, what func() error) error {
	p := pause{start: time.Now(), limit: fileTimeout(r.opts)}
	for {
		err := r.writeOnce(ctx, what)
		if !isBusy(err) {
			return err
		}
		more, werr := p.sleep(ctx)
		if werr != nil || !more {
			return cmp.Or(werr, err)
		}
	}
}

func (r *run) writeOnce(ctx context.Context, what func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := poll(ctx, fileTimeout(r.opts), func() error { return r.c.do("BEGIN IMMEDIATE") }); err != nil {
		if code(err) == lib.SQLITE_ERROR {
			return errOwnTransaction
		}
		return r.d.connectError(err)
	}
	err := what()
	if err == nil {
		err = r.c.commit(ctx, commitTry(r.opts))
	}
	if err != nil {
		r.c.rollback()
	}
	return err
}

func (r *run) Journal(ctx context.Context, j *database.Journal) error {
	ctx, leave, err := r.Enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if j == nil {
		return r.write(ctx, func() error { return r.d.ownError(writesJournal, r.c.do(r.d.sql.close, r.set, true, 0, "", "")) })
	}
	return r.write(ctx, func() error { return r.d.putJournal(r.c, r.set, j) })
}

// transact executes a statement and writes the journal in one transaction: the one that the
// statement ends, or one of its own.
func (r *run) transact(ctx context.Context, s *migration.Script, st sqltext.Statement, done *database.Journal, limit time.Duration) error {
	switch st.Tx {
	case sqltext.TxNever, sqltext.TxNoEffect:
		return fmt.Errorf("%w: %s", database.ErrNoTransaction, st.Why)
	case sqltext.TxCommit:
		return r.commitOwn(ctx, st, done, limit)
	}
	err := poll(ctx, limit, func() error { return r.begun(ctx, s, st) })
	if err != nil {
		return named(st, err)
	}
	if err = r.d.putJournal(r.c, r.set, done); err == nil {
		err = r.c.commit(ctx, limit)
	}
	if err != nil {
		r.c.rollback()
	}
	return named(st, err)
}

var errOwnTransaction = errors.New("the script left a transaction open; it must end it")

// begun begins a transaction and executes a statement in it. The transaction stays open unless
// there is an error.
func (r *run) begun(ctx context.Context, s *migration.Script, st sqltext.Statement) error {
	err := r.c.do("BEGIN IMMEDIATE")
	if code(err) == lib.SQLITE_ERROR {
		return errOwnTransaction
	}
	if err != nil {
		return err
	}
	if err = r.c.statement(ctx, s, st); err != nil {
		r.c.rollback()
	}
	return err
}

// commitOwn commits the transaction that the script opened, with the journal in it. If that fails,
// it rolls back, as with one of our own.
func (r *run) commitOwn(ctx context.Context, st sqltext.Statement, done *database.Journal, limit time.Duration) error {
	if r.c.do("BEGIN") == nil { // without one, the journal would be committed alone
		r.c.rollback()
		return named(st, r.c.do(st.Text))
	}
	err := r.d.putJournal(r.c, r.set, done)
	if err == nil {
		err = poll(ctx, limit, func() error { return r.c.do(st.Text) })
	}
	if err == nil {
		err = r.c.file.still()
	}
	if err != nil {
		r.c.rollback()
	}
	return named(st, err)
}

// named adds the statement to an error.
func named(st sqltext.Statement, err error) error {
	if err == nil {
		return nil
	}
	var known *database.StatementError
	var locked *lockedFile
	if errors.As(err, &known) && !errors.As(err, &locked) {
		return err
	}
	return statementError(st, err)
}

// into returns the file that a VACUUM INTO creates, or "" if unknown.
func into(st sqltext.Statement) (file string, is bool) {
	l := sqltext.List(st.Text, sqltext.SQLite)
	i := l.Index("INTO")
	if !l.Is(0, "VACUUM") || i < 0 {
		return "", false
	}
	if i+2 == len(l) { // and no expression
		file = l[i+1].Value()
	}
	return file, true
}

const existedBefore = "the file exists"

// Announce checks whether the file that a VACUUM INTO would create exists, in which case the
// statement fails. For other statements it only writes the journal: see Outcome.
func (r *run) Announce(ctx context.Context, st sqltext.Statement, j *database.Journal) error {
	if file, _ := into(st); file != "" && made(file) {
		j.Before = existedBefore
	}
	return r.Journal(ctx, j)
}

// made reports whether a file exists that VACUUM INTO would refuse.
func made(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Size() > 0
}

// Outcome reports nearly every statement as not happened, so that it runs again: the
// non-transactional ones are VACUUM, DETACH and PRAGMAs, which can be repeated. VACUUM INTO can't:
// it refuses an existing file, which may be incomplete.
func (r *run) Outcome(ctx context.Context, st sqltext.Statement, before string, _ database.LockOptions) (*database.Outcome, error) {
	ctx, leave, err := r.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	file, is := into(st)
	switch {
	case !is:
		return &database.Outcome{Verdict: database.NotHappened, Why: "it can be repeated safely", Repeatable: st.Verb() == "PRAGMA"}, nil
	case before == existedBefore:
		return &database.Outcome{Verdict: database.NotHappened, Why: "its file existed before"}, nil
	case file == "":
		return &database.Outcome{Verdict: database.Unclear, Why: "the name of the file that it creates is unknown: check whether the file exists and is complete, or delete it"}, nil
	case !made(file):
		return &database.Outcome{Verdict: database.NotHappened, Why: "its file does not exist"}, nil
	}
	return &database.Outcome{Verdict: database.Unclear, Why: "the file " + file + " exists and may be incomplete: delete it to have it created again"}, nil
}
