package hostile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// backfillTexts are backfills by keys of several types, and by blocks. Their statements look up
// nothing.
var backfillTexts = []string{
	"-- whimbrel: backfill fills.one\nUPDATE /*theirs*/ fills.one SET n = 1 WHERE id OPERATOR(pg_catalog.>=) :first AND id OPERATOR(pg_catalog.<=) :last",
	"-- whimbrel: backfill fills.two\nUPDATE /*theirs*/ fills.two SET n = 1 WHERE ROW(a, b) OPERATOR(pg_catalog.>=) ROW(:first) AND ROW(a, b) OPERATOR(pg_catalog.<=) ROW(:last)",
	"-- whimbrel: backfill fills.bare\n-- whimbrel: check SELECT /*theirs*/ 0\nUPDATE /*theirs*/ fills.bare SET n = 1 WHERE ctid OPERATOR(pg_catalog.>=) :first AND ctid OPERATOR(pg_catalog.<=) :last",
}

// backfills does all that the driver can do with backfills.
func (p *play) backfills(ctx context.Context, db database.Database) {
	c := connect(p.T, p.url)
	p.exec(c, `CREATE /*theirs*/ SCHEMA fills; CREATE /*theirs*/ TABLE fills.one (id int PRIMARY KEY, n int); INSERT /*theirs*/ INTO fills.one SELECT i FROM pg_catalog.generate_series(1, 30) i;
CREATE /*theirs*/ TABLE fills.two (a pg_catalog.text, b pg_catalog.timestamptz, n int, PRIMARY KEY (a, b)); INSERT /*theirs*/ INTO fills.two SELECT 'x', pg_catalog.to_timestamp(i) FROM pg_catalog.generate_series(1, 30) i;
CREATE /*theirs*/ TABLE fills.bare (id int, n int); INSERT /*theirs*/ INTO fills.bare SELECT i FROM pg_catalog.generate_series(1, 30) i;`)
	var scripts []*migration.Script
	for i, text := range backfillTexts {
		s, err := migration.ParseBackfill(fmt.Sprintf("%d_fill.backfill.sql", i+1), text, sqltext.PostgreSQL)
		p.check("ParseBackfill", err)
		scripts = append(scripts, s)
	}
	scripts = append(scripts, postgres.BackfillFunc("fill", migration.Backfill{Table: "fills.one"}, func(ctx context.Context, tx pgx.Tx, first, last database.Key) error {
		_, err := tx.Exec(ctx, "SELECT /*theirs*/ 1", pgx.QueryExecModeSimpleProtocol)
		return err
	}))
	for i, s := range scripts {
		p.backfill(ctx, db.(interface {
			database.Database
			database.Backfiller
		}), int64(i+1), s)
	}
}

func (p *play) backfill(ctx context.Context, db interface {
	database.Database
	database.Backfiller
}, version int64, s *migration.Script,
) {
	id := database.BackfillID{Set: "fills", Version: version}
	if s.Func() == nil {
		_, err := db.CheckBackfill(ctx, s)
		if p.check("CheckBackfill", err); err != nil { // PostgreSQL 13 has no scan by blocks
			p.problems = p.problems[:len(p.problems)-1]
			return
		}
	}
	inTx := func(what string, do func(b database.BackfillTx) error) {
		b, _, err := db.Begin(ctx, id.Set, longer)
		if err == nil {
			defer b.Rollback(ctx)
			if err = do(b.(database.BackfillTx)); err == nil {
				_, err = b.Commit(ctx)
			}
		}
		p.check(what, err)
	}
	inTx("StartBackfill", func(b database.BackfillTx) error {
		return b.StartBackfill(ctx, database.BackfillStart{Version: version, Name: "fill", Script: s, Limits: database.LimitsOf(s.Backfill)})
	})
	change := func(a database.BackfillAction, limits database.BackfillLimits) {
		_, err := db.ChangeBackfill(ctx, database.BackfillChange{BackfillID: id, Action: a, Limits: limits, Why: "test"})
		p.check("ChangeBackfill "+string(a), err)
	}
	for _, failure := range []*database.LaneFailure{{Err: "why", Attempts: 1, Batch: 7}, nil} {
		b, w, err := db.ClaimLane(ctx, database.LaneClaim{BackfillID: id, Script: s, Worker: "w", Lease: time.Hour, LockTimeout: time.Minute})
		if err == nil && w == nil && failure == nil && b.Claim().Why == database.ClaimAllDone {
			break // the first batch had all rows
		}
		if err != nil || w == nil {
			p.report("ClaimLane: %v, %+v", err, b)
			return
		}
		r, err := w.Batch(ctx, 10)
		p.check("Batch", err)
		for failure == nil && err == nil && !r.Done {
			r, err = w.Batch(ctx, 12)
			p.check("Batch", err)
		}
		p.check("Close", w.Close(ctx, failure))
		_, err = db.Signals(ctx, b, migration.Throttle{
			Lag: time.Hour, SlotWAL: 1 << 40, WALRate: 1 << 40, Autovacuum: true, Query: "SELECT /*theirs*/ true",
		})
		p.check("Signals", err)
	}
	limits := database.LimitsOf(s.Backfill)
	limits.Batch = 5
	change(database.ActionThrottled, limits)
	change(database.ActionSet, limits)
	change(database.ActionPause, limits)
	change(database.ActionResume, limits)
	change(database.ActionFail, limits)
	change(database.ActionRetry, limits)
	inTx("FinishBackfill", func(b database.BackfillTx) error { return b.FinishBackfill(ctx, version) })
	_, err := db.Backfills(ctx, database.BackfillQuery{Set: id.Set, Version: &version})
	p.check("Backfills", err)
	inTx("EndBackfill", func(b database.BackfillTx) error { return b.EndBackfill(ctx, version) })
	_, _, err = db.ClaimLane(ctx, database.LaneClaim{BackfillID: id, Script: s, Worker: "w", Lease: time.Hour})
	if !errors.Is(err, database.ErrNoBackfill) {
		p.report("ClaimLane of none: %v", err)
	}
}
