package mysql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/mysql/internal/mycatalog"
)

// later is what a batch does when it is committed, since each statement of it commits by itself.
type later struct {
	doing      string
	statements []string
	marked     []string // it was a reset: the sets whose journals say so until it is done
}

// Reset takes the locks of all sets, lists what is to be dropped, and records that nothing is applied any more, with a mark
// for each of them that the reset is unfinished. What drops comes after COMMIT: no transaction can take it back. So Rollback leaves
// everything as it is; and when the dropping is cut off, the history says that nothing is applied and that
// the database is dirty, until the next reset has dropped the rest.
func (b *batch) Reset(ctx context.Context, _ []string, e database.Entry) (out *database.Emptied, err error) {
	err = b.do(ctx, func(ctx context.Context) error {
		out, err = b.reset(ctx, e)
		return err
	})
	return out, err
}

func (b *batch) reset(ctx context.Context, e database.Entry) (*database.Emptied, error) {
	if b.written {
		return nil, errors.New("reset: something else was done in the same transaction before")
	}
	b.written = true
	sets, err := b.lockSets(ctx)
	if err != nil {
		return nil, err
	}
	out := &database.Emptied{Sets: sets}
	uses, err := mycatalog.Uses(ctx, b.h.worker, b.db.Tables())
	if err != nil {
		return nil, ownError("looking for what other databases need", err)
	}
	if len(uses) > 0 {
		return nil, &database.InUseError{Uses: uses}
	}
	drops, err := mycatalog.DropAll(ctx, b.h.worker, b.db.Tables())
	if err != nil {
		return nil, ownError("listing what is to be dropped", err)
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
	for _, set := range append(slices.DeleteFunc(slices.Clone(sets), func(s string) bool { return s == b.h.set }), b.h.set) { // its own last: Head is made of that
		e.Set = set
		if err := b.record(ctx, e); err != nil {
			return nil, err
		}
	}
	if _, err := b.h.worker.exec(ctx, b.db.sql.fill("DELETE FROM {journal} WHERE set_name IS NOT NULL"+mycatalog.Everything)); err != nil {
		return nil, ownError("writing the journal", err)
	}
	b.open, b.h.hasRow = nil, false
	return out, nil
}

// mark makes the journal say, when it is committed, that a reset has begun: for every set, since what any of them makes before it is finished
// would be dropped with the rest.
func (b *batch) mark(ctx context.Context) error {
	if b.later == nil || b.later.marked == nil {
		return nil
	}
	err := b.h.putJournal(ctx, b.h.worker, &database.Journal{Version: database.NilVersion, Name: "reset", Direction: database.Reset, Of: len(b.later.statements), Begun: "DROP …"})
	b.h.hasRow = err == nil
	for _, set := range b.later.marked {
		if err == nil && set != b.h.set {
			err = b.copyMark(ctx, set)
		}
	}
	return err
}

// copyMark makes the mark of the batch's own set another's, too.
func (b *batch) copyMark(ctx context.Context, set string) error {
	const same = "version, name, direction, checksum, statements, done, done_checksum, begun, `before`, error, started_at, updated_at, db_user, host, app, pid"
	_, err := b.h.worker.exec(ctx, b.db.sql.fill("INSERT INTO {journal} (set_name, lock_name, "+same+") SELECT "+hexText(set)+", "+hexText(b.h.guard.form.name(set))+", "+same+
		" FROM {journal} WHERE set_name = "+hexText(b.h.set)))
	return ownError("writing the journal", err)
}

// unmark ends what mark has begun.
func (b *batch) unmark(ctx context.Context) error {
	_, err := b.h.worker.exec(ctx, "DELETE FROM "+b.h.journalTable()+" WHERE direction = "+hexText(string(database.Reset))+" AND "+b.h.guard.form.fence(b.h.guard, b.h.set)+mycatalog.Everything)
	return ownError("writing the journal", err)
}

// lockSets takes the locks of the other sets of the history, trying each once, and returns all sets in alphabetical order.
func (b *batch) lockSets(ctx context.Context) ([]string, error) {
	b.h.guard.mu.Lock()
	sets, err := b.db.sets(ctx, b.h.guard.c) // which sees what was committed after the batch began
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
		if has { // others had a lock, and have recorded nothing
			recorded = append(recorded, set)
		}
	}
	slices.Sort(recorded)
	return recorded, nil
}

// finish executes what comes after COMMIT.
func (b *batch) finish(ctx context.Context, l *later) error {
	b.h.worker.unusable = true
	for _, s := range l.statements {
		if _, err := b.h.worker.exec(ctx, s); err != nil {
			return l.unfinished(s, err)
		}
	}
	if l.marked == nil {
		return nil
	}
	return l.unfinished("taking away the mark", b.unmark(ctx))
}

func (l *later) unfinished(statement string, err error) error {
	if err == nil {
		return nil
	}
	if l.marked == nil {
		return fmt.Errorf("it is committed, but not all of %s has happened (%s): %w; do it again", l.doing, statement, err)
	}
	return fmt.Errorf("the reset is recorded, but not everything is dropped yet (%s): %w; reset once more to drop the rest", strings.TrimSpace(statement), err)
}
