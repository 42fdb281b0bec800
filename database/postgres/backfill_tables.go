package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
)

// backfillsTable creates the table of backfills. The first process that starts one creates it,
// together with that of the lanes.
const backfillsTable = `CREATE TABLE %s (
	set_name text NOT NULL,
	version bigint NOT NULL,
	name text NOT NULL,
	table_name text NOT NULL,
	key_columns text[] NOT NULL,
	state text NOT NULL,
	detached boolean NOT NULL,
	batch bigint NOT NULL,
	target_us bigint NOT NULL,
	parallel bigint NOT NULL,
	pause_us bigint NOT NULL,
	timeout_us bigint NOT NULL,
	attempts bigint NOT NULL,
	pass bigint NOT NULL DEFAULT 1,
	head_key text[],
	last_key text[],
	rows_estimated bigint NOT NULL DEFAULT 0,
	rows_done bigint NOT NULL DEFAULT 0,
	batches bigint NOT NULL DEFAULT 0,
	throttled_by text NOT NULL DEFAULT '',
	throttled_at timestamptz,
	error text NOT NULL DEFAULT '',
	started_at timestamptz NOT NULL,
	updated_at timestamptz NOT NULL,
	finished_at timestamptz,
	PRIMARY KEY (set_name, version)
)`

// lanesTable creates the table of lanes. Those that are done remain until the next claim adds their
// numbers to the backfill: a batch must not wait for the backfill's row.
const lanesTable = `CREATE TABLE %s (
	set_name text NOT NULL,
	version bigint NOT NULL,
	id bigint NOT NULL,
	after_key text[],
	last_key text[],
	at_key text[],
	worker text NOT NULL DEFAULT '',
	leased_until timestamptz,
	token bigint NOT NULL DEFAULT 0,
	attempts bigint NOT NULL DEFAULT 0,
	error text NOT NULL DEFAULT '',
	not_before timestamptz,
	failed boolean NOT NULL DEFAULT false,
	done boolean NOT NULL DEFAULT false,
	batch bigint NOT NULL DEFAULT 0,
	rows_done bigint NOT NULL DEFAULT 0,
	batches bigint NOT NULL DEFAULT 0,
	updated_at timestamptz NOT NULL,
	PRIMARY KEY (set_name, version, id)
)`

// withBackfills reports whether the location has the tables of backfills.
func (l location) withBackfills() bool {
	return l.tables[backfills].OID != 0 && l.tables[lanes].OID != 0
}

// locateBackfills returns the location of the tables, and whether they include those of backfills.
// fresh asks the server in any case.
func (db *Database) locateBackfills(ctx context.Context, c *conn, fresh bool) (location, bool, error) {
	if l := db.located(); !fresh && l.withBackfills() && db.usableBackfills(l) == nil {
		return l, true, nil
	}
	f := &finder{db: db}
	if err := c.pipeline(ctx, f.queries(false)...); err != nil {
		return location{}, false, err
	}
	l, err := f.decide()
	if err != nil || !l.made() {
		return l, false, err
	}
	db.learn(l)
	if !l.withBackfills() {
		return l, false, nil
	}
	err = db.usableBackfills(l)
	return l, err == nil, err
}

// usableBackfills returns an error if the tables of backfills can't be used as they are.
func (db *Database) usableBackfills(l location) error {
	f := &finder{db: db, database: l.database, user: l.user, relations: l.tables[1:]}
	return cmp.Or(f.usableTable(l.tables[backfills]), f.usableTable(l.tables[lanes]))
}

// atBackfills calls do with the location of the tables, and once more if they have moved meanwhile.
// It reports whether the target has the tables.
func (db *Database) atBackfills(ctx context.Context, c *conn, do func(location) error) (bool, error) {
	for try := 1; ; try++ {
		l, have, err := db.locateBackfills(ctx, c, try > 1)
		if err != nil || !have {
			return false, err
		}
		err = do(l)
		if moved := errors.Is(err, errMoved) || missingTable(err); !moved || try == 2 {
			return true, err
		}
		c.rollback()
	}
}

// idleClaim is how long a process can be suspended while it has locked a backfill's row, which
// others need. It does nothing meanwhile but decide.
const idleClaim = "5s"

// holdBackfills begins a transaction that writes the tables of backfills, and the others that are
// named. It sees everything that was committed before each of its queries.
func (l location) holdBackfills(write ...role) []query {
	write = append(write, backfills, lanes)
	settled, own := l.lockTexts(write...)
	fail := func(pg *pgconn.PgError) error { return l.explain(pg, write...) }
	return []query{
		command("BEGIN ISOLATION LEVEL READ COMMITTED"),
		{sql: settled, path: callers, quiet: true, often: true, fail: fail},
		{sql: own, path: callers, quiet: true, often: true, fail: fail},
		guardQuery(l.tables[history], l.tables[settings], l.tables[backfills], l.tables[lanes]),
		// a client that is suspended must not keep the rows locked
		command("SET LOCAL idle_in_transaction_session_timeout = '" + idleClaim + "'"),
	}
}

// backfillColumns are read by backfillReader. %[1]s are the names of the backfills, lanes and
// history.
const backfillColumns = `b.set_name, b.version, b.name, (SELECT h.id FROM %[3]s h WHERE h.set_name = b.set_name AND h.version = b.version AND h.direction = 'start' ORDER BY h.id DESC LIMIT 1),
	b.table_name, b.key_columns, b.state, b.detached, b.batch, b.target_us, b.parallel, b.pause_us, b.timeout_us, b.attempts, b.pass, b.head_key, b.last_key, b.rows_estimated,
	b.rows_done + coalesce(s.rows_done, 0), b.batches + coalesce(s.batches, 0), b.throttled_by, b.throttled_at, b.error, pg_catalog.clock_timestamp(), b.started_at,
	greatest(b.updated_at, s.updated_at), b.finished_at,
	l.id, l.after_key, l.last_key, l.at_key, l.worker, l.leased_until, l.token, l.attempts, l.error, l.not_before, l.failed, l.batch, l.rows_done, l.batches`

// backfillFormats are the formats of backfillColumns: times are binary.
var backfillFormats = [41]int16{21: 1, 23: 1, 24: 1, 25: 1, 26: 1, 32: 1, 36: 1}

// backfillsQuery reads the backfills that a condition on b selects, with their lanes.
func (db *Database) backfillsQuery(l location, where string, into *[]database.Backfill, args ...arg) query {
	sql := fmt.Sprintf(`SELECT `+backfillColumns+`
FROM %[1]s b
LEFT JOIN LATERAL (SELECT pg_catalog.sum(x.rows_done)::bigint AS rows_done, pg_catalog.sum(x.batches)::bigint AS batches, pg_catalog.max(x.updated_at) AS updated_at
	FROM %[2]s x WHERE x.set_name = b.set_name AND x.version = b.version) s ON true
LEFT JOIN %[2]s l ON l.set_name = b.set_name AND l.version = b.version AND NOT l.done
WHERE `+where+` ORDER BY b.set_name COLLATE "C", b.version, l.id`, l.tables[backfills].full(), l.tables[lanes].full(), l.tables[history].full())
	*into = nil
	return query{sql: sql, args: args, formats: backfillFormats[:], row: func(r *row) error { return readBackfill(r, into) }}
}

// readBackfill reads a row of backfillsQuery: a backfill, or another lane of the last one.
func readBackfill(r *row, all *[]database.Backfill) error {
	var b database.Backfill
	b.Set, b.Version, b.Name, b.EntryID, b.Table = r.kept(), r.number(), r.kept(), r.number(), r.text()
	b.Key, b.State, b.Detached = r.array(), database.BackfillState(r.text()), r.boolean()
	b.BackfillLimits = database.BackfillLimits{
		Batch: int(r.number()), Target: microseconds(r.number()), Parallel: int(r.number()), Pause: microseconds(r.number()),
		Timeout: microseconds(r.number()), Attempts: int(r.number()),
	}
	b.Pass, b.Head, b.Last = int(r.number()), r.array(), r.array()
	b.RowsEstimated, b.RowsDone, b.Batches = r.number(), r.number(), r.number()
	b.ThrottledBy, b.ThrottledAt, b.Error, b.Now = r.kept(), r.time(), r.kept(), r.time()
	b.StartedAt, b.UpdatedAt, b.FinishedAt = r.time(), r.time(), r.time()
	n := len(*all)
	if n == 0 || (*all)[n-1].BackfillID != b.BackfillID {
		*all = append(*all, b)
		n++
	}
	if r.values[r.next] == nil || r.err != nil { // it has no lane
		return r.err
	}
	last := &(*all)[n-1]
	last.Lanes = append(last.Lanes, readLane(r))
	return r.err
}

// laneColumns are read by readLane, in this order.
func readLane(r *row) database.Lane {
	return database.Lane{
		ID: r.number(), After: r.array(), Last: r.array(), At: r.array(), Worker: r.kept(), LeasedUntil: r.time(), Token: r.number(),
		Attempts: int(r.number()), Error: r.kept(), NotBefore: r.time(), Failed: r.boolean(), Batch: int(r.number()),
		Rows: r.number(), Batches: r.number(),
	}
}

// array reads an array of texts, whose elements are not NULL; nil for NULL.
func (r *row) array() []string {
	b := r.bytes()
	if b == nil {
		return nil
	}
	all := []string{}
	s, ok := strings.CutPrefix(string(b), "{")
	if !ok {
		r.err = fmt.Errorf("%q is not an array", b)
		return nil
	}
	for s != "" && s != "}" {
		var one strings.Builder
		quoted := s[0] == '"'
		i := 0
		if quoted {
			i = 1
		}
		for ; i < len(s) && (quoted && s[i] != '"' || !quoted && s[i] != ',' && s[i] != '}'); i++ {
			if s[i] == '\\' && i+1 < len(s) {
				i++
			}
			one.WriteByte(s[i])
		}
		all = append(all, one.String())
		if quoted {
			i++
		}
		if i < len(s) && s[i] == ',' {
			i++
		}
		s = s[min(i, len(s)):]
	}
	return all
}

// key returns a key as the tables store it; NULL for none.
func key(k database.Key) arg {
	if k == nil {
		return nil
	}
	return array(k)
}

// interval returns a duration as a number of seconds with its unit. Before PostgreSQL 15, a number
// had at most 31 bits.
func interval(d time.Duration) arg {
	us := d.Microseconds()
	return text(fmt.Sprintf("%d.%06d seconds", us/1e6, us%1e6))
}
