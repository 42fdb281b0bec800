package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
)

// Backfills reads the backfills in one statement, so as of one moment.
func (db *Database) Backfills(ctx context.Context, q database.BackfillQuery) (all []database.Backfill, err error) {
	c, err := db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer c.giveBack()
	where, args := "true", []arg(nil)
	if q.Set != "" {
		args = append(args, keptAsASCII(q.Set))
		where += fmt.Sprintf(" AND b.set_name = $%d", len(args))
	}
	if q.Version != nil {
		args = append(args, number(*q.Version))
		where += fmt.Sprintf(" AND b.version = $%d", len(args))
	}
	if q.Unfinished {
		where += " AND b.state <> 'done'"
	}
	_, err = db.atBackfills(ctx, c, func(l location) error {
		return c.pipeline(ctx, db.backfillsQuery(l, where, &all, args...))
	})
	return all, err
}

// selected are the condition and the parameters for one backfill.
const selected = "b.set_name = $1 AND b.version = $2"

func selectedBy(id database.BackfillID) []arg { return []arg{keptAsASCII(id.Set), number(id.Version)} }

// lockBackfill reads a backfill, and locks its row until the transaction ends.
func (db *Database) lockBackfill(ctx context.Context, c *conn, l location, id database.BackfillID, before ...query) (*database.Backfill, error) {
	var all []database.Backfill
	queries := append(before, query{
		sql: "SELECT FROM " + l.tables[backfills].full() + " b WHERE " + selected + " FOR UPDATE", args: selectedBy(id),
	}, db.backfillsQuery(l, selected, &all, selectedBy(id)...))
	if err := c.pipeline(ctx, queries...); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, errNoBackfill(id)
	}
	return &all[0], nil
}

func errNoBackfill(id database.BackfillID) error {
	return fmt.Errorf("%w: version %d of set %q", database.ErrNoBackfill, id.Version, id.Set)
}

// ChangeBackfill changes the backfill under a lock on its row.
func (db *Database) ChangeBackfill(ctx context.Context, change database.BackfillChange) (b database.Backfill, err error) {
	c, err := db.acquire(ctx)
	if err != nil {
		return b, err
	}
	defer c.giveBack()
	defer c.rollback()
	have, err := db.atBackfills(ctx, c, func(l location) error {
		b, err = db.changeBackfill(ctx, c, l, change)
		return db.busy(ctx, c, l, change.Set, 0, err)
	})
	if err == nil && !have {
		err = errNoBackfill(change.BackfillID)
	}
	return b, err
}

func (db *Database) changeBackfill(ctx context.Context, c *conn, l location, change database.BackfillChange) (none database.Backfill, err error) {
	was, err := db.lockBackfill(ctx, c, l, change.BackfillID, append(l.holdBackfills(history), c.learnServer())...)
	if err == nil {
		err = db.checkServer(c, true)
	}
	if err != nil {
		return none, err
	}
	e, err := was.Change(change)
	if err != nil {
		return none, err
	}
	if !e.Changes {
		return e.After, nil
	}
	b := e.After
	if change.Action == database.ActionPass {
		if b.Last, err = db.lastKey(ctx, c, b); err != nil {
			return none, err
		}
	}
	if change.Action == database.ActionCancel {
		if err := db.dropSync(ctx, c, b.BackfillID, b.Table); err != nil {
			return none, err
		}
	}
	queries := append(db.storeBackfill(l, &b), db.storeLanes(l, was, &b)...)
	if e.Remark != "" {
		queries = append(queries, db.recordQuery(l.schema, change.Entry(b, e.Remark), sinceBegin, nil))
	}
	_, err = commit(ctx, c, queries, func(pg *pgconn.PgError) error { return ownError("COMMIT", pg) })
	if err = db.unknownCommit(c, err); err != nil {
		return none, err
	}
	return b, nil
}

// lastKey looks up the last key that a backfill's table has.
func (db *Database) lastKey(ctx context.Context, c *conn, b database.Backfill) (last database.Key, err error) {
	k, err := planOf(ctx, c, b)
	if err != nil {
		return nil, err
	}
	return last, c.pipeline(ctx, readKeys(0), k.endQuery(&last))
}

// planOf returns how the rows of a stored backfill are taken.
func planOf(ctx context.Context, c *conn, b database.Backfill) (*keyPlan, error) {
	info, err := lookUp(ctx, c, b.Table)
	if err != nil {
		return nil, err
	}
	if info == nil {
		return nil, fmt.Errorf("%w: %s", database.ErrNoTable, b.Table)
	}
	k, wrong := planFor(info, b.Key)
	if wrong != "" {
		return nil, fmt.Errorf("the backfill can't continue: %s", wrong)
	}
	return k, nil
}

// storeBackfill stores what a change can change of a backfill.
func (db *Database) storeBackfill(l location, b *database.Backfill) []query {
	n := b.BackfillLimits
	return []query{{
		sql: "UPDATE " + l.tables[backfills].full() + ` AS b SET state = $3, detached = $4, batch = $5, target_us = $6, parallel = $7, pause_us = $8, timeout_us = $9, attempts = $10,
	pass = $11, head_key = $12::text[], last_key = $13::text[], throttled_by = $14, throttled_at = $15, error = $16,
	finished_at = CASE WHEN $3 IN ('done', 'failed', 'cancelled') THEN coalesce(finished_at, pg_catalog.clock_timestamp()) END, updated_at = pg_catalog.clock_timestamp() WHERE ` + selected,
		args: append(selectedBy(b.BackfillID), text(string(b.State)), boolean(b.Detached), number(int64(n.Batch)), number(n.Target.Microseconds()),
			number(int64(n.Parallel)), number(n.Pause.Microseconds()), number(n.Timeout.Microseconds()), number(int64(n.Attempts)),
			number(int64(b.Pass)), key(b.Head), key(b.Last), db.kept(b.ThrottledBy), moment(b.ThrottledAt), db.kept(b.Error)),
	}}
}

// storeLanes stores the lanes that a change has changed.
func (db *Database) storeLanes(l location, was, b *database.Backfill) (queries []query) {
	for i, lane := range b.Lanes {
		if old := was.Lanes[i]; lane.Failed == old.Failed && lane.Attempts == old.Attempts && lane.NotBefore.Equal(old.NotBefore) {
			continue
		}
		queries = append(queries, query{
			sql:  "UPDATE " + l.tables[lanes].full() + " AS b SET failed = $4, attempts = $5, not_before = $6, updated_at = pg_catalog.clock_timestamp() WHERE " + selected + " AND id = $3",
			args: append(selectedBy(b.BackfillID), number(lane.ID), boolean(lane.Failed), number(int64(lane.Attempts)), moment(lane.NotBefore)),
		})
	}
	return queries
}

// StartBackfill stores a backfill, and creates the tables if they are missing.
func (b *transaction) StartBackfill(ctx context.Context, s database.BackfillStart) error {
	ctx, leave, err := b.Enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := b.flush(ctx); err != nil {
		return err
	}
	k, err := checkTarget(ctx, b.c, b.db, s.Script)
	if err != nil {
		return err
	}
	if err := b.makeBackfillTables(ctx); err != nil {
		return err
	}
	// a row that is written after the last key was read must be seen by the triggers
	if err := b.createSync(ctx, s, k); err != nil {
		return err
	}
	var last database.Key
	// the settings for reading keys must not apply to the scripts that follow
	err = b.c.pipeline(ctx, command("SAVEPOINT whimbrel_keys"), readKeys(0), k.endQuery(&last),
		command("ROLLBACK TO SAVEPOINT whimbrel_keys"), command("RELEASE SAVEPOINT whimbrel_keys"))
	if err != nil {
		return err
	}
	n := s.Limits
	id := database.BackfillID{Set: b.set, Version: s.Version}
	return b.add(ctx, append(b.removeBackfill(id), query{
		sql: "INSERT INTO " + table(b.schema, b.db.names.Backfills) + ` (set_name, version, name, table_name, key_columns, state, detached, batch, target_us, parallel, pause_us, timeout_us, attempts,
	last_key, rows_estimated, started_at, updated_at)
VALUES ($1, $2, $3, $4, $5::text[], 'running', $6, $7, $8, $9, $10, $11, $12, $13::text[], $14, pg_catalog.clock_timestamp(), pg_catalog.clock_timestamp())`,
		args: append(selectedBy(id), b.db.kept(s.Name), text(k.shown), array(k.columns), boolean(s.Detached), number(int64(n.Batch)), number(n.Target.Microseconds()),
			number(int64(n.Parallel)), number(n.Pause.Microseconds()), number(n.Timeout.Microseconds()), number(int64(n.Attempts)), key(last), number(k.rows)),
	})...)
}

// makeBackfillTables locks the tables of backfills, or creates them.
func (b *transaction) makeBackfillTables(ctx context.Context) error {
	have, err := b.haveBackfills(ctx)
	if err != nil || have {
		return err
	}
	if err := b.lockMetadata(ctx); err != nil { // another set may create them now
		return err
	}
	if have, err = b.haveBackfills(ctx); err != nil || have {
		return err
	}
	return b.c.pipeline(ctx, makeTable(backfillsTable, table(b.schema, b.db.names.Backfills)), makeTable(lanesTable, table(b.schema, b.db.names.Lanes)))
}

// haveBackfills reports whether the tables of backfills exist. It locks and checks them.
func (b *transaction) haveBackfills(ctx context.Context) (bool, error) {
	f := &finder{db: b.db}
	if err := b.c.pipeline(ctx, f.queries(false)...); err != nil {
		return false, err
	}
	l := f.at(b.schema)
	if !l.withBackfills() {
		for _, r := range []role{backfills, lanes} {
			if l.tables[r].OID != 0 {
				return false, &database.TablesError{
					Problem: database.TablesMissing, Table: l.tables[r].full(), Role: f.user,
					Msg:  fmt.Sprintf("of Whimbrel's tables %q and %q, only one exists", b.db.names.Backfills, b.db.names.Lanes),
					Hint: "restore the other one from a backup, or drop this one",
				}
			}
		}
		return false, nil
	}
	for _, r := range []role{backfills, lanes} {
		if err := f.usableTable(l.tables[r]); err != nil {
			return false, err
		}
	}
	_, lock := l.lockTexts(backfills, lanes)
	return true, b.c.pipeline(ctx,
		query{sql: lock, path: callers, quiet: true, fail: func(pg *pgconn.PgError) error { return l.explain(pg, backfills, lanes) }},
		guardQuery(l.tables[backfills], l.tables[lanes]))
}

// removeBackfill removes a backfill and its lanes. It waits for the batches that are executed now.
func (b *transaction) removeBackfill(id database.BackfillID) (queries []query) {
	for _, name := range []string{b.db.names.Backfills, b.db.names.Lanes} {
		queries = append(queries, query{sql: "DELETE FROM " + table(b.schema, name) + " AS b WHERE " + selected, args: selectedBy(id)})
	}
	return queries
}

// FinishBackfill makes a backfill done.
func (b *transaction) FinishBackfill(ctx context.Context, version int64) error {
	ctx, leave, err := b.Enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := b.flush(ctx); err != nil {
		return err
	}
	id := database.BackfillID{Set: b.set, Version: version}
	have, err := b.haveBackfills(ctx)
	if err != nil {
		return err
	}
	if !have {
		return errNoBackfill(id)
	}
	l := b.own
	l.tables[backfills] = ownTable{Schema: b.schema, Name: b.db.names.Backfills}
	l.tables[lanes] = ownTable{Schema: b.schema, Name: b.db.names.Lanes}
	was, err := b.db.lockBackfill(ctx, b.c, l, id)
	if err != nil {
		return err
	}
	switch {
	case was.State != database.BackfillRunning:
		return fmt.Errorf("%w: it is %s", database.ErrBackfillStopped, was.State)
	case len(was.Lanes) > 0:
		return fmt.Errorf("%w: it has lanes that are not done", database.ErrBackfillStopped)
	case !was.AllCut():
		return fmt.Errorf("%w: it has rows that no lane has", database.ErrBackfillStopped)
	}
	if err := b.db.dropSync(ctx, b.c, id, was.Table); err != nil {
		return err
	}
	was.State = database.BackfillDone
	return b.add(ctx, append(b.db.foldLanes(l, id), b.db.storeBackfill(l, was)...)...)
}

// foldLanes adds the numbers of the lanes that are done to the backfill, and removes these lanes.
func (db *Database) foldLanes(l location, id database.BackfillID) []query {
	return []query{{
		sql: `WITH gone AS (DELETE FROM ` + l.tables[lanes].full() + ` AS b WHERE ` + selected + ` AND b.done RETURNING b.rows_done, b.batches),
total AS (SELECT coalesce(pg_catalog.sum(rows_done), 0)::bigint AS rows_done, coalesce(pg_catalog.sum(batches), 0)::bigint AS batches FROM gone)
UPDATE ` + l.tables[backfills].full() + ` AS b SET rows_done = b.rows_done + total.rows_done, batches = b.batches + total.batches FROM total WHERE ` + selected,
		args: selectedBy(id),
	}}
}

// EndBackfill removes a backfill.
func (b *transaction) EndBackfill(ctx context.Context, version int64) error {
	ctx, leave, err := b.Enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := b.flush(ctx); err != nil {
		return err
	}
	have, err := b.haveBackfills(ctx)
	if err != nil || !have {
		return err
	}
	id := database.BackfillID{Set: b.set, Version: version}
	if err := b.dropSyncOf(ctx, id); err != nil {
		return err
	}
	return b.add(ctx, b.removeBackfill(id)...)
}

// endBackfills removes all backfills of the sets, for a reset.
func (r *resetter) endBackfills(ctx context.Context) error {
	have, err := r.haveBackfills(ctx)
	if err != nil || !have {
		return err
	}
	sets := slices.Clone(r.out.Sets)
	for i, set := range sets {
		sets[i] = *keptAsASCII(set)
	}
	var queries []query
	for _, name := range []string{r.db.names.Backfills, r.db.names.Lanes} {
		queries = append(queries, query{sql: "DELETE FROM " + table(r.schema, name) + " WHERE set_name = ANY ($1::text[])", args: []arg{array(sets)}})
	}
	return r.c.pipeline(ctx, queries...)
}
