package database

import "time"

// Blockage describes a statement that waits for other sessions, as far as the role may see it.
type Blockage struct {
	// SQL is the statement that waits, and Index its number in the script, from 0. SQL is "" if the
	// driver can't tell.
	SQL   string
	Index int
	// Waited is how long the statement has waited for this lock, as far as the server can tell.
	Waited time.Duration
	// Lock is the mode of the lock that the statement waits for ("AccessExclusiveLock"), and Object
	// what it is on: a table with its schema, a transaction. Both may be "".
	Lock, Object string
	// Blockers are the sessions that the statement waits for, directly or indirectly: those that
	// block it directly come first.
	Blockers []Blocker
	// Queued is the number of other sessions that wait behind the statement.
	Queued int
	// Hidden says why the server does not show everything, and which grant would show it; "" if
	// nothing is hidden.
	Hidden string
}

// First returns the first blocker; the zero Holder if none is known.
func (b Blockage) First() Holder {
	if len(b.Blockers) == 0 {
		return Holder{}
	}
	return b.Blockers[0].Holder
}

// Blocker is a session, or a prepared transaction, that others wait for.
type Blocker struct {
	Holder
	Kind BlockerKind
	// State is what the server says the session does: "active", "idle in transaction".
	State string
	// StateSince is when that state began; zero if unknown.
	StateSince time.Time
	// Prepared is the identifier of a prepared transaction.
	Prepared string
	// Lock is the mode of a lock that it holds and the waiter needs, and Object what it is on.
	Lock, Object string
	// BlockedBy are the PIDs of the sessions that it waits for itself.
	BlockedBy []int64
	// Exempt is the reason why Whimbrel never terminates it; "" if it may be terminated.
	Exempt string
}

// BlockerKind is what a blocker is.
type BlockerKind string

// The kinds of blockers.
const (
	BlockerSession    BlockerKind = "session"          // executes a statement
	BlockerIdle       BlockerKind = "idle transaction" // has an open transaction and executes nothing
	BlockerPrepared   BlockerKind = "prepared transaction"
	BlockerAutovacuum BlockerKind = "autovacuum"
	BlockerWraparound BlockerKind = "wraparound autovacuum" // it prevents wraparound, and does not give way
	BlockerReplica    BlockerKind = "replication"           // a standby or a subscription
	BlockerMigration  BlockerKind = "migration"             // another process of Whimbrel
)
