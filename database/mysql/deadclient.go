package mysql

import (
	"context"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
)

// The guard sends a query every two seconds. If the client's machine or network fails, the server
// isn't notified and would wait for eight hours (wait_timeout). So the guard's session gets this
// timeout in seconds, which is shorter than the lock timeout of waiting processes. Then the
// worker's session is terminated as an orphan.
const silence = "12"

// guardSettings are the variables of the guard's session that shortening sets.
var guardSettings = []string{"wait_timeout", "lock_wait_timeout", "innodb_lock_wait_timeout"}

// shortening returns the statement that sets the guard's session timeout, and limits its waits for
// locks on Whimbrel's tables. It saves the old values in the session.
func shortening(lockWait time.Duration) string {
	seconds := number64(ownSeconds(lockWait))
	var save, set []string
	for i, value := range []string{silence, seconds, seconds} {
		name := guardSettings[i]
		save = append(save, saved(name)+" = @@SESSION."+name)
		set = append(set, "SESSION "+name+" = "+value)
	}
	return "SET " + strings.Join(append(save, set...), ", ")
}

// shorten executes what the guard's session still lacks.
func (g *guard) shorten(ctx context.Context) error {
	if g.first == "" {
		return nil
	}
	_, err := g.c.exec(ctx, g.first)
	g.shortened(err)
	return ownError("setting the session's timeouts", err)
}

// shortened notes that what the session lacked was executed, unless err is not nil.
func (g *guard) shortened(err error) {
	if g.first != "" {
		g.first, g.short, g.c.unusable = "", err == nil, g.c.unusable || err != nil
	}
}

// restoreTimeout returns a statement that restores what shortening has set, and evaluates one more
// expression.
func restoreTimeout(also string) string {
	set, forget := []string(nil), []string{atCommit + " = NULL"}
	for _, name := range guardSettings {
		set = append(set, "SESSION "+name+" = "+saved(name))
		forget = append(forget, saved(name)+" = NULL")
	}
	set[0] += " + 0 * coalesce(" + also + ", 0)"
	return "SET " + strings.Join(append(set, forget...), ", ")
}

// giveBack restores the session timeout and releases the guard's connection.
func (g *guard) giveBack() {
	if g.short && !g.c.gone && !g.c.unusable {
		g.c.finish(restoreTimeout("0"))
	}
	g.c.giveBack()
}

// aboutServer is an SQL expression that identifies the server, behind a load balancer, too.
const aboutServer = "CONCAT_WS(':', @@hostname, @@port, @@server_id)"

func otherServer(is, was, why string) error {
	name := func(server string) string { return server[:strings.LastIndexByte(server, ':')] }
	return &database.OtherServerError{Server: name(is), Was: name(was), Why: why}
}

// checkSameServer returns an error if the worker is on another server than the guard, whose lock
// has no effect there. A lease applies to all servers.
func (h *hold) checkSameServer(worker string) error {
	if h.guard.server == "" || h.guard.server == worker {
		return nil
	}
	return otherServer(worker, h.guard.server, "the second holds the migration lock")
}

// unknownCommit records the server if the outcome of a COMMIT is unknown.
func (h *hold) unknownCommit(err error) error {
	if _, ok := drivers.AsType[*database.CommitUnknownError](err); ok && h.guard.server != "" {
		at := h.guard.server
		h.db.unknown.Store(&at)
	}
	return err
}

// checkDecides returns an error, once, if the outcome of a COMMIT would be read from another server
// than the one that received it.
func (db *Database) checkDecides(g *guard) error {
	was := db.unknown.Swap(nil)
	if was == nil || g.server == "" || g.server == *was {
		return nil
	}
	return otherServer(g.server, *was, "COMMIT was sent to the second, and the first may lack what it committed")
}
