package postgres

import (
	"time"
)

// A Database that the driver has opened keeps the connection of its last guard for the next run,
// since opening one takes the server longer than a short statement. It keeps only one, in no
// transaction and with nothing set, and uses it only soon: then nobody has ended it meanwhile. It
// keeps no connection of a pooler, which may lead elsewhere the next time.

// guardIdle is how long a kept connection is used again.
const guardIdle = time.Second

// idleGuardConn is a kept connection; nil for none.
type idleGuardConn struct {
	c     *conn
	since time.Time
}

// takeGuard returns the kept connection, or nil.
func (db *Database) takeGuard() *conn {
	db.mu.Lock()
	g := db.guard
	db.guard = idleGuardConn{}
	db.mu.Unlock()
	if g.c != nil && time.Since(g.since) > guardIdle {
		g.c.giveBack()
		return nil
	}
	return g.c
}

// keepGuard keeps the connection of a guard that has ended, and reports whether it does.
func (db *Database) keepGuard(c *conn) bool {
	if _, own := db.src.(*ownPool); !own || c.unusable || c.broken() || c.inTransaction() {
		return false
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.guard.c != nil || db.life.Closing.Err() != nil {
		return false
	}
	db.guard = idleGuardConn{c, time.Now()}
	return true
}

// closeGuard closes the kept connection.
func (db *Database) closeGuard() {
	if c := db.takeGuard(); c != nil {
		c.giveBack()
	}
}
