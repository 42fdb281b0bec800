package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
)

// ClaimLane leases a lane under a lock on the backfill's row. The lane keeps the connection.
func (db *Database) ClaimLane(ctx context.Context, claim database.LaneClaim) (b database.Backfill, work database.LaneWork, err error) {
	c, err := db.acquire(ctx)
	if err != nil {
		return b, nil, err
	}
	var w *laneWork
	have, err := db.atBackfills(ctx, c, func(l location) error {
		b, w, err = db.claim(ctx, c, l, claim)
		return db.busy(ctx, c, l, claim.Set, 0, err)
	})
	if err == nil && !have {
		err = errNoBackfill(claim.BackfillID)
	}
	if err != nil || w == nil {
		c.rollback()
		c.giveBack()
		return b, nil, err
	}
	if err := db.opened(&w.Held, w.end, c); err != nil {
		return b, nil, err
	}
	return b, w, nil
}

// claim leases a lane; nil if there is none to lease. It first looks without a lock, and finds out
// what takes longer, so that the backfill's row is locked for one round trip only.
func (db *Database) claim(ctx context.Context, c *conn, l location, claim database.LaneClaim) (b database.Backfill, w *laneWork, err error) {
	w = &laneWork{db: db, c: c, l: l, claim: claim, busy: map[int64]bool{}}
	b, err = w.look(ctx)
	for err == nil && w.lane.Token == 0 {
		next := b.Claim()
		if next.Why != "" {
			return b, nil, nil
		}
		if err = w.prepare(ctx, &b, next.Cut); err == nil {
			b, err = w.lease(ctx)
			c.rollback()
		}
	}
	if err != nil {
		return b, nil, err
	}
	return b, w, nil
}

// look reads the backfill without a lock.
func (w *laneWork) look(ctx context.Context) (none database.Backfill, err error) {
	frozen := false
	var all []database.Backfill
	err = w.c.pipeline(ctx, w.learn(),
		query{sql: "SELECT " + w.db.frozenSQL(w.l), row: into(&frozen)},
		w.db.backfillsQuery(w.l, selected, &all, selectedBy(w.claim.BackfillID)...))
	if err == nil {
		w.c.attended()
		err = w.db.checkServer(w.c, true)
	}
	switch {
	case err != nil:
		return none, err
	case len(all) == 0:
		return none, errNoBackfill(w.claim.BackfillID)
	case frozen:
		return all[0], fmt.Errorf("%w: the database is frozen", database.ErrBackfillStopped)
	}
	return all[0], nil
}

// lease takes or cuts a lane under a lock on the backfill's row, and commits that. The lane has no
// token if a batch of the lane that seemed free is being executed: then the caller tries again.
func (w *laneWork) lease(ctx context.Context) (database.Backfill, error) {
	b, err := w.db.lockBackfill(ctx, w.c, w.l, w.claim.BackfillID, w.l.holdBackfills()...)
	if err != nil {
		return database.Backfill{}, err
	}
	for i := range b.Lanes {
		if lane := &b.Lanes[i]; w.busy[lane.ID] {
			lane.Worker, lane.LeasedUntil = "another", b.Now.Add(w.claim.Lease)
		}
	}
	var queries []query
	switch next := b.Claim(); {
	case next.Why != "":
		return *b, nil
	case next.Lane >= 0:
		w.busy[b.Lanes[next.Lane].ID] = true // in case it is
		queries = w.take(b.Lanes[next.Lane].ID)
	default:
		if queries, err = w.cut(ctx, b, next.Cut); err != nil {
			return *b, err
		}
	}
	_, err = commit(ctx, w.c, queries, func(pg *pgconn.PgError) error { return ownError("COMMIT", pg) })
	if err = w.db.unknownCommit(w.c, err); err != nil {
		w.lane = database.Lane{}
		return *b, err
	}
	for i := range b.Lanes {
		if b.Lanes[i].ID == w.lane.ID {
			b.Lanes[i] = w.lane
			return *b, nil
		}
	}
	if w.lane.Token != 0 {
		b.Lanes = append(b.Lanes, w.lane)
	}
	return *b, nil
}

// frozenSQL is an expression that is true while the database is frozen. It looks up nothing in the
// search path.
func (db *Database) frozenSQL(l location) string {
	return "EXISTS (SELECT FROM " + l.tables[settings].full() + " AS f WHERE f.name OPERATOR(pg_catalog.=) '" + database.Frozen +
		"' AND f.value OPERATOR(pg_catalog.<>) 'false' AND (f.until IS NULL OR f.until OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()))"
}

// learn returns the query with which the claim learns about the server and the session.
func (w *laneWork) learn() query {
	c := w.c
	sql := "SELECT pg_catalog.pg_backend_pid(), " + aboutServer
	attends := c.ours() && !c.attends()
	if attends {
		sql += ", " + c.noticeDeadClient(forTheSession)
	}
	return query{sql: sql, path: callers, quiet: true, row: func(r *row) error {
		c.backend = r.number()
		c.prepareFromNowOn(c.backend)
		c.attending(attends)
		c.server = r.server()
		return r.err
	}}
}

// prepare finds out how rows are taken and what is executed for them, once, and where a new lane
// would end.
func (w *laneWork) prepare(ctx context.Context, b *database.Backfill, cut int) (err error) {
	if w.key != nil {
		return nil
	}
	k, err := planOf(ctx, w.c, *b)
	if err != nil {
		return err
	}
	if fn := w.claim.Script.Func(); fn != nil {
		var ok bool
		if w.fn, ok = fn.(batchFunction); !ok {
			return fmt.Errorf("%s: the function is a %T; PostgreSQL needs one created by postgres.BackfillFunc", w.claim.Script.File, fn)
		}
	}
	if w.body, err = bodyOf(w.claim.Script, k); err != nil {
		return err
	}
	w.key, w.limits = k, b.BackfillLimits
	if cut == 0 {
		return nil
	}
	w.head, w.tail = b.Head, b.Last
	return w.c.pipeline(ctx, readKeys(0), k.boundsQuery(b.Head, b.Last, cut, &w.found))
}

// lease are the columns that a claim sets. $1 and $2 are the identity of the backfill, $3 the
// worker and $4 the lease. A token is also a time, so that it is never used again, not even by a
// lane of the same number after a rollback.
const lease = `worker = $3, leased_until = pg_catalog.clock_timestamp() + $4::interval, updated_at = pg_catalog.clock_timestamp(),
	token = greatest(token + 1, (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::bigint)`

// laneList are the columns that readLane reads, and laneFormats their formats.
const laneList = "id, after_key, last_key, at_key, worker, leased_until, token, attempts, error, not_before, failed, batch, rows_done, batches"

var laneFormats = [14]int16{5: 1, 9: 1}

// take leases a lane that was free a moment ago. If a batch of it is being executed, or somebody
// has extended the lease meanwhile, it leaves the lane to its worker.
func (w *laneWork) take(id int64) []query {
	lanes := w.l.tables[lanes].full()
	return []query{{
		sql: "UPDATE " + lanes + " AS b SET " + lease + " WHERE " + selected + " AND id = (SELECT b.id FROM " + lanes + " AS b WHERE " + selected + ` AND b.id = $5
	AND (b.worker = '' OR b.leased_until IS NULL OR b.leased_until <= pg_catalog.clock_timestamp()) AND NOT b.done AND NOT b.failed FOR UPDATE SKIP LOCKED)
RETURNING ` + laneList,
		args: append(w.identity(), number(id)), formats: laneFormats[:], row: w.readLane,
	}}
}

func (w *laneWork) readLane(r *row) error {
	w.lane = readLane(r)
	return r.err
}

func (w *laneWork) identity() []arg {
	return append(selectedBy(w.claim.BackfillID), w.db.kept(w.claim.Worker), interval(w.claim.Lease))
}

// cut leases a new lane of so many rows from the head of the backfill.
func (w *laneWork) cut(ctx context.Context, b *database.Backfill, rows int) ([]query, error) {
	found := w.found
	if found.asked != rows || !slices.Equal(w.head, b.Head) || !slices.Equal(w.tail, b.Last) { // another worker was faster
		found = bounds{}
		if err := w.c.pipeline(ctx, readKeys(0), w.key.boundsQuery(b.Head, b.Last, rows, &found)); err != nil {
			return nil, err
		}
	}
	after := b.Head
	b.Head = b.Last
	if w.key.more(found, rows, b.Last) {
		b.Head = found.last
	}
	queries := w.db.foldLanes(w.l, b.BackfillID)
	if found.rows > 0 || w.key.byBlocks() {
		queries = append(queries, query{
			sql: "INSERT INTO " + w.l.tables[lanes].full() + ` AS b (set_name, version, id, after_key, last_key, at_key, worker, leased_until, token, updated_at)
SELECT $1, $2, (SELECT coalesce(pg_catalog.max(b.id), 0) + 1 FROM ` + w.l.tables[lanes].full() + ` AS b WHERE ` + selected + `), $5::text[], $6::text[], $5::text[], $3,
	pg_catalog.clock_timestamp() + $4::interval, (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::bigint, pg_catalog.clock_timestamp()
RETURNING ` + laneList,
			args: append(w.identity(), key(after), key(b.Head)), formats: laneFormats[:], row: w.readLane,
		})
	}
	return append(queries, query{
		sql:  "UPDATE " + w.l.tables[backfills].full() + " AS b SET head_key = $3::text[], updated_at = pg_catalog.clock_timestamp() WHERE " + selected,
		args: append(selectedBy(b.BackfillID), key(b.Head)),
	}), nil
}

// more reports whether there are keys behind those that were found, up to last.
func (k *keyPlan) more(found bounds, asked int, last database.Key) bool {
	if k.byBlocks() {
		return found.last != nil && found.last[0] != last[0]
	}
	return found.rows == int64(asked) && !slices.Equal(found.last, last)
}
