package postgres

import (
	"context"
	"errors"
	"io"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Guard holds the set's lock in a transaction on a connection of its own, which is watched:
// when it breaks, the statement that runs under it is cancelled.
func (db *Database) Guard(ctx context.Context, set string, opts database.LockOptions) (_ database.Run, err error) {
	worker, err := db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	guard, err := db.second(ctx, worker)
	if err != nil {
		worker.release()
		return nil, err
	}
	r := &run{db: db, set: set, worker: worker, guard: guard}
	defer func() {
		if err != nil {
			r.Close(ctx)
		}
	}()
	if r.schema, r.head, err = db.begin(ctx, guard, set, opts); err != nil {
		return nil, err
	}
	if err := guard.pipeline(ctx, r.holdQueries()...); err != nil {
		return nil, err
	}
	if err := worker.pipeline(ctx, readSession(&r.session)); err != nil {
		return nil, err
	}
	r.watch()
	return r, nil
}

// second opens one more connection to where a connection leads. It is not taken from the
// caller's pool, which may have no other.
func (db *Database) second(ctx context.Context, c *conn) (*conn, error) {
	var config *pgx.ConnConfig
	err := c.use(func(pc *pgx.Conn) error {
		config = pc.Config()
		return nil
	})
	if err != nil {
		return nil, err
	}
	pc, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, connectError(config, err)
	}
	return &conn{single{pc}}, nil
}

type run struct {
	db            *Database
	set, schema   string
	head          head
	worker, guard *conn
	session       session // of worker, as it was

	lost      context.Context // done when the guard is lost, with the cause
	stopWatch func()
	over      bool
}

func (r *run) Head() int64 { return r.head.sum() }

// State reads on the worker's connection: the lock is what makes it stand.
func (r *run) State(ctx context.Context) (*database.State, error) {
	if r.over {
		return nil, errOver
	}
	return r.db.readState(ctx, r.worker, r.schema, r.set)
}

// holdQueries keep the server from ending the guard's transaction for being idle or long.
func (r *run) holdQueries() []query {
	qs := []query{{sql: "SET LOCAL idle_in_transaction_session_timeout = 0"}}
	major := 0
	r.guard.use(func(pc *pgx.Conn) error {
		major = serverMajor(pc.PgConn())
		return nil
	})
	if major >= 17 {
		qs = append(qs, query{sql: "SET LOCAL transaction_timeout = 0"})
	}
	return qs
}

// watch waits, on the guard's connection, for something that never comes; an error is
// the end of the guard.
func (r *run) watch() {
	lost, lose := context.WithCancelCause(context.Background())
	waiting, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			err := r.guard.use(func(pc *pgx.Conn) error { return pc.PgConn().WaitForNotification(waiting) })
			if waiting.Err() != nil {
				return
			}
			if err != nil {
				lose(&database.LockLostError{Set: r.set, Err: err})
				return
			}
		}
	}()
	r.lost = lost
	r.stopWatch = func() {
		stop()
		<-done
	}
}

// under returns a context that ends with ctx and with the guard.
func (r *run) under(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(r.lost, func() { cancel(context.Cause(r.lost)) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// Exec runs one statement by itself.
func (r *run) Exec(ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader) error {
	if r.over {
		return errOver
	}
	ctx, stop := r.under(ctx)
	defer stop()
	if qs := timeouts(s.Directives, false); len(qs) > 0 {
		if err := r.worker.pipeline(ctx, qs...); err != nil {
			return err
		}
	}
	if data != nil {
		return r.worker.copyIn(ctx, st, data)
	}
	var one chunk
	one.add(st)
	return r.worker.simple(ctx, &one)
}

// Record appends an event in a transaction of its own.
func (r *run) Record(ctx context.Context, e database.Event) (database.Event, error) {
	if r.over {
		return e, errOver
	}
	if r.worker.inTransaction() {
		return e, errors.New("the script has opened a transaction and left it open; it must end it")
	}
	ctx, stop := r.under(ctx)
	defer stop()
	if err := r.putBack(ctx); err != nil {
		return e, err
	}
	err := r.worker.pipeline(ctx, r.db.recordQuery(r.schema, e, func(recorded database.Event) { e = recorded }))
	if err == nil {
		r.head.mine = e.ID
	}
	return e, err
}

// putBack makes the worker's session what it was.
func (r *run) putBack(ctx context.Context) error {
	var now session
	if err := r.worker.pipeline(ctx, readSession(&now)); err != nil {
		return err
	}
	var qs []query
	for _, sql := range now.undo(&r.session) {
		qs = append(qs, query{sql: sql})
	}
	return r.worker.pipeline(ctx, qs...)
}

// Close puts the session back, or closes the connection if that fails, and ends the
// guard.
func (r *run) Close(ctx context.Context) error {
	if r.over {
		return nil
	}
	r.over = true
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelGrace)
	defer cancel()
	if r.stopWatch != nil {
		r.stopWatch()
		r.worker.rollback(ctx)
		if err := r.putBack(ctx); err != nil {
			r.worker.closeNow()
		}
	}
	r.worker.release()
	r.guard.release() // which closes it, and so ends its transaction
	return nil
}
