package mysql

import (
	"context"
	"errors"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
)

// The guard is asked every two seconds. When the client's machine is gone, or its network, nothing tells the server, which
// would wait for eight hours (wait_timeout). So the guard's session has a short one: the lock is free after as many seconds,
// sooner than anybody gives up who waits for it. Then the worker's session is ended as an orphan's.
const silence = "12"

const keptTimeout = "@whimbrel_wait_timeout"

// shorten gives the guard's session the short timeout, and keeps there what it had.
func (g *guard) shorten(ctx context.Context) error {
	_, err := g.c.exec(ctx, "SET "+keptTimeout+" = @@SESSION.wait_timeout, SESSION wait_timeout = "+silence)
	g.short = err == nil
	return ownError("setting the session's wait_timeout", err)
}

// lengthened is a statement that gives the session the timeout that it had, and evaluates one more expression.
func lengthened(also string) string {
	return "SET SESSION wait_timeout = " + keptTimeout + " + 0 * coalesce(" + also + ", 0), " + keptTimeout + " = NULL"
}

// giveBack returns the guard's connection as it was.
func (g *guard) giveBack() {
	if g.short && !g.c.gone && !g.c.spoiled {
		g.c.quietly(lengthened("0"))
	}
	g.c.giveBack()
}

// aboutServer is an SQL expression that tells servers apart, which a load balancer may not.
const aboutServer = "CONCAT_WS(':', @@hostname, @@port, @@server_id)"

func otherServer(is, was, why string) error {
	name := func(server string) string { return server[:strings.LastIndexByte(server, ':')] }
	return &database.OtherServerError{Server: name(is), Was: name(was), Why: why}
}

// checkSameServer refuses a worker on another server than the guard's: its lock means nothing there. A lease holds on all.
func (h *hold) checkSameServer(worker string) error {
	if h.guard.server == "" || h.guard.server == worker {
		return nil
	}
	return otherServer(worker, h.guard.server, "the connection that holds the migration lock is on the second")
}

// unknownCommit remembers where a COMMIT was sent whose answer has not come.
func (h *hold) unknownCommit(err error) error {
	var unknown *database.CommitUnknownError
	if errors.As(err, &unknown) && h.guard.server != "" {
		at := h.guard.server
		h.db.unknown.Store(&at)
	}
	return err
}

// checkDecides refuses, once, to tell whether a COMMIT has happened from what another server has than that to which it was sent.
func (db *Database) checkDecides(g *guard) error {
	was := db.unknown.Swap(nil)
	if was == nil || g.server == "" || g.server == *was {
		return nil
	}
	return otherServer(g.server, *was, "COMMIT was sent to the second, and the first may not have what that has committed")
}
