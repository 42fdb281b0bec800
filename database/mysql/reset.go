package mysql

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/mysql/internal/mycatalog"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// later contains statements that commit by themselves, which a Tx executes after its COMMIT.
type later struct {
	doing      string
	statements []string
	// for a reset: the sets whose journals contain the mark until it is complete
	marked []string
}

// Reset acquires the locks of all sets, lists what to drop, and records that nothing is applied any
// more, with a mark for each set that the reset is incomplete. The drops follow the COMMIT, since
// no transaction can revert them. So Rollback changes nothing, and after an interruption the
// history says that nothing is applied and that a reset was interrupted, until the next reset drops
// the rest.
func (b *transaction) Reset(ctx context.Context, _ []string, e database.Entry) (out *database.Emptied, err error) {
	err = b.do(ctx, func(ctx context.Context) error {
		out, err = b.reset(ctx, e)
		return err
	})
	return out, err
}

func (b *transaction) reset(ctx context.Context, e database.Entry) (*database.Emptied, error) {
	if b.written {
		return nil, errors.New("reset must be the only change in its transaction")
	}
	b.written = true
	sets, err := b.lockSets(ctx)
	if err != nil {
		return nil, err
	}
	out := &database.Emptied{Sets: sets}
	uses, err := mycatalog.Uses(ctx, b.h.worker, b.db.Tables())
	if err != nil {
		return nil, ownError("reading the dependencies of other databases", err)
	}
	if len(uses) > 0 {
		return nil, &database.InUseError{Uses: uses}
	}
	drops, err := mycatalog.DropAll(ctx, b.h.worker, b.db.Tables())
	if err != nil {
		return nil, ownError("listing the objects to drop", err)
	}
	b.later = &later{doing: "reset", marked: sets, statements: []string{mycatalog.BeforeDrop}}
	for _, d := range drops {
		out.Dropped = append(out.Dropped, d.Object)
		b.later.statements = append(b.later.statements, d.SQL)
	}
	e.Version, e.Direction = database.NilVersion, database.Reset
	if e.StartedAt.IsZero() {
		e.StartedAt, e.Duration = b.began, b.h.clock.now().Sub(b.began)
	}
	// its own last: the head derives from it
	for _, set := range append(slices.DeleteFunc(slices.Clone(sets), func(s string) bool { return s == b.h.set }), b.h.set) {
		e.Set = set
		if err := b.record(ctx, e); err != nil {
			return nil, err
		}
	}
	if _, err := b.h.worker.exec(ctx, b.db.sql.fill("DELETE FROM {journal} WHERE set_name IS NOT NULL"+mycatalog.Everything)); err != nil {
		return nil, ownError("writing the journal", err)
	}
	b.h.wrote(nil)
	return out, b.dropFills(ctx, "version IS NOT NULL")
}

// mark writes to the journal that a reset has begun, to be committed with the Tx. It does so for
// every set: the next reset would drop objects that any of them creates meanwhile.
func (b *transaction) mark(ctx context.Context) error {
	if b.later == nil || b.later.marked == nil {
		return nil
	}
	err := b.h.putJournal(ctx, b.h.worker, &database.Journal{Version: database.NilVersion, Name: "reset", Direction: database.Reset, Of: len(b.later.statements), Begun: "DROP …"}, b.newest(b.h.set))
	for _, set := range b.later.marked {
		if err == nil && set != b.h.set {
			err = b.copyMark(ctx, set)
		}
	}
	return err
}

// copyMark copies the mark of the Tx's own set to another set.
func (b *transaction) copyMark(ctx context.Context, set string) error {
	const same = ", version, name, direction, checksum, statements, done, done_checksum, begun, `before`, error, started_at, updated_at, db_user, os_user, host, app, actor, pid"
	_, err := b.h.worker.exec(ctx, b.db.sql.fill("INSERT INTO {journal} (set_name, lock_name, since_id"+same+") SELECT "+hexText(set)+", "+hexText(b.h.guard.form.name(set))+", "+number64(b.newest(set))+same+
		" FROM {journal} WHERE set_name = "+hexText(b.h.set)))
	return ownError("writing the journal", err)
}

// newest returns the last entry of a set that the Tx has added.
func (b *transaction) newest(set string) (id int64) {
	for _, e := range b.recorded {
		if e.Set == set {
			id = max(id, e.ID)
		}
	}
	return id
}

// unmark removes the marks.
func (b *transaction) unmark(ctx context.Context) error {
	_, err := b.h.worker.exec(ctx, "DELETE FROM "+b.h.journalTable()+" WHERE direction = "+hexText(string(database.Reset))+" AND "+b.h.guard.form.fence(b.h.guard, b.h.set)+mycatalog.Everything)
	return ownError("writing the journal", err)
}

// lockSets acquires the locks of the other sets in the history, trying each once, and returns all
// sets in alphabetical order.
func (b *transaction) lockSets(ctx context.Context) ([]string, error) {
	b.h.guard.mu.Lock()
	sets, err := b.db.sets(ctx, b.h.guard.c) // it sees what was committed after the Tx began
	b.h.guard.mu.Unlock()
	if err != nil {
		return nil, err
	}
	recorded := []string{b.h.set}
	for _, set := range sets {
		if set == b.h.set {
			continue
		}
		if err := b.h.take(ctx, set, database.LockOptions{}); err != nil {
			return nil, err
		}
		var has bool
		if err := b.h.worker.row(ctx, b.db.sql.fill("SELECT EXISTS (SELECT 1 FROM {history?} WHERE set_name = ?) OR EXISTS (SELECT 1 FROM {journal?} WHERE set_name = ? AND "+isOpen+")"), []any{set, set}, &has); err != nil {
			return nil, ownError("reading the history's sets", err)
		}
		if has { // other sets held a lock but recorded nothing
			recorded = append(recorded, set)
		}
	}
	slices.Sort(recorded)
	return recorded, nil
}

// finish executes the statements that follow the COMMIT.
func (b *transaction) finish(ctx context.Context, l *later) error {
	b.h.worker.unusable = true
	for _, s := range l.statements {
		if err := b.patiently(ctx, s); err != nil {
			return l.unfinished(s, err)
		}
	}
	if l.marked == nil {
		return nil
	}
	return l.unfinished("removing the mark", b.unmark(ctx))
}

// laterFor is how long a statement after the COMMIT is tried again.
const laterFor = time.Minute

// patiently executes a statement after the COMMIT, under the lock timeout. If it waited too long
// for a lock, it is tried again: the transaction can't be.
func (b *transaction) patiently(ctx context.Context, text string) error {
	st := sqltext.Statement{Text: text}
	err := b.h.worker.limitWaits(ctx, waitsOf(b.h.opts.LockTimeout))
	for begun := time.Now(); err == nil; {
		watched := b.h.watchWaits(st, limitOf(b.h.opts, nil))
		_, err = b.h.worker.exec(ctx, text)
		watched(err)
		if lockError(number(err)) == nil || time.Since(begun) > laterFor {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(rand.N(time.Second)):
			err = nil
		}
	}
	return err
}

func (l *later) unfinished(statement string, err error) error {
	if err == nil {
		return nil
	}
	if l.marked == nil {
		return fmt.Errorf("the transaction is committed, but %s is incomplete (%s): %w; repeat it", l.doing, statement, err)
	}
	return fmt.Errorf("the reset is recorded, but not all objects are dropped (%s): %w; reset again to drop the rest", strings.TrimSpace(statement), err)
}
