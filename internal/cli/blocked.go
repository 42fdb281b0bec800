package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

// forALock reports whether a statement failed only because other sessions held a lock.
func forALock(err error) bool {
	return errors.Is(err, database.ErrLockTimeout) || errors.Is(err, database.ErrDeadlock)
}

// setBlockage sets what is known about the locks that a migration waited for.
func setBlockage(f *render.Failure, retries int, wait time.Duration, b database.Blockage) {
	f.Retries, f.Blockage = retries, render.NewBlockage(b)
	if wait > 0 {
		f.LockWait = render.Pointer(render.Millis(wait))
	}
}

// explainBlocked is the rule for a statement that waited too long for a lock, or that the database
// chose to end a deadlock.
func explainBlocked(f *render.Failure, err error) bool {
	e, ok := asType[*database.StatementError](err)
	if !ok || !forALock(err) {
		return false
	}
	var b database.Blockage
	if failed, ok := asType[*whimbrel.BlockedError](err); ok {
		b = failed.Blockage
		setBlockage(f, failed.Retries, failed.LockWait, b)
	} else if failed, ok := asType[*whimbrel.MigrationError](err); ok {
		b = failed.Blockage
	}
	f.Kind, f.Message, f.SQLState, f.Detail, f.Hint, f.Excerpt = kindBlocked, e.Message, e.Code, e.Detail, e.Hint, e.Excerpt
	setPlace(f, e.Pos)
	f.Next = unblock(e, b, f.Retries)
	if f.Next != "" {
		f.Hint = f.Next // that of the driver does not know who blocks
	}
	return true
}

// unblock returns what to do about the blockers, each kind once, and then to run the command again.
func unblock(e *database.StatementError, b database.Blockage, retries int) string {
	var kinds []database.BlockerKind
	var todo []string
	for _, blocker := range b.Blockers {
		if len(blocker.BlockedBy) > 0 && len(b.Blockers) > 1 || slices.Contains(kinds, blocker.Kind) {
			continue // it waits for another one, which is the cause
		}
		kinds = append(kinds, blocker.Kind)
		todo = append(todo, aboutBlocker(e, blocker))
	}
	switch {
	case len(todo) > 0:
	case errors.Is(e, database.ErrDeadlock):
		todo = append(todo, "Another session locked the same objects in another order.")
	case b.Hidden != "":
		todo = append(todo, "Find out which session holds the lock. The grant above lets Whimbrel show it.")
	case e.Code == "55P03":
		todo = append(todo, "Find out which session holds the lock: SELECT * FROM pg_stat_activity WHERE state <> 'idle'. To let Whimbrel show more, grant pg_monitor to its role.")
	case strings.HasPrefix(e.Code, "SQLITE"):
		todo = append(todo, "Another process uses the file. Wait until it has finished.")
	default:
		todo = append(todo, "Find out which session holds the lock: SHOW PROCESSLIST. Grant PROCESS to Whimbrel's user to let it show more.")
	}
	if retries > 0 {
		return strings.Join(todo, "\n") + "\nThen run the command again. To try for longer, add --retry-for 1h."
	}
	return strings.Join(todo, "\n") + "\nThen run the command again."
}

// aboutBlocker returns what to do about a blocker.
func aboutBlocker(e *database.StatementError, b database.Blocker) string {
	end := fmt.Sprintf("SELECT pg_terminate_backend(%d)", b.PID)
	mysql := slices.ContainsFunc(codesOf(e), func(c string) bool { return strings.HasPrefix(c, "mysql ") })
	if mysql {
		end = fmt.Sprintf("KILL %d", b.PID)
	}
	switch b.Kind {
	case database.BlockerIdle:
		words := fmt.Sprintf("Commit or roll back the transaction of pid %d in its program, or end it: %s.", b.PID, end)
		if !mysql {
			words += " To prevent such transactions, set idle_in_transaction_session_timeout for the application's role."
		}
		return words
	case database.BlockerPrepared:
		if mysql {
			return fmt.Sprintf("Finish the prepared transaction as its coordinator decided: XA COMMIT %[1]s, or XA ROLLBACK %[1]s.", b.Prepared)
		}
		id := "'" + strings.ReplaceAll(b.Prepared, "'", "''") + "'"
		return fmt.Sprintf("Finish the prepared transaction as its coordinator decided: COMMIT PREPARED %s, or ROLLBACK PREPARED %s.", id, id)
	case database.BlockerWraparound:
		return "Let the autovacuum finish: it prevents transaction ID wraparound, and does not give way. pg_stat_progress_vacuum shows its progress."
	case database.BlockerAutovacuum:
		return "Give the autovacuum time to give way: raise --lock-timeout above the server's deadlock_timeout, such as to 2s."
	case database.BlockerReplica:
		return fmt.Sprintf("Wait until the replication (pid %d) has released its lock, or pause the standby or the subscription.", b.PID)
	case database.BlockerMigration:
		return fmt.Sprintf("Wait until the other migration (pid %d) is done.", b.PID)
	}
	words := fmt.Sprintf("Wait until pid %d is done, choose a quiet time, or end it: %s.", b.PID, end)
	if b.Exempt == "" {
		words += " To have such sessions ended, add --terminate-blockers-after 1m."
	}
	return words
}
