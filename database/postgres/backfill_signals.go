package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// The names of signals are those of the directives; sessions that wait are measured always.
const (
	signalWaits  = "lock-waits"
	signalLag    = "max-lag"
	signalSlots  = "max-slot-wal"
	signalRate   = "max-wal-rate"
	signalVacuum = "wait-for-autovacuum"
	signalFlow   = "max-flow-control"
	signalQuery  = "throttle"
)

// throttleTimeout limits the query of a throttle.
const throttleTimeout = 10 * time.Second

// Signals measures what a throttle asks for. Only the query of the user is one of a script.
func (db *Database) Signals(ctx context.Context, b database.Backfill, t migration.Throttle) (all []database.Signal, err error) {
	c, err := db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer c.giveBack()
	g := &gauge{db: db, c: c, b: b, t: t}
	if err := g.waits(ctx); err != nil {
		return nil, err
	}
	for _, m := range []struct {
		asked   bool
		name    string
		measure func(context.Context) (over bool, text string, err error)
	}{
		{t.Lag > 0, signalLag, g.lag},
		{t.SlotWAL > 0, signalSlots, g.slots},
		{t.WALRate > 0, signalRate, g.rate},
		{t.Autovacuum, signalVacuum, g.autovacuum},
		{t.FlowControl > 0, signalFlow, func(context.Context) (bool, string, error) {
			return false, "", errors.New("PostgreSQL has no flow control; only a Galera cluster has it")
		}},
	} {
		if !m.asked {
			continue
		}
		over, text, err := m.measure(ctx)
		if err != nil && (c.broken() || ctx.Err() != nil) {
			return nil, err
		}
		g.all = append(g.all, database.Signal{Name: m.name, Over: over, Text: text, Err: err})
	}
	if t.Query != "" {
		over, text, err := db.throttled(ctx, t.Query)
		if ctx.Err() != nil {
			return nil, err
		}
		g.all = append(g.all, database.Signal{Name: signalQuery, Over: over, Text: text, Err: err})
	}
	return g.all, nil
}

// gauge measures for one call.
type gauge struct {
	db  *Database
	c   *conn
	b   database.Backfill
	t   migration.Throttle
	all []database.Signal
}

// waits counts the sessions that wait for locks of the backfill's workers. A worker holds a lock on
// the table of lanes while it executes a batch. The server is asked who blocks whom only for
// sessions that wait.
func (g *gauge) waits(ctx context.Context) error {
	_, err := g.db.atBackfills(ctx, g.c, func(l location) error {
		var n, pid int64
		var app string
		err := g.c.pipeline(ctx, query{
			sql: `WITH mine AS MATERIALIZED (SELECT DISTINCT l.pid FROM pg_catalog.pg_locks l WHERE l.locktype = 'relation' AND l.relation = $1::oid AND l.granted AND l.mode = 'RowExclusiveLock'
	AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())),
waiting AS MATERIALIZED (SELECT DISTINCT l.pid FROM pg_catalog.pg_locks l WHERE NOT l.granted AND l.pid IS NOT NULL AND l.pid NOT IN (SELECT pid FROM mine) AND EXISTS (SELECT FROM mine)),
blocked AS (SELECT w.pid FROM waiting w WHERE pg_catalog.pg_blocking_pids(w.pid) && ARRAY(SELECT pid FROM mine))
SELECT (SELECT pg_catalog.count(*) FROM blocked), (SELECT pg_catalog.min(pid) FROM blocked), (SELECT application_name FROM pg_catalog.pg_stat_activity WHERE pid = (SELECT pg_catalog.min(pid) FROM blocked))`,
			args: []arg{number(l.tables[lanes].OID)}, row: into(&n, &pid, &app),
		})
		s := database.Signal{Name: signalWaits, Over: n > 0, Text: "no session waits for a lock of the backfill"}
		if n > 0 {
			who := fmt.Sprintf("pid %d", pid)
			if app != "" {
				who += ", application " + app
			}
			s.Text = fmt.Sprintf("%s for locks of the backfill (%s)", plural(n, "session waits", "sessions wait"), who)
		}
		g.all = append(g.all, s)
		return err
	})
	return err
}

func plural(n int64, one, many string) string {
	if n == 1 {
		many = one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// replica is a row of pg_stat_replication.
type replica struct {
	Name   string   `json:"name"`
	State  *string  `json:"state"` // NULL if the role may not see it
	Behind *int64   `json:"behind"`
	At     *int64   `json:"at"`
	Lag    *float64 `json:"lag"` // in seconds
}

// unknownLag is how far a replica may be behind when nothing is known yet of how long it has been.
const unknownLag = 16 << 20

// lag compares what each replica has replayed with the positions that the server had at known
// times. The server itself measures a lag only when a replica makes progress: of one that has
// stopped, it reports the last.
func (g *gauge) lag(ctx context.Context) (over bool, text string, err error) {
	var at int64
	var all []replica
	var waiting string
	err = g.c.pipeline(ctx, query{sql: "SELECT " + walPosition, row: into(&at)}, jsonInto(query{
		sql: `SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('name', coalesce(nullif(application_name, ''), pg_catalog.host(client_addr), 'pid ' || pid), 'state', state,
	'behind', pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), replay_lsn)::bigint, 'at', pg_catalog.pg_wal_lsn_diff(replay_lsn, '0/0')::bigint,
	'lag', extract(epoch FROM replay_lag)::float8) ORDER BY pid), '[]') FROM pg_catalog.pg_stat_replication WHERE state IS NULL OR state <> 'backup'`,
	}, &all), query{
		sql: `SELECT coalesce(pg_catalog.min(slot_name), '') FROM pg_catalog.pg_replication_slots WHERE slot_type = 'physical' AND NOT active AND restart_lsn IS NOT NULL`,
		row: into(&waiting),
	})
	if err != nil {
		return false, "", err
	}
	now := time.Now()
	g.db.wal.add(now, at)
	if waiting != "" {
		return false, "", fmt.Errorf("the replication slot %q has no replica: its lag is unknown", waiting)
	}
	if len(all) == 0 {
		return false, "no replica is connected", nil
	}
	text, worst := "", time.Duration(-1)
	for _, r := range all {
		if r.State == nil {
			return false, "", fmt.Errorf("this role may not see how far the replica %s is behind: make it a member of pg_monitor", r.Name)
		}
		if r.Behind == nil || r.At == nil {
			return false, "", fmt.Errorf("the replica %s does not report what it has replayed (%s)", r.Name, *r.State)
		}
		lag := time.Duration(0)
		if *r.Behind > 0 {
			known, since := g.db.wal.since(*r.At, now)
			if lag = since; r.Lag != nil {
				lag = max(lag, time.Duration(*r.Lag*float64(time.Second)))
			}
			over = over || !known && *r.Behind > unknownLag
		}
		over = over || lag > g.t.Lag
		if lag > worst {
			worst = lag
			text = fmt.Sprintf("replica %s is %s (%s) behind", r.Name, lag.Round(100*time.Millisecond), bytesText(*r.Behind))
		}
	}
	return over, text, nil
}

// walPosition is the server's position in the write-ahead log, in bytes.
const walPosition = "pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '0/0')::bigint"

// slots measures how much of the write-ahead log the slot that is the furthest behind retains.
func (g *gauge) slots(ctx context.Context) (over bool, text string, err error) {
	var name string
	var retained int64
	err = g.c.pipeline(ctx, query{
		sql: `SELECT slot_name, pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), restart_lsn)::bigint AS retained FROM pg_catalog.pg_replication_slots
WHERE restart_lsn IS NOT NULL ORDER BY retained DESC LIMIT 1`, row: into(&name, &retained),
	})
	if err != nil || name == "" {
		return false, "no replication slot retains anything", err
	}
	return retained > g.t.SlotWAL, fmt.Sprintf("the replication slot %s retains %s", name, bytesText(retained)), nil
}

// firstInterval is over which the rate is measured first.
const firstInterval = 200 * time.Millisecond

// rate measures how much of the write-ahead log the server has written since an earlier call.
func (g *gauge) rate(ctx context.Context) (over bool, text string, err error) {
	read := func() (at int64, err error) {
		return at, g.c.pipeline(ctx, query{sql: "SELECT " + walPosition, row: into(&at)})
	}
	at, err := read()
	if err != nil {
		return false, "", err
	}
	perSecond, known := g.db.wal.rate(time.Now(), at)
	if !known {
		g.db.wal.add(time.Now(), at)
		select {
		case <-time.After(firstInterval):
		case <-ctx.Done():
			return false, "", ctx.Err()
		}
		if at, err = read(); err != nil {
			return false, "", err
		}
		perSecond, _ = g.db.wal.rate(time.Now(), at)
	}
	g.db.wal.add(time.Now(), at)
	return perSecond > g.t.WALRate, fmt.Sprintf("the server writes %s of WAL a second", bytesText(perSecond)), nil
}

// autovacuum looks for a worker that holds the lock of VACUUM on the table or one of its
// partitions. Every role sees locks, and that the session of a worker has no user.
func (g *gauge) autovacuum(ctx context.Context) (over bool, what string, err error) {
	var pid int64
	err = g.c.pipeline(ctx, query{
		sql: `SELECT coalesce(pg_catalog.min(l.pid), 0) FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.granted AND l.mode = 'ShareUpdateExclusiveLock' AND a.usesysid IS NULL
AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
AND l.relation IN (SELECT pg_catalog.to_regclass($1)::oid UNION SELECT relid::oid FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass($1)))`,
		args: []arg{text(g.b.Table)}, row: into(&pid),
	})
	if err != nil || pid == 0 {
		return false, "autovacuum does not work on the table", err
	}
	return true, fmt.Sprintf("autovacuum works on %s (pid %d)", g.b.Table, pid), nil
}

// throttled executes the query of a throttle.
func (db *Database) throttled(ctx context.Context, sql string) (over bool, text string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, throttleTimeout, fmt.Errorf("the query takes longer than %s", throttleTimeout))
	defer cancel()
	rows, err := db.Query(ctx, sql)
	if err != nil {
		return false, "", err
	}
	if len(rows.Rows) != 1 || len(rows.Rows[0]) != 1 {
		return false, "", fmt.Errorf("the query returned %d rows; it must return one value", len(rows.Rows))
	}
	switch v := rows.Rows[0][0].(type) {
	case bool:
		over = v
	case int64:
		over = v != 0
	case json.Number:
		n, err := v.Float64()
		if err != nil {
			return false, "", err
		}
		over = n != 0
	default:
		return false, "", fmt.Errorf("the query returned %v, which is neither a boolean nor a number", v)
	}
	return over, fmt.Sprintf("the query returned %v", rows.Rows[0][0]), nil
}

// walTimes are positions in the server's write-ahead log at known times, oldest first.
type walTimes struct {
	mu  sync.Mutex
	all []walTime
}

type walTime struct {
	when time.Time
	at   int64
}

// mostTimes is for about a quarter of an hour, at one a second.
const mostTimes = 1000

func (w *walTimes) add(when time.Time, at int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.all); n > 0 && at < w.all[n-1].at { // another server
		w.all = nil
	}
	if len(w.all) == mostTimes {
		w.all = append(w.all[:1], w.all[2:]...) // the first tells how long it is at least
	}
	w.all = append(w.all, walTime{when, at})
}

// since returns how long ago the server was at a position, at most. If it was behind the first
// known position, that is not known, and the answer is how long it is at least.
func (w *walTimes) since(at int64, now time.Time) (known bool, ago time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := len(w.all) - 1; i >= 0; i-- {
		if w.all[i].at <= at {
			return true, now.Sub(w.all[i].when)
		}
	}
	if len(w.all) == 0 {
		return false, 0
	}
	return false, now.Sub(w.all[0].when)
}

// rateInterval is over which a rate is measured, at least.
const rateInterval = time.Second

// rate returns the bytes a second since the newest time that is long enough ago, or else since the
// oldest. It is not known without one.
func (w *walTimes) rate(now time.Time, at int64) (perSecond int64, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := len(w.all) - 1; i >= 0; i-- {
		t := w.all[i]
		ago := now.Sub(t.when)
		if i > 0 && ago < rateInterval || ago <= 0 || t.at > at {
			continue
		}
		return int64(float64(at-t.at) / ago.Seconds()), true
	}
	return 0, false
}

// bytesText returns a size as the settings of PostgreSQL have it.
func bytesText(n int64) string {
	size, unit := float64(n), "B"
	for _, u := range []string{"kB", "MB", "GB", "TB"} {
		if size < 1024 {
			break
		}
		size, unit = size/1024, u
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", size), ".0") + " " + unit
}
