package postgres

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// The queries that begin a Tx run for every migration, and parsing and planning them costs the
// server more than executing them. So they are few, they are prepared where that is safe, and they
// need no pinned path: they qualify every name and operator.

// beginning holds what beginQueries computes once for a Tx, and the next one needs again.
type beginning struct {
	of                    begun
	fail                  func(*pgconn.PgError) error // of a query about the tables
	lockSettings, lockOwn string
	lock, head            string
	lockAgain, sameHead   string // of a Tx that follows in a sequence
	givenHead             string // of the first one that has not begun
	claimedHead           string // of a Tx under the lock of a run
	claimedGivenHead      string
	id, set               arg
}

// begun is what the texts of a beginning depend on.
type begun struct {
	at      location
	set     string
	timeout time.Duration
	major   int
	app     bool // Options.App differs from the connection's name
	ours    bool // the session belongs to the driver alone
	attends bool // it detects a dead client until it ends
	fully   bool // the tables may have triggers, rules or policies that have no effect
	known   bool // the server of the session is known, and cannot change
	keys    lockKeys
}

// lockKeys are the keys of a set's lock and of the lock that every Tx shares, as the server
// computed them for a history and a set.
type lockKeys struct {
	history    int64 // oid; 0: the keys are unknown
	set        string
	mine, open int64
}

// beginQueries begin a transaction, lock the tables against changes, try once to get the migration
// lock, set the timeouts of the transaction, and read the head. A later query runs only if the
// tables are those that were found. The head must be read by a query of its own, with a snapshot
// taken after the lock.
func (db *Database) beginQueries(c *conn, l location, set string, opts database.LockOptions, got *bool, h *head) []query {
	b := db.beginning(c, l, set, opts)
	keys := b.of.keys
	lock := query{
		sql: b.lock, path: callers, often: true,
		fail: func(pg *pgconn.PgError) error {
			if pg.Code == divisionByZero {
				db.fully.Store(true)
				return errMoved
			}
			return ownError("", pg)
		},
		row: func(r *row) error {
			if mine, open := r.number(), r.number(); keys.history == 0 && r.err == nil {
				db.keys.Store(&lockKeys{history: l.tables[history].OID, set: set, mine: mine, open: open})
			}
			r.boolean()
			*got = r.boolean()
			c.attending(b.of.ours && !b.of.attends)
			if !b.of.known {
				c.backend = r.number()
				c.prepareFromNowOn(c.backend)
				c.onServer(r.server())
			}
			return r.err
		},
	}
	if keys.history == 0 {
		lock.args = []arg{b.id, b.set}
	}
	often := func(sql string, fail func(*pgconn.PgError) error) query {
		return query{sql: sql, path: callers, often: true, quiet: true, fail: fail}
	}
	return []query{
		// READ COMMITTED: each query has its own snapshot
		often(beginText, nil),
		often(b.lockSettings, b.fail),
		often(b.lockOwn, b.fail),
		lock,
		{sql: b.head, path: callers, often: true, args: []arg{b.set}, fail: db.foreignHistory, row: into(&h.mine, &h.own, &h.tables, &h.journal)},
	}
}

// beginning returns the texts of the queries that begin a Tx, those of the previous one if they
// are the same.
func (db *Database) beginning(c *conn, l location, set string, opts database.LockOptions) *beginning {
	of := begun{
		at: l, set: set, timeout: opts.LockTimeout, major: c.serverMajor(),
		app: db.sayApp && c.parameter("application_name") != db.opts.App, ours: c.ours(), attends: c.attends(),
		fully: db.fully.Load(),
	}
	of.known = of.ours && c.backend != 0
	if k := db.keys.Load(); k != nil && k.history == l.tables[history].OID && k.set == set {
		of.keys = *k
	}
	if b := db.begins.Load(); b != nil && b.of == of {
		return b
	}
	b := &beginning{of: of, id: l.historyID(), set: keptAsASCII(set), head: db.headText(l.schema)}
	b.fail = func(pg *pgconn.PgError) error { return b.of.at.explain(pg, history, journal) }
	const kept = "pg_catalog.current_setting('" + keptHead + "')"
	b.sameHead, b.givenHead = db.sameHeadText(l.schema, kept), db.sameHeadText(l.schema, "$4")
	b.lockSettings, b.lockOwn = l.lockTexts(history, journal)
	mine, open, task := lockKey, openKey, "$3"
	if of.keys.history != 0 {
		task = "$1"
		mine, open = fmt.Sprintf("'%d'::bigint", of.keys.mine), fmt.Sprintf("'%d'::bigint", of.keys.open)
	}
	same := l.untouched(history, settings, journal)
	if of.fully {
		same = l.unchanged(history, settings, journal)
	}
	about := ", pg_catalog.pg_backend_pid(), " + aboutServer
	if of.known {
		about = ""
	}
	forThis, keys := db.forTheTransaction(c, opts), "FROM (SELECT "+mine+" AS mine, "+open+" AS open) AS k"
	b.lock = "SELECT k.mine, k.open, pg_catalog.pg_try_advisory_xact_lock_shared(k.open), pg_catalog.pg_try_advisory_xact_lock(k.mine)" +
		about + forThis + ", 1 OPERATOR(pg_catalog./) " + same + "::int " + keys
	b.lockAgain = "SELECT 1 OPERATOR(pg_catalog./) (pg_catalog.pg_try_advisory_xact_lock_shared(k.open) AND pg_catalog.pg_try_advisory_xact_lock(k.mine) AND " +
		same + ")::int" + forThis + ", pg_catalog.set_config('application_name', " + task + ", true) " + keys
	b.claimedHead, b.claimedGivenHead = db.claimedHeadText(l.schema, kept, same, forThis, 4), db.claimedHeadText(l.schema, "$4", same, forThis, 5)
	db.begins.Store(b)
	return b
}

// untouched returns an expression that is true only if unchanged is, and that costs the server half
// of it. It is false if a relation has, or has had, a trigger, a rule or a policy, or if their
// owners differ.
func (l location) untouched(roles ...role) string {
	var named strings.Builder
	ids := make([]string, len(roles))
	for i, r := range roles {
		t := l.tables[r]
		if t.OwnerID != l.tables[roles[0]].OwnerID {
			return "false"
		}
		ids[i] = strconv.FormatInt(t.OID, 10)
		fmt.Fprintf(&named, "pg_catalog.to_regclass(%s)::pg_catalog.oid OPERATOR(pg_catalog.=) %d::pg_catalog.oid AND ", literal(t.full()), t.OID)
	}
	return fmt.Sprintf(`coalesce(%s(SELECT pg_catalog.count(*) OPERATOR(pg_catalog.=) %d FROM pg_catalog.pg_class c
	WHERE c.oid OPERATOR(pg_catalog.=) ANY ('{%s}'::pg_catalog.oid[]) AND c.relowner OPERATOR(pg_catalog.=) %d::pg_catalog.oid
	AND c.relkind OPERATOR(pg_catalog.=) 'r' AND NOT (c.relrowsecurity OR c.relhastriggers OR c.relhasrules)), false)`,
		named.String(), len(roles), strings.Join(ids, ","), l.tables[roles[0]].OwnerID)
}

// unchanged returns an expression that is true if the relations are still those that were found,
// and safe. It looks up nothing in the search path. If the transaction has locked them, nobody can
// change that until its end.
func (l location) unchanged(roles ...role) string {
	rows := make([]string, len(roles))
	for i, r := range roles {
		t := l.tables[r]
		rows[i] = fmt.Sprintf("(%s, %d::pg_catalog.oid, %d::pg_catalog.oid)", literal(t.full()), t.OID, t.OwnerID)
	}
	return `(SELECT pg_catalog.bool_and(coalesce(pg_catalog.to_regclass(w.name)::pg_catalog.oid OPERATOR(pg_catalog.=) w.id AND (
	SELECT c.relowner OPERATOR(pg_catalog.=) w.owner AND c.relkind OPERATOR(pg_catalog.=) 'r' AND NOT pg_catalog.row_security_active(c.oid)
	AND NOT (c.relhastriggers AND EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid OPERATOR(pg_catalog.=) c.oid AND NOT t.tgisinternal AND t.tgenabled OPERATOR(pg_catalog.<>) 'D'))
	AND NOT (c.relhasrules AND EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class OPERATOR(pg_catalog.=) c.oid AND r.ev_enabled OPERATOR(pg_catalog.<>) 'D'))
	FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) w.id), false)) FROM (VALUES ` + strings.Join(rows, ", ") + `) AS w (name, id, owner))`
}

// headText returns the query that headQuery sends. It looks up nothing in the search path.
func (db *Database) headText(schema string) string {
	history := table(schema, db.names.History)
	return "SELECT " + newestText(history) + ", pg_catalog.max(id), " + versionText + ", (SELECT 1 OPERATOR(pg_catalog.+) (" +
		isOpen + ")::int FROM " + table(schema, db.names.Journal) + " WHERE set_name OPERATOR(pg_catalog.=) $1) FROM " + history + " WHERE set_name OPERATOR(pg_catalog.=) '" + migration.ReservedSet + "'"
}

// newestText is the id of the set's newest entry that counts for its head; $1 is the set.
func newestText(history string) string {
	return "(SELECT id FROM " + history + " WHERE set_name OPERATOR(pg_catalog.=) $1 AND direction OPERATOR(pg_catalog.<>) 'backfill' ORDER BY id DESC LIMIT 1)"
}

// versionText is the version of Whimbrel's tables, among the entries of Whimbrel's own set.
const versionText = "pg_catalog.max(version) FILTER (WHERE direction OPERATOR(pg_catalog.=) 'up')"
