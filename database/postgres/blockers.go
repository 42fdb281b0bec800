package postgres

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/internal/order"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// watched is a statement of a script, or COMMIT.
type watched struct {
	st    sqltext.Statement
	limit time.Duration // its lock timeout; 0 or less: none
}

// watcher finds out which sessions the statements of a Tx or a Run wait for. It asks on a
// connection of its own, which it opens when a statement has executed for long enough: on that of
// the Tx nothing can be asked meanwhile, and the guard of a run would need a snapshot in its long
// transaction, for which CREATE INDEX CONCURRENTLY would wait.
type watcher struct {
	db      *Database
	place   location
	opts    database.LockOptions
	connect func(context.Context) (*conn, error)
	pid     func() int64 // of the server process; 0: it is found by the statement

	mu   sync.Mutex
	sent sent

	// of the goroutine that checks
	limit      time.Duration // the shortest of the statements sent
	began      time.Time     // when they were sent
	freeTill   time.Time     // when the process was last seen not to wait
	monitor    *conn
	refused    bool // the connection can't be opened
	terminated map[int64]bool
}

// sent are statements that were sent to the server together. It may keep its answers back until it
// has executed them all.
type sent struct {
	statements []watched
	chunk      *chunk // has the statements, if they are nil
	message    bool   // all in one message
	answered   int
}

// list returns the statements. Those of a chunk are listed only when one waits.
func (s *sent) list() []watched {
	if s.statements == nil {
		s.statements = s.chunk.watched()
	}
	return s.statements
}

// newWatcher returns a watcher of the connection c; nil if nobody asked for one.
func (db *Database) newWatcher(c *conn, place location, opts database.LockOptions, pid func() int64) *watcher {
	if opts.Blocked == nil && opts.Terminate == nil {
		return nil
	}
	w := &watcher{db: db, place: place, opts: opts, pid: pid, terminated: map[int64]bool{}}
	var at net.Addr
	config, err := c.config()
	if err == nil {
		err = c.with(func(pc *pgconn.PgConn) { at = pc.Conn().RemoteAddr() })
	}
	if err != nil {
		w.connect = func(context.Context) (*conn, error) { return nil, errBroken }
		return w
	}
	w.connect = func(ctx context.Context) (*conn, error) { return db.open(ctx, pinnedTo(ctx, config(), at)) }
	return w
}

// own returns a statement of Whimbrel's own that executes under the lock timeout of the options.
func (w *watcher) own(sql string) *watched {
	if w == nil {
		return nil
	}
	return &watched{st: sqltext.Statement{Text: sql}, limit: w.opts.LockTimeout}
}

// answer notes how many of the statements the server has answered.
func (w *watcher) answer(n int) {
	if w != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.sent.answered = n
	}
}

// watch looks at the statements until stop is called. After that, nothing is reported.
func (w *watcher) watch(s sent) (stop func()) {
	if w == nil || len(s.statements) == 0 && s.chunk == nil {
		return func() {}
	}
	w.answer(0)
	w.sent, w.began, w.limit = s, time.Now(), 0
	w.freeTill = w.began
	if s.chunk != nil {
		w.limit = max(s.chunk.limit, 0)
	}
	for _, one := range s.statements {
		if one.limit > 0 && (w.limit == 0 || one.limit < w.limit) {
			w.limit = one.limit
		}
	}
	return drivers.Repeat(w.db.life.Closing, drivers.FirstLook(w.limit), w.check)
}

// close closes the connection on which it asked.
func (w *watcher) close() {
	if w != nil && w.monitor != nil {
		w.monitor.giveBack()
		w.monitor = nil
	}
}

// check looks at what the server executes, reports what blocks it, and terminates what it may. It
// returns the pause before the next check.
func (w *watcher) check(ctx context.Context) time.Duration {
	b, err := w.ask(ctx)
	now := time.Now()
	if err != nil || b == nil || ctx.Err() != nil { // the report is optional
		if err == nil {
			w.freeTill = now
		}
		// less often, the longer they execute
		return max(drivers.NextLook(w.limit), min(drivers.LookUnlimited, now.Sub(w.began)/10))
	}
	waited := b.waited()
	if waited == 0 {
		waited = now.Sub(w.freeTill)
	}
	s, known := w.executing(b)
	if early := drivers.FirstLook(s.limit) - waited; early > 0 {
		return early
	}
	report := b.blockage()
	report.Index, report.Waited = s.st.Index, waited
	if known {
		report.SQL = sqltext.Mask(s.st.Text, sqltext.PostgreSQL)
	}
	if w.opts.Blocked != nil {
		w.opts.Blocked(report)
	}
	w.terminate(ctx, b, report)
	return drivers.NextLook(s.limit)
}

// executing returns the statement that the server executes. If that is not known, it returns the
// first that may be it.
func (w *watcher) executing(b *blocked) (s watched, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.sent.list()
	rest := all[min(w.sent.answered, len(all)-1):]
	if len(rest) == 1 && w.sent.message {
		return rest[0], true
	}
	if w.sent.message {
		return onlyOne(rest, b)
	}
	text := b.session(b.PID).Query
	for _, one := range rest {
		if sql := one.st.Text; text != "" && (sql == text || len(text) >= shortestCut && strings.HasPrefix(sql, text)) {
			return one, true
		}
	}
	return watched{limit: rest[0].limit}, false
}

// shortestCut is the shortest text to which a server cuts a query (track_activity_query_size).
const shortestCut = 95

// onlyOne returns the statement that names the table whose lock is waited for, if only one does.
func onlyOne(rest []watched, b *blocked) (s watched, known bool) {
	waiting := b.waiting(b.PID)
	if waiting == nil || waiting.Name == "" {
		return rest[0], false
	}
	for _, one := range rest {
		if !sqltext.List(one.st.Text, sqltext.PostgreSQL).Names()[waiting.Name] {
			continue
		}
		if known {
			return rest[0], false
		}
		s, known = one, true
	}
	if !known {
		return rest[0], false
	}
	return s, true
}

// ask returns what the process waits for, nil if it doesn't wait.
func (w *watcher) ask(ctx context.Context) (*blocked, error) {
	if w.refused {
		return nil, errBroken
	}
	if w.monitor == nil || w.monitor.broken() {
		w.close()
		m, err := w.connect(ctx)
		if err != nil {
			w.refused = ctx.Err() == nil
			return nil, err
		}
		w.monitor = m
		if err := m.endWithClient(ctx); err != nil {
			return nil, err
		}
	}
	me, args := "$1::int", []arg{number(w.pid())}
	if w.pid() == 0 {
		me, args = "(SELECT a.pid FROM pg_catalog.pg_stat_activity a WHERE "+here+" AND "+isThis+" LIMIT 1)", []arg{text(w.sent.list()[0].st.Text)}
	}
	var b blocked
	err := w.monitor.briefly(ctx, shortWaits, jsonInto(query{
		sql:  w.db.blockersQuery(w.monitor.serverMajor(), w.place, me),
		args: append(args, w.place.historyID()),
	}, &b))
	if err != nil || !b.waits() {
		return nil, err
	}
	b.sort()
	return &b, nil
}

// endWithClient makes the server end an idle session soon after its client's machine or network has
// failed, unless a pooler owns the session.
func (c *conn) endWithClient(ctx context.Context) error {
	var at process
	if err := c.briefly(ctx, at.read()); err != nil {
		return err
	}
	direct := false
	c.with(func(pc *pgconn.PgConn) { direct = int64(pc.PID()) == at.PID })
	if !direct {
		return nil
	}
	return c.briefly(ctx, query{quiet: true, sql: "SELECT " + c.noticeDeadClient(forTheSession)})
}

// shortWaits limits how long the queries of a watcher take and wait themselves.
var shortWaits = command("SELECT pg_catalog.set_config('lock_timeout', '500', true), pg_catalog.set_config('statement_timeout', '5000', true)")

// briefly sends queries, and closes the connection if ctx ends before they are answered, or after
// some seconds.
func (c *conn) briefly(ctx context.Context, queries ...query) error {
	const grace, most = 250 * time.Millisecond, 10 * time.Second
	return c.use(func(pc *pgconn.PgConn) error {
		give := func(d time.Duration) { pc.Conn().SetDeadline(time.Now().Add(d)) }
		stop := context.AfterFunc(ctx, func() { give(grace) })
		tooLate := time.AfterFunc(most, func() { give(0) })
		err := pipelined(queries)(context.Background(), pc)
		if late, done := !tooLate.Stop(), !stop(); late || done {
			closeNow(pc)
		}
		return err
	})
}

// terminate ends the sessions that the statement waits for and that wait for nobody themselves, as
// far as the caller and the server allow it.
func (w *watcher) terminate(ctx context.Context, f *blocked, b database.Blockage) {
	if w.opts.Terminate == nil {
		return
	}
	for _, blocker := range b.Blockers {
		s := f.session(blocker.PID)
		if s == nil || blocker.Exempt != "" || len(blocker.BlockedBy) > 0 || w.terminated[s.Started] || !w.opts.Terminate(blocker) {
			continue
		}
		ended := false
		err := w.monitor.briefly(ctx, shortWaits, query{ // the same session, in the same transaction
			sql: `SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_get_activity($1::int) a
WHERE ` + sinceEpoch("a.backend_start") + ` = $2::bigint AND ` + sinceEpoch("a.xact_start") + ` = $3::bigint`,
			args: []arg{number(s.PID), number(s.Started), number(s.Since)},
			row:  into(&ended),
		})
		if err == nil && ended {
			w.terminated[s.Started] = true
			if w.opts.Terminated != nil {
				w.opts.Terminated(blocker)
			}
		}
	}
}

// sinceEpoch returns an expression for a time in microseconds since 1970; 0 for NULL.
func sinceEpoch(expr string) string {
	return "coalesce((extract(epoch FROM " + expr + ") * 1000000)::bigint, 0)"
}

// blockersQuery reads the sessions that the process me waits for, directly or indirectly, and the
// locks concerned, as a JSON document; and how many sessions wait behind it. $2 is the history's
// oid. Any role may see which session waits for which. pg_blocking_pids stops all locking for a
// moment, so it is called once for each process that waits, and not at all unless me waits.
func (db *Database) blockersQuery(major int, own location, me string) string {
	waited := "0"
	if major >= 14 {
		waited = "coalesce((extract(epoch FROM pg_catalog.clock_timestamp() - l.waitstart) * 1000000)::bigint, 0)"
	}
	return `WITH RECURSIVE me AS MATERIALIZED (SELECT ` + me + ` AS pid), lk AS MATERIALIZED (
	SELECT pg_catalog.concat_ws('/', locktype, database, relation, page, tuple, virtualxid, transactionid, classid, objid, objsubid) AS tag, l.*
	FROM pg_catalog.pg_locks l
), edge AS MATERIALIZED (
	SELECT w.pid, b.by FROM (SELECT DISTINCT pid FROM lk WHERE NOT granted AND pid IS NOT NULL AND EXISTS (SELECT FROM lk m WHERE m.pid = (SELECT pid FROM me) AND NOT m.granted)) w
	CROSS JOIN LATERAL pg_catalog.unnest(pg_catalog.pg_blocking_pids(w.pid)) AS b (by)
), by AS MATERIALIZED (
	SELECT pid, pg_catalog.json_agg(DISTINCT by) AS by FROM edge GROUP BY pid
), tree (pid) AS (
	SELECT pid FROM me UNION SELECT e.by FROM tree t JOIN edge e ON e.pid = t.pid
), behind (pid) AS (
	SELECT pid FROM me UNION SELECT e.pid FROM behind q JOIN edge e ON e.by = q.pid
), migrating (pid) AS (
	SELECT l.pid FROM lk l, (SELECT ` + strings.ReplaceAll(openKey, "$1", "$2") + ` AS key) k WHERE l.locktype = 'advisory' AND l.objsubid = 1
		AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
		AND l.classid = (k.key >> 32 & 4294967295)::oid AND l.objid = (k.key & 4294967295)::oid
	UNION ALL SELECT backend_pid FROM ` + table(own.schema, db.names.Journal) + ` WHERE backend_pid IS NOT NULL
), replicating (pid) AS (
	SELECT pid FROM pg_catalog.pg_stat_get_wal_senders() UNION ALL SELECT pid FROM pg_catalog.pg_stat_get_subscription(NULL)
)
SELECT pg_catalog.json_build_object(
	'pid', (SELECT pid FROM me),
	'role', current_user,
	'seesAll', pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE'),
	'queued', (SELECT pg_catalog.count(*) - 1 FROM behind),
	'sessions', (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('pid', t.pid, 'by', t.by, 'user', a.usename,
			'super', u.rolsuper, 'may', pg_catalog.pg_has_role(u.oid, 'USAGE') OR pg_catalog.pg_has_role('pg_signal_backend', 'USAGE'),
			'host', coalesce(a.client_hostname, pg_catalog.host(a.client_addr)), 'app', a.application_name, 'type', a.backend_type,
			'state', a.state, 'stateSince', ` + sinceEpoch("a.state_change") + `, 'since', ` + sinceEpoch("a.xact_start") + `, 'started', ` + sinceEpoch("a.backend_start") + `,
			'query', CASE WHEN a.query <> '<insufficient privilege>' THEN a.query END,
			'replica', t.pid IN (SELECT pid FROM replicating WHERE pid IS NOT NULL), 'migration', t.pid IN (SELECT pid FROM migrating WHERE pid IS NOT NULL)) ORDER BY a.xact_start)
		FROM (SELECT tree.pid, by.by FROM tree LEFT JOIN by ON by.pid = tree.pid) t
		LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = t.pid LEFT JOIN pg_catalog.pg_roles u ON u.oid = a.usesysid WHERE t.pid <> 0),
	'locks', (SELECT pg_catalog.json_agg(pg_catalog.json_build_object('tag', l.tag, 'type', l.locktype, 'pid', l.pid, 'mode', l.mode, 'granted', l.granted, 'waited', ` + waited + `,
			'relation', n.nspname || '.' || c.relname, 'name', c.relname, 'of', coalesce(l.transactionid::text, l.virtualxid), 'gid', p.gid, 'owner', p.owner, 'prepared', ` + sinceEpoch("p.prepared") + `))
		FROM lk l LEFT JOIN pg_catalog.pg_class c ON c.oid = l.relation AND l.database IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
		LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		LEFT JOIN lk x ON l.pid IS NULL AND x.pid IS NULL AND x.virtualtransaction = l.virtualtransaction AND x.locktype = 'transactionid' AND x.granted
		LEFT JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = x.transactionid
		WHERE (l.pid IS NULL OR l.pid IN (SELECT pid FROM tree)) AND (l.tag IN (SELECT w.tag FROM lk w WHERE NOT w.granted AND w.pid IN (SELECT pid FROM tree)) OR l.locktype = 'tuple')))`
}

// blocked is the answer to a blockersQuery.
type blocked struct {
	PID      int64        `json:"pid"`
	Role     string       `json:"role"`
	SeesAll  bool         `json:"seesAll"`
	Queued   int          `json:"queued"`
	Sessions []sessionRow `json:"sessions"` // that of the statement, too
	Locks    []lockRow    `json:"locks"`
}

type sessionRow struct {
	PID        int64   `json:"pid"`
	By         []int64 `json:"by"`
	User       *string `json:"user"` // nil: it has none, or the server does not show it
	Super      bool    `json:"super"`
	May        bool    `json:"may"` // be terminated by this role
	Host       string  `json:"host"`
	App        string  `json:"app"`
	Type       string  `json:"type"` // "" if hidden
	State      string  `json:"state"`
	StateSince int64   `json:"stateSince"`
	Since      int64   `json:"since"`
	Started    int64   `json:"started"`
	Query      string  `json:"query"`
	Replica    bool    `json:"replica"`
	Migration  bool    `json:"migration"`
}

type lockRow struct {
	Tag      string `json:"tag"` // identifies the object
	Type     string `json:"type"`
	PID      int64  `json:"pid"` // 0: of a prepared transaction
	Mode     string `json:"mode"`
	Granted  bool   `json:"granted"`
	Waited   int64  `json:"waited"`
	Relation string `json:"relation"` // with its schema
	Name     string `json:"name"`
	Of       string `json:"of"` // a transaction
	Gid      string `json:"gid"`
	Owner    string `json:"owner"`
	Prepared int64  `json:"prepared"`
}

func (f *blocked) session(pid int64) *sessionRow {
	for i := range f.Sessions {
		if f.Sessions[i].PID == pid && pid != 0 {
			return &f.Sessions[i]
		}
	}
	return nil
}

// sort moves those that block the statement directly to the front, then those that block these, and
// so on. If all of many sessions wait for each other, a query would need long for that.
func (f *blocked) sort() {
	row := make(map[int64]*sessionRow, len(f.Sessions))
	for i := range f.Sessions {
		row[f.Sessions[i].PID] = &f.Sessions[i]
	}
	depth := map[int64]int{f.PID: 0}
	for todo := []int64{f.PID}; len(todo) > 0; todo = todo[1:] {
		for _, by := range row[todo[0]].By {
			if _, seen := depth[by]; !seen && row[by] != nil {
				depth[by] = depth[todo[0]] + 1
				todo = append(todo, by)
			}
		}
	}
	order.StableBy(f.Sessions, func(a, b sessionRow) int { return depth[a.PID] - depth[b.PID] })
}

// waits reports whether the statement waits for anybody.
func (f *blocked) waits() bool {
	me := f.session(f.PID)
	return me != nil && len(me.By) > 0
}

// waiting returns the lock that a session waits for, nil if unknown.
func (f *blocked) waiting(pid int64) *lockRow {
	for i := range f.Locks {
		if l := &f.Locks[i]; l.PID == pid && pid != 0 && !l.Granted {
			return l
		}
	}
	return nil
}

func (f *blocked) waited() time.Duration {
	if l := f.waiting(f.PID); l != nil {
		return microseconds(l.Waited)
	}
	return 0
}

// blockage returns what was found, without the statement.
func (f *blocked) blockage() database.Blockage {
	b := database.Blockage{Queued: f.Queued}
	if l := f.waiting(f.PID); l != nil {
		b.Lock, b.Object = l.Mode, f.object(l)
	}
	for _, s := range f.Sessions {
		if s.PID == f.PID {
			b.Blockers = append(b.Blockers, f.prepared(s.PID)...)
			continue
		}
		blocker := f.blocker(s)
		b.Blockers = append(b.Blockers, blocker)
		b.Blockers = append(b.Blockers, f.prepared(s.PID)...)
		if s.hidden() && !f.SeesAll {
			b.Hidden = fmt.Sprintf("role %q may not see what sessions of other roles do: GRANT pg_monitor TO %s", f.Role, quote(f.Role))
		}
	}
	return b
}

// hidden reports whether the server hides what the session does.
func (s *sessionRow) hidden() bool { return s.Type == "" }

func (f *blocked) blocker(s sessionRow) database.Blocker {
	b := database.Blocker{
		Holder: database.Holder{PID: s.PID, Host: s.Host, App: s.App, Since: when(s.Since), Query: shownQuery(s.Query)},
		Kind:   s.kind(), State: s.State, StateSince: when(s.StateSince), BlockedBy: s.By,
	}
	if s.User != nil {
		b.User = *s.User
	}
	if b.Kind == database.BlockerMigration {
		b.Holder = split(b.Holder)
		b.Query = database.Shortened(sqltext.MaskLiterals(s.Query, sqltext.PostgreSQL), longestQuery)
	}
	b.Lock, b.Object = f.holds(s.PID)
	b.Exempt = f.exempt(s, b.Kind)
	return b
}

// longestQuery is how many characters of another session's query are reported.
const longestQuery = 500

func shownQuery(sql string) string {
	return database.Shortened(sqltext.Mask(sql, sqltext.PostgreSQL), longestQuery)
}

// when converts microseconds since 1970; 0 is unknown.
func when(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

func (s *sessionRow) kind() database.BlockerKind {
	switch {
	case s.Replica, s.Type == "walsender", strings.HasPrefix(s.Type, "logical replication"):
		return database.BlockerReplica
	case s.Migration, s.App == "whimbrel", strings.HasPrefix(s.App, "whimbrel: "):
		return database.BlockerMigration
	case s.Type == "autovacuum worker" && strings.HasSuffix(s.Query, "(to prevent wraparound)"):
		return database.BlockerWraparound
	case s.Type == "autovacuum worker", s.hidden() && s.User == nil: // only background processes have no user
		return database.BlockerAutovacuum
	case strings.HasPrefix(s.State, "idle in transaction"):
		return database.BlockerIdle
	}
	return database.BlockerSession
}

// exempt returns why a session is never terminated; "" if it may be.
func (f *blocked) exempt(s sessionRow, kind database.BlockerKind) string {
	switch {
	case kind == database.BlockerReplica:
		return "it replicates"
	case kind == database.BlockerMigration:
		return "it is another migration"
	case kind == database.BlockerWraparound:
		return "it prevents transaction ID wraparound"
	case kind == database.BlockerAutovacuum:
		return "it is autovacuum, which gives way by itself"
	case s.User == nil:
		return "the server does not show whose session it is"
	case s.Super:
		return "its user is a superuser"
	case s.Started == 0 || s.hidden():
		return fmt.Sprintf("role %q may not see the session: GRANT pg_read_all_stats TO %s", f.Role, quote(f.Role))
	case !s.May:
		return fmt.Sprintf("role %q may not terminate it: GRANT pg_signal_backend TO %s", f.Role, quote(f.Role))
	}
	return ""
}

// holds returns a lock of a session for which another one of the tree waits.
func (f *blocked) holds(pid int64) (mode, object string) {
	best := 0
	for _, w := range f.Sessions {
		waiting := f.waiting(w.PID)
		if waiting == nil || w.PID == pid {
			continue
		}
		for i := range f.Locks {
			l := &f.Locks[i]
			if l.PID != pid || l.Tag != waiting.Tag || !conflict(l.Mode, waiting.Mode) {
				continue
			}
			rank := 1
			if l.Granted {
				rank += 2
			}
			if w.PID == f.PID {
				rank++
			}
			if rank > best {
				best, mode, object = rank, l.Mode, f.object(l)
			}
		}
	}
	return mode, object
}

// prepared returns the prepared transactions for which a session waits.
func (f *blocked) prepared(pid int64) (all []database.Blocker) {
	waiting := f.waiting(pid)
	if waiting == nil {
		return nil
	}
	for i := range f.Locks {
		if l := &f.Locks[i]; l.Gid != "" && l.Granted && l.Tag == waiting.Tag && conflict(l.Mode, waiting.Mode) {
			all = append(all, database.Blocker{
				Holder: database.Holder{User: l.Owner, Since: when(l.Prepared)}, Kind: database.BlockerPrepared, Prepared: l.Gid,
				Lock: l.Mode, Object: f.object(l), Exempt: "a prepared transaction has no session",
			})
		}
	}
	return all
}

// object names what a lock is on.
func (f *blocked) object(l *lockRow) string {
	switch l.Type {
	case "relation":
		return l.Relation
	case "tuple":
		return "a row of " + l.Relation
	case "transactionid", "virtualxid":
		// a session that waits for the transaction which changed a row holds a lock on the row
		for _, row := range f.Locks {
			if waiting := f.waiting(row.PID); row.Type == "tuple" && row.Granted && row.Relation != "" && waiting != nil && waiting.Tag == l.Tag {
				return fmt.Sprintf("transaction %s, which changed a row of %s", l.Of, row.Relation)
			}
		}
		return "transaction " + l.Of
	case "advisory":
		return "an advisory lock"
	}
	return strings.TrimSpace(l.Type + " " + l.Relation)
}

// conflicts lists the modes that conflict with each mode, by their first letters.
var conflicts = map[string]string{
	"AccessShareLock":          "AccessExclusiveLock",
	"RowShareLock":             "ExclusiveLock AccessExclusiveLock",
	"RowExclusiveLock":         "ShareLock ShareRowExclusiveLock ExclusiveLock AccessExclusiveLock",
	"ShareUpdateExclusiveLock": "ShareUpdateExclusiveLock ShareLock ShareRowExclusiveLock ExclusiveLock AccessExclusiveLock",
	"ShareLock":                "RowExclusiveLock ShareUpdateExclusiveLock ShareRowExclusiveLock ExclusiveLock AccessExclusiveLock",
	"ShareRowExclusiveLock":    "RowExclusiveLock ShareUpdateExclusiveLock ShareLock ShareRowExclusiveLock ExclusiveLock AccessExclusiveLock",
	"ExclusiveLock":            "RowShareLock RowExclusiveLock ShareUpdateExclusiveLock ShareLock ShareRowExclusiveLock ExclusiveLock AccessExclusiveLock",
	"AccessExclusiveLock":      "AccessShareLock RowShareLock RowExclusiveLock ShareUpdateExclusiveLock ShareLock ShareRowExclusiveLock ExclusiveLock AccessExclusiveLock",
}

func conflict(a, b string) bool {
	for _, m := range strings.Fields(conflicts[a]) {
		if m == b {
			return true
		}
	}
	return false
}

// open opens one more connection to the server that config names.
func (db *Database) open(ctx context.Context, config *pgconn.Config) (*conn, error) {
	h, err := db.src.prepare(ctx, config)
	if err != nil {
		return nil, drivers.Stopped(ctx, err)
	}
	return &conn{handle: h, closing: db.life.Closing}, nil
}
