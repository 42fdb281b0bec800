package mysql

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// waits are the two limits of a session's waits for locks, in whole seconds as the server counts:
// for metadata locks and LOCK TABLES (lock_wait_timeout), and for rows (innodb_lock_wait_timeout).
// The zero waits are the session's own.
type waits struct{ tables, rows string }

// unlimited are the values with which the server waits without a limit: lock_wait_timeout is a year
// at most, and InnoDB ignores an innodb_lock_wait_timeout of this many seconds.
var unlimited = waits{"31536000", "100000000"}

// waitsOf returns the limits for a lock timeout; 0 or less means none.
func waitsOf(d time.Duration) waits {
	if d <= 0 || d > 365*24*time.Hour {
		return unlimited
	}
	seconds := number64(int64(wholeSeconds(d) / time.Second))
	return waits{seconds, seconds}
}

// wholeSeconds rounds up to what the server can count.
func wholeSeconds(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}

// limitOf returns the lock timeout of a script: that of its directives, or else that of the
// options.
func limitOf(opts database.LockOptions, s *migration.Script) time.Duration {
	if s != nil && s.LockTimeout != 0 {
		return max(s.LockTimeout, 0)
	}
	return max(opts.LockTimeout, 0)
}

// idleLimits is an expression for the times after which the server ends an idle session; 0 is
// never.
const idleLimits = `CONCAT_WS(',', @@wait_timeout /*M!100300 , @@idle_transaction_timeout, @@idle_write_transaction_timeout, @@idle_readonly_transaction_timeout */)`

// patience is how long a worker can be idle: between the attempts of a step, for example.
const patience = 10 * time.Minute

// impatient returns the variables that end a worker earlier, given the value of idleLimits.
func impatient(values string) (names []string) {
	all := []string{"wait_timeout", "idle_transaction_timeout", "idle_write_transaction_timeout", "idle_readonly_transaction_timeout"}
	for i, value := range strings.Split(values, ",") {
		if seconds, err := strconv.Atoi(value); err == nil && i < len(all) && seconds > 0 && seconds < int(patience/time.Second) {
			names = append(names, all[i])
		}
	}
	return names
}

// workerSettings returns the variables of a worker's session and their values.
func (c *conn) workerSettings(w waits) (names, values []string) {
	names, values = []string{"lock_wait_timeout", "innodb_lock_wait_timeout"}, []string{w.tables, w.rows}
	c.db.mu.Lock()
	defer c.db.mu.Unlock()
	if c.db.facts != nil {
		for _, name := range c.db.facts.impatient {
			names, values = append(names, name), append(values, number64(int64(patience/time.Second)))
		}
	}
	if c.decides {
		for _, name := range idleInTransaction {
			names, values = append(names, name), append(values, number64(int64(idleClaim/time.Second)))
		}
	}
	return names, values
}

// endsIdle reports whether the server can end a session that is idle in a transaction.
func (f *facts) endsIdle() bool {
	return f.compound() && !strings.HasPrefix(f.version, "10.1.") && !strings.HasPrefix(f.version, "10.2.")
}

// idleInTransaction are the variables that end such a session.
var idleInTransaction = [...]string{"idle_transaction_timeout", "idle_write_transaction_timeout"}

// idleClaim is how long a process can be suspended while it has locked a backfill's row, which
// others need. It does nothing meanwhile but decide.
const idleClaim = 5 * time.Second

// saved is the user variable in which a session's own value is saved while another is set.
func saved(variable string) string { return "@whimbrel_" + variable }

// setWaits returns the statement that sets the limits of the connection's session. The first time
// it also sets how long the session may be idle.
func (c *conn) setWaits(w waits) string {
	names, values := c.workerSettings(w)
	var save, set []string
	for i, name := range names {
		save = append(save, saved(name)+" = @@SESSION."+name)
		set = append(set, "SESSION "+name+" = "+values[i])
	}
	if c.waits == (waits{}) {
		return "SET " + strings.Join(append(save, set...), ", ")
	}
	return "SET " + strings.Join(set[:2], ", ")
}

// limitWaits limits the session's waits for locks, unless they are limited so already.
func (c *conn) limitWaits(ctx context.Context, w waits) error {
	if c.waits == w {
		return nil
	}
	_, err := c.exec(ctx, c.setWaits(w))
	if err != nil {
		return ownError("setting the lock timeout", err)
	}
	c.waits = w
	return nil
}

// beginLimited begins a transaction, and limits the session's waits for locks. MariaDB does both in
// one round trip. A server that doesn't get the limits now gets them before the first script.
func (c *conn) beginLimited(ctx context.Context, compound bool, w waits) error {
	begin, now := c.beginning(compound, w)
	_, err := c.exec(ctx, begin)
	if err == nil {
		c.waits = now
	}
	return err
}

// beginning returns the statement of beginLimited, and the session's limits after it.
func (c *conn) beginning(compound bool, w waits) (statement string, now waits) {
	if c.waits == w || !compound {
		return startTransaction, c.waits
	}
	return "IF 1 THEN " + c.setWaits(w) + "; " + startTransaction + "; END IF", w
}

// compound reports whether the server executes IF … THEN … END IF outside of routines.
func (f *facts) compound() bool {
	return f.maria && !strings.HasPrefix(f.version, "5.") && !strings.HasPrefix(f.version, "10.0.")
}

// releasing returns a statement that evaluates an expression, which releases locks, and gives the
// session its own limits back.
func (c *conn) releasing(release string) string {
	if c.waits == (waits{}) {
		return "DO " + release
	}
	names, _ := c.workerSettings(c.waits)
	c.waits, c.decides = waits{}, false
	var set, forget []string
	for i, name := range names {
		also := ""
		if i == 0 {
			also = " + 0 * coalesce(" + release + ", 0)"
		}
		set = append(set, "SESSION "+name+" = "+saved(name)+also)
		forget = append(forget, saved(name)+" = NULL")
	}
	return "SET " + strings.Join(append(set, forget...), ", ")
}

// lockError returns the reason if only a lock made a statement fail, nil otherwise.
func lockError(number int) error {
	switch number {
	case erLockWait, erNoWait:
		return database.ErrLockTimeout
	case erDeadlock, erCommitConflict:
		return database.ErrDeadlock
	}
	return nil
}

// isLock reports whether only a lock made a statement fail.
func isLock(err error) bool {
	return errors.Is(err, database.ErrLockTimeout) || errors.Is(err, database.ErrDeadlock)
}

// ownWaits lets MariaDB wait for locks in one of Whimbrel's own statements as long as limit,
// whatever limit the session has. Other servers ignore it as a comment.
func ownWaits(limit time.Duration, query string) string {
	return fmt.Sprintf("/*M!100100 SET STATEMENT lock_wait_timeout=%d, innodb_lock_wait_timeout=%[1]d FOR */ ", ownSeconds(limit)) + query
}

// ownSeconds is a limit for the server of a wait that the driver limits itself: a bit longer.
func ownSeconds(limit time.Duration) int64 {
	return int64(wholeSeconds(max(limit, minLockWait))/time.Second) + 1
}

// undo rolls the open transaction back if a statement in it failed because of a lock: after a lock
// timeout the server has undone only the statement. Changes of tables without transactions remain;
// then the error is no longer one after which the statement can be tried again.
func (c *conn) undo(ctx context.Context, err error) error {
	e, ok := drivers.AsType[*database.StatementError](err)
	if !ok || e.Lock == nil {
		return err
	}
	if c.finish("ROLLBACK") != nil {
		return err // the connection is closed, so the server rolls back
	}
	if remains, werr := c.warned(context.WithoutCancel(ctx), erNotRolledBack); remains || werr != nil {
		e.Lock = nil
		e.Hint = "rows of a table without transactions (MyISAM, Aria, MEMORY) may have been changed, which nothing rolls back: check them before you run it again"
	}
	return err
}

// warned reports whether the last statement caused a warning or an error with a number.
func (c *conn) warned(ctx context.Context, number int) (is bool, err error) {
	err = c.each(ctx, "SHOW WARNINGS", nil, func(scan func(...any) error) error {
		var level, message string
		var n int
		err := scan(&level, &n, &message)
		is = is || n == number
		return err
	})
	return is, err
}

// maintains reports whether a statement returns its errors as rows.
func maintains(st sqltext.Statement) bool {
	switch st.Verb() {
	case "OPTIMIZE", "ANALYZE", "CHECK", "REPAIR", "CACHE":
		return true
	}
	return false
}
