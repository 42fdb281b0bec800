package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// What is queued is sent when it comes to this many queries or bytes.
const (
	queueQueries = 400
	queueBytes   = 256 << 10
)

// Begin opens a transaction that holds the set's lock.
func (db *Database) Begin(ctx context.Context, set string, opts database.LockOptions) (database.Batch, error) {
	c, err := db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	schema, h, err := db.begin(ctx, c, set, opts)
	if err != nil {
		c.release()
		return nil, err
	}
	return &batch{db: db, c: c, set: set, schema: schema, head: h, lockOptions: opts}, nil
}

type batch struct {
	db          *Database
	c           *conn
	set, schema string
	head        head
	lockOptions database.LockOptions

	queue    []query
	queued   int // bytes
	scripts  int // run so far
	recorded []database.Event
	session  *session // as it was at first, once it is known
	over     bool
}

var errOver = errors.New("the batch is over")

func (b *batch) Head() int64 { return b.head.sum() }

func (b *batch) Recorded() []database.Event { return slices.Clone(b.recorded) }

// add queues a query, and sends the queue when it is long.
func (b *batch) add(ctx context.Context, q query) error {
	b.queue = append(b.queue, q)
	b.queued += len(q.sql)
	for _, a := range q.args {
		if a != nil {
			b.queued += len(*a)
		}
	}
	if len(b.queue) < queueQueries && b.queued < queueBytes {
		return nil
	}
	return b.flush(ctx)
}

// flush sends what is queued, and waits for the answers.
func (b *batch) flush(ctx context.Context) error {
	if len(b.queue) == 0 {
		return nil
	}
	queries := b.queue
	b.queue, b.queued = nil, 0
	return b.c.pipeline(ctx, queries...)
}

// State reads the state inside the transaction, after what is queued.
func (b *batch) State(ctx context.Context) (*database.State, error) {
	if b.over {
		return nil, errOver
	}
	if err := b.flush(ctx); err != nil {
		return nil, err
	}
	return b.db.readState(ctx, b.c, b.schema, b.set)
}

// Run queues a short script, and executes a long one.
func (b *batch) Run(ctx context.Context, s *migration.Script) error {
	if b.over {
		return errOver
	}
	a, err := s.Analyze(b.db.Dialect(), b.db.Tables())
	if err != nil {
		return err
	}
	if b.scripts > 0 {
		if err := b.add(ctx, markQuery()); err != nil {
			return err
		}
	}
	b.scripts++
	if mayChangeSession(s, a) {
		return b.runKeepingSession(ctx, s, a)
	}
	return b.run(ctx, s, a)
}

func (b *batch) run(ctx context.Context, s *migration.Script, a *migration.Analysis) error {
	if fn := s.Func(); fn != nil {
		return b.call(ctx, s, fn)
	}
	r := &scriptRunner{batch: b, script: s}
	return r.run(ctx, a)
}

// Record queues the event's row.
func (b *batch) Record(ctx context.Context, e database.Event) error {
	if b.over {
		return errOver
	}
	return b.add(ctx, b.db.recordQuery(b.schema, e, func(e database.Event) { b.recorded = append(b.recorded, e) }))
}

// Commit sends what is queued together with COMMIT: one round trip.
func (b *batch) Commit(ctx context.Context) error {
	if b.over {
		return errOver
	}
	committed := false
	b.queue = append(b.queue, query{sql: "COMMIT", done: func(tag pgconn.CommandTag) error {
		if tag.String() != "COMMIT" {
			return fmt.Errorf("the server answered COMMIT with %s", tag)
		}
		committed = true
		return nil
	}, fail: b.deferredError})
	err := b.flush(ctx)
	var pg *pgconn.PgError
	var st *database.StatementError
	switch {
	case committed:
		err = nil // whatever broke after it
		if n := len(b.recorded); n > 0 {
			b.head.mine = b.recorded[n-1].ID
		}
	case errors.As(err, &st), errors.As(err, &pg) && pg.Severity != "FATAL", !b.broken():
	default:
		err = &database.CommitUnknownError{Err: err}
	}
	b.end(ctx)
	return err
}

// deferredError explains an error that COMMIT itself brings up: a deferred constraint.
func (b *batch) deferredError(pg *pgconn.PgError) error {
	return &database.StatementError{
		Statement: "COMMIT", Code: pg.Code, Message: "at COMMIT: " + pg.Message, Detail: pg.Detail, Hint: pg.Hint, Where: pg.Where, Err: pg,
	}
}

func (b *batch) broken() bool {
	broken := false
	b.c.use(func(pc *pgx.Conn) error {
		broken = pc.IsClosed()
		return nil
	})
	return broken
}

// Discard rolls back, and locks again.
func (b *batch) Discard(ctx context.Context) error {
	if b.over {
		return errOver
	}
	b.c.rollback(ctx)
	b.queue, b.queued, b.recorded, b.scripts = nil, 0, nil, 0
	opts := b.lockOptions
	opts.Timeout = 0 // it was ours
	h, err := b.db.lock(ctx, b.c, b.schema, b.set, opts)
	if err == nil && h != b.head {
		err = &database.LockedError{Set: b.set}
	}
	if err != nil {
		b.end(ctx)
	}
	return err
}

// Rollback ends the transaction and gives the connection back.
func (b *batch) Rollback(ctx context.Context) error {
	b.end(ctx)
	return nil
}

func (b *batch) end(ctx context.Context) {
	if b.over {
		return
	}
	b.over = true
	b.queue = nil
	b.c.rollback(ctx)
	b.c.release()
}
