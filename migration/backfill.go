package migration

import (
	"time"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Backfill says which rows a script changes in batches, and how. The script of a backfill runs many
// times, each time for the rows of one range of keys, in a transaction of its own.
//
// A zero field has the default that its comment names.
type Backfill struct {
	// Table is the table whose rows are changed, with or without its schema, as SQL writes it.
	Table string
	// Key are the columns by whose order the rows are taken. A unique index without NULL must have
	// exactly these columns, in any order. Empty means the primary key; on PostgreSQL, a table
	// without one is taken block by block (ctid).
	Key []string
	// Batch is the number of rows of a batch. 0 steers it so that a batch takes Target.
	Batch int
	// Target is how long a batch should take: DefaultTarget.
	Target time.Duration
	// Parallel limits how many batches are executed at the same time, by all processes together: 1.
	Parallel int
	// Pause is the time between two batches of a lane: none.
	Pause time.Duration
	// Timeout limits each batch: DefaultBatchTimeout. A batch that takes longer is halved.
	Timeout time.Duration
	// Attempts is how often a lane is tried before the backfill fails: DefaultAttempts.
	Attempts int
	// Check is a query that returns the number of rows that still have to be changed. It must be 0
	// at the end. "" checks nothing.
	Check string
	// Recheck takes all rows once more as long as Check is not 0, and requires that it is 0 twice.
	Recheck bool
	// Sync keeps rows in step that are written while the backfill runs, with a trigger that is
	// dropped at its end.
	Sync bool
	// Detach leaves the rows to the workers of a job queue: a migration only starts it.
	Detach bool
	// Throttle says when to slow down.
	Throttle Throttle
}

// Throttle are the limits that make a backfill wait. What a field asks for, and the server can't
// tell, makes it wait, too. 0, false and "" ask for nothing.
type Throttle struct {
	// Lag is how far a replica may be behind.
	Lag time.Duration
	// SlotWAL is how many bytes of the write-ahead log a replication slot may retain.
	SlotWAL int64
	// WALRate is how many bytes of the write-ahead log the server may write in a second.
	WALRate int64
	// Autovacuum waits while autovacuum works on the table.
	Autovacuum bool
	// FlowControl is the share of time, from 0 to 1, for which a Galera cluster may have been
	// paused.
	FlowControl float64
	// Query is a query that returns true, or a number other than 0, while the backfill must wait.
	Query string
}

// The defaults of a Backfill.
const (
	DefaultTarget       = 250 * time.Millisecond
	DefaultBatchTimeout = 30 * time.Second
	DefaultAttempts     = 5
)

// Body is the text of a backfill's script, cut into statements, and these at their parameters.
type Body struct {
	Statements []BodyStatement
}

// BodyStatement is a statement of a Body: Parts[0], Params[0], Parts[1], … It has one part more
// than parameters.
type BodyStatement struct {
	sqltext.Statement
	Parts  []string
	Params []BodyParam
}

// BodyParam stands for the key of the first or the last row of a batch: :first, :last,
// :first.tenant_id.
type BodyParam struct {
	Last   bool
	Column string // "" for all columns of the key, in their order
}
