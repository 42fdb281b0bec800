package whimbrel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/times"
)

// lastWords limits how long a failed attempt may take to record that it failed.
const lastWords = 5 * time.Second

// errorLimit is how many characters of an error the history keeps.
const errorLimit = 2000

// attempt is one attempt at a step, for the history.
type attempt struct {
	step     Step
	began    time.Time
	recorded bool // the history has its failure
	retry    *retrier
}

// failure returns the history entry of an attempt that failed.
func (m *Migrator) failure(t attempt, err error) database.Entry {
	s := t.step
	e := database.Entry{Version: s.Version, Name: s.Name, Direction: database.Failed, Tried: s.Direction, Error: keptError(err)}
	switch {
	case s.Script == nil:
	case s.Direction == database.Down:
		e.DownChecksum = s.Script.Checksum
	default:
		e.Checksum = s.Script.Checksum
	}
	all := []database.Entry{e}
	m.stamp(all, m.opts.Reason, cmp.Or(t.began, time.Now()))
	all[0].Duration = time.Since(all[0].StartedAt)
	all[0].Retries, all[0].LockWait = t.retry.retries, t.retry.lost
	return all[0]
}

// recordFailure records a failed attempt, and the sessions that it terminated, in a transaction of
// its own, after the attempt's has ended. Attempts that were followed by a retry are one with the
// last. It does so only if the lock is free and the database can be reached: it must not delay the
// error. If the answer to a COMMIT was lost, the attempt may have succeeded, so no failure is
// recorded.
func (a *applier) recordFailure(ctx context.Context, err error) {
	var failed *MigrationError
	var unknown *database.CommitUnknownError
	entries := a.retry.endings()
	if !a.attempt.recorded && err != nil && (errors.As(err, &failed) || a.retry.pausing) && !errors.As(err, &unknown) {
		entries = append([]database.Entry{a.m.failure(a.attempt, err)}, entries...)
	}
	if len(entries) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	tx, _, berr := a.m.db.Begin(ctx, a.m.set.Name(), database.LockOptions{})
	if berr != nil {
		return
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if tx.Record(ctx, entries...) == nil {
		_, _ = tx.Commit(ctx)
	}
}

// recordFailure records that the run's attempt failed, together with the error in the journal of a
// run that remains.
func (x *runner) recordFailure(ctx context.Context, err error) error {
	endings := x.retry.endings()
	_, rerr := x.r.Record(ctx, append([]database.Entry{x.m.failure(*x.attempt, err)}, endings...)...)
	var unknown *database.CommitUnknownError
	x.attempt.recorded = rerr == nil || errors.As(rerr, &unknown)
	if x.attempt.recorded {
		x.retry.recorded(len(endings))
	}
	if j := x.journal; rerr == nil && j != nil {
		now := *j
		now.Error = keptError(err)
		x.journal = &now
	}
	return rerr
}

// recordLost records the attempt of the process that left the interrupted run behind, unless that
// process did so itself, or another has since. If it can't, only that entry is missing.
func (x *runner) recordLost(ctx context.Context) {
	if j := x.journal; j.Error == "" {
		all := []database.Entry{lostAttempt(j)}
		x.m.stamp(all, "", j.StartedAt)
		if recorded, err := x.r.Record(ctx, all...); err == nil {
			*x.head = recorded.Head
		}
	}
}

// lostAttempt returns the history entry of an attempt whose process left only its journal.
func lostAttempt(j *database.Journal) database.Entry {
	e := database.Entry{Version: j.Version, Name: j.Name, Direction: database.Failed, Tried: j.Direction, StartedAt: j.StartedAt, Error: lostError(j)}
	e.Duration = max(0, j.UpdatedAt.Sub(j.StartedAt))
	if j.Direction == database.Down {
		e.DownChecksum = j.Checksum
	} else {
		e.Checksum = j.Checksum
	}
	return e
}

// lostError describes the process that left a journal behind.
func lostError(j *database.Journal) string {
	by := []string{fmt.Sprintf("pid %d", j.PID)}
	for _, part := range [][2]string{{"host ", j.Host}, {"OS user ", j.OSUser}, {"database user ", j.DBUser}, {"application ", j.App}, {"", j.Actor}} {
		if part[1] != "" {
			by = append(by, part[0]+part[1])
		}
	}
	return database.Shortened(fmt.Sprintf("connection lost at statement %d of %d, after %s: the process (%s) did not record why",
		j.Done+1, j.Of, times.Format(j.UpdatedAt), strings.Join(by, ", ")), errorLimit)
}

// keptError returns an error as the history and the journal keep it.
func keptError(err error) string {
	var failed *MigrationError
	if errors.As(err, &failed) {
		err = failed.Err
	}
	text := err.Error()
	switch {
	case errors.Is(err, context.Canceled):
		text = "cancelled"
	case errors.Is(err, context.DeadlineExceeded):
		text = "its deadline passed"
	}
	return database.Shortened(cmp.Or(strings.ToValidUTF8(text, "\uFFFD"), "unknown error"), errorLimit)
}
