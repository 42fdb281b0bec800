package cli

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
)

// The error at the end of the retries says what to do about each kind of blocker, each once.
func TestAdviceAboutBlockers(t *testing.T) {
	t.Parallel()
	postgres := &database.StatementError{Message: "m", Code: "55P03", Lock: database.ErrLockTimeout, Hint: "the driver's"}
	mariadb := &database.StatementError{Message: "m", Code: "HY000", Detail: "error 1205", Lock: database.ErrLockTimeout}
	for _, c := range []struct {
		of   *database.StatementError
		by   database.Blocker
		want []string
	}{
		{postgres, database.Blocker{Kind: database.BlockerIdle, Holder: database.Holder{PID: 7}}, []string{"Commit or roll back the transaction of pid 7", "SELECT pg_terminate_backend(7)", "idle_in_transaction_session_timeout"}},
		{mariadb, database.Blocker{Kind: database.BlockerIdle, Holder: database.Holder{PID: 7}}, []string{"end it: KILL 7."}},
		{postgres, database.Blocker{Kind: database.BlockerPrepared, Prepared: "it's"}, []string{"COMMIT PREPARED 'it''s'", "ROLLBACK PREPARED 'it''s'"}},
		{postgres, database.Blocker{Kind: database.BlockerSession, Holder: database.Holder{PID: 7}}, []string{"Wait until pid 7 is done", "add --terminate-blockers-after 1m."}},
		{postgres, database.Blocker{Kind: database.BlockerAutovacuum}, []string{"raise --lock-timeout above the server's deadlock_timeout"}},
		{postgres, database.Blocker{Kind: database.BlockerWraparound}, []string{"Let the autovacuum finish"}},
		{postgres, database.Blocker{Kind: database.BlockerReplica, Holder: database.Holder{PID: 7}}, []string{"the replication (pid 7)"}},
		{postgres, database.Blocker{Kind: database.BlockerMigration, Holder: database.Holder{PID: 7}}, []string{"Wait until the other migration (pid 7) is done."}},
	} {
		b := database.Blockage{Blockers: []database.Blocker{c.by, c.by}}
		f, code := explain(t.Context(), &whimbrel.MigrationError{Version: 2, Name: "n", Direction: database.Up, Retries: 3, LockWait: time.Second, Blockage: b, Err: c.of}, 0)
		wantEqual(t, "exit code", code, exitLocked)
		wantEqual(t, "kind", f.Kind, kindBlocked)
		wantEqual(t, "retries", f.Retries, 3)
		for _, part := range append(c.want, "To try for longer, add --retry-for 1h.") {
			if strings.Count(f.Next, part) != 1 {
				t.Errorf("%s: the advice lacks %q, or repeats it:\n%s", c.by.Kind, part, f.Next)
			}
		}
	}
}

// A session that is never terminated, and blockers that are unknown or wait themselves.
func TestAdviceWithoutAnEasyWay(t *testing.T) {
	t.Parallel()
	root := database.Blocker{Kind: database.BlockerIdle, Holder: database.Holder{PID: 8}}
	for want, c := range map[string]struct {
		code string
		b    database.Blockage
		not  string
	}{
		"Wait until pid 7 is done":  {"55P03", database.Blockage{Blockers: []database.Blocker{{Kind: database.BlockerSession, Holder: database.Holder{PID: 7}, Exempt: "its user is a superuser"}}}, "--terminate"},
		"the transaction of pid 8":  {"55P03", database.Blockage{Blockers: []database.Blocker{{Kind: database.BlockerSession, Holder: database.Holder{PID: 7}, BlockedBy: []int64{8}}, root}}, "pid 7"},
		"grant pg_monitor":          {"55P03", database.Blockage{}, "--retry-for"},
		"The grant above":           {"55P03", database.Blockage{Hidden: "GRANT x"}, "--retry-for"},
		"Another process uses the":  {"SQLITE_BUSY", database.Blockage{}, "--retry-for"},
		"Grant PROCESS to Whimbrel": {"HY000", database.Blockage{}, "--retry-for"},
	} {
		err := &whimbrel.BlockedError{Blockage: c.b, Err: &database.StatementError{Message: "m", Code: c.code, Lock: database.ErrLockTimeout}}
		f, _ := explain(t.Context(), err, 0)
		if !strings.Contains(f.Next, want) || strings.Contains(f.Next, c.not) {
			t.Errorf("the advice is %q, want %q, and not %q", f.Next, want, c.not)
		}
	}
}

// Ctrl-C in the pause between two attempts cancels no statement.
func TestInterruptedInThePause(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(interrupted{os.Interrupt})
	last := &database.StatementError{Message: "m", Code: "55P03", Lock: database.ErrLockTimeout}
	b := database.Blockage{Blockers: []database.Blocker{{Kind: database.BlockerIdle, Holder: database.Holder{PID: 7}}}}
	err := &whimbrel.MigrationError{Version: 2, Name: "n", Direction: database.Up, Retries: 2, Blockage: b, Err: fmt.Errorf("%w before attempt 2: %w", context.Canceled, last)}
	f, _ := explain(ctx, err, 0)
	wantEqual(t, "kind", f.Kind, kindInterrupted)
	wantContains(t, "detail", f.Detail, "no statement was running")
	wantEqual(t, "retries", f.Retries, 1)
	if f.Blockage == nil {
		t.Error("the failure does not say who blocked")
	}
}

// A statement that may have committed something is not blocked any more: the advice, given once, is
// to check its outcome.
func TestAdviceAboutABlockedRun(t *testing.T) {
	t.Parallel()
	failed := &database.StatementError{Message: "m", Code: "55P03", Lock: database.ErrLockTimeout, Hint: "the driver's"}
	b := database.Blockage{Blockers: []database.Blocker{{Kind: database.BlockerSession, Holder: database.Holder{PID: 7}}}}
	f, _ := explain(t.Context(), &whimbrel.MigrationError{Version: 2, Name: "n", Direction: database.Up, Blockage: b, Err: failed, Executed: 1, Journal: &database.Journal{Version: 2, Name: "n", Of: 3, Done: 1, Begun: "CALL p()"}}, 0)
	adviseInterrupted(&whimbrel.Plan{}, f, "whimbrel up")
	wantEqual(t, "the hint", f.Hint, f.Next)
	if want := `run "whimbrel up" to check the outcome of statement 2 of 3 and continue`; !strings.Contains(f.Next, want) {
		t.Errorf("the advice is %q, want %q", f.Next, want)
	}
}
