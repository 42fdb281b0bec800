package mysql

import (
	"cmp"
	"database/sql"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/mysql/internal/mycatalog"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// quickly returns a query that the server ends after two seconds, and after one if it waits for a
// lock on a table.
func quickly(query string) string {
	tail, ok := strings.CutPrefix(query, "SELECT ")
	if !ok {
		return query
	}
	return "/*M!100101 SET STATEMENT max_statement_time=2, lock_wait_timeout=1 FOR */ " + mycatalog.Whole("SELECT /*+ MAX_EXECUTION_TIME(2000) */ "+tail)
}

// peer is a session in the process list.
type peer struct {
	user, host, db, command, state, query string
	since                                 time.Time // of the state
}

// waitsForLock reports whether a state of a session is a wait for a lock that is not one of InnoDB.
func waitsForLock(state string) bool {
	s := strings.ToLower(state)
	return strings.HasPrefix(s, "waiting for") && (strings.Contains(s, "lock") || strings.Contains(s, "flush"))
}

// transactionRow is an open transaction of InnoDB.
type transactionRow struct {
	id      string
	session int64 // 0: it is prepared, and its session is gone
	since   time.Time
}

// edge says that one session waits for another.
type edge struct {
	waiter, holder       int64
	trx                  string // the holder's transaction, if it has no session
	needs, holds, object string // the modes of the locks, and what they are on
	sure                 bool   // the server says so
}

// picture is what the server shows at one moment.
type picture struct {
	o            *observer
	w            *wait
	state        string // of the worker
	sessions     map[int64]peer
	transactions []transactionRow
	edges        []edge
	queued       []int64 // sessions that wait behind the worker, if edges don't show it
	hidden       string
	prepared     []string
	migrations   map[int64]bool
	programs     map[int64]program
}

// program is what performance_schema knows about a session.
type program struct{ app, query string }

// blockage returns what the worker's statement waits for, and whether it waits. Its caller holds
// the guard.
func (o *observer) blockage(w *wait) (b database.Blockage, waits bool) {
	p := &picture{o: o, w: w, sessions: map[int64]peer{}, migrations: map[int64]bool{}, programs: map[int64]program{}}
	if !p.waits() {
		return b, false
	}
	p.readTransactions()
	p.readSessions()
	p.readRowLocks()
	if p.state != "" {
		p.readMetadataLocks()
	} else {
		p.queueByText(tablesOf(w.st.Text))
	}
	p.readPrepared()
	p.readPrograms()
	p.readMigrations()
	return p.blockage(), true
}

// waits reports whether the worker's statement waits for a lock.
func (p *picture) waits() bool {
	o, worker := p.o, p.o.h.worker.id
	var state sql.NullString
	err := o.ask("SELECT state FROM information_schema.processlist WHERE id = ?", func(scan func(...any) error) error { return scan(&state) }, worker)
	switch {
	case err != nil:
		return false
	case waitsForLock(state.String):
		p.state = state.String
		return true
	case o.noTransactions:
		return false
	}
	waits := false
	err = o.ask("SELECT trx_state FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = ?", func(scan func(...any) error) error {
		var state string
		err := scan(&state)
		waits = waits || state == "LOCK WAIT" // DDL has more than one transaction
		return err
	}, worker)
	o.noTransactions = number(err) != 0
	return waits
}

func (p *picture) readTransactions() {
	if p.o.noTransactions {
		p.hidden = needsProcess
		return
	}
	err := p.o.ask("SELECT trx_id, trx_mysql_thread_id, CAST(CONVERT_TZ(trx_started, @@session.time_zone, '+00:00') AS char(26)) FROM information_schema.innodb_trx", func(scan func(...any) error) error {
		var t transactionRow
		var since sql.NullString
		err := scan(&t.id, &t.session, &since)
		t.since, _ = parseTime(since.String)
		p.transactions = append(p.transactions, t)
		return err
	})
	if number(err) != 0 {
		p.o.noTransactions, p.hidden = true, needsProcess
	}
}

func (p *picture) readSessions() {
	now := p.o.h.clock.now()
	p.o.ask("SELECT id, user, host, db, command, time, state, LEFT(info, 200) FROM information_schema.processlist", func(scan func(...any) error) error {
		var id int64
		var user, host, db, command, state, info sql.NullString
		var seconds sql.NullInt64
		err := scan(&id, &user, &host, &db, &command, &seconds, &state, &info)
		s := peer{user: user.String, host: host.String, db: db.String, command: command.String, state: state.String, query: sqltext.Mask(info.String, sqltext.MySQL)}
		if seconds.Valid {
			s.since = now.Add(-time.Duration(seconds.Int64) * time.Second).Truncate(time.Second)
		}
		p.sessions[id] = s
		return err
	})
}

// The waits for locks of InnoDB, in MySQL 8 and in others.
const (
	dataLocks = `SELECT r.processlist_id, b.processlist_id, w.blocking_engine_transaction_id, concat(rl.lock_mode, ' ', lower(rl.lock_type), ' lock'),
	concat(bl.lock_mode, ' ', lower(bl.lock_type), ' lock'), concat(rl.object_schema, '.', rl.object_name)
FROM performance_schema.data_lock_waits w JOIN performance_schema.data_locks rl ON rl.engine_lock_id = w.requesting_engine_lock_id
JOIN performance_schema.data_locks bl ON bl.engine_lock_id = w.blocking_engine_lock_id
JOIN performance_schema.threads r ON r.thread_id = w.requesting_thread_id LEFT JOIN performance_schema.threads b ON b.thread_id = w.blocking_thread_id`
	innodbLocks = `SELECT r.trx_mysql_thread_id, b.trx_mysql_thread_id, b.trx_id, concat(rl.lock_mode, ' ', lower(rl.lock_type), ' lock'),
	concat(bl.lock_mode, ' ', lower(bl.lock_type), ' lock'), replace(rl.lock_table, '` + "`" + `', '')
FROM information_schema.innodb_lock_waits w JOIN information_schema.innodb_trx b ON b.trx_id = w.blocking_trx_id
JOIN information_schema.innodb_trx r ON r.trx_id = w.requesting_trx_id
LEFT JOIN information_schema.innodb_locks rl ON rl.lock_id = w.requested_lock_id LEFT JOIN information_schema.innodb_locks bl ON bl.lock_id = w.blocking_lock_id`
)

// readRowLocks reads which sessions wait for InnoDB's locks, and for whom.
func (p *picture) readRowLocks() {
	row := func(scan func(...any) error) error {
		var waiter, holder sql.NullInt64
		var trx, needs, holds, object sql.NullString
		err := scan(&waiter, &holder, &trx, &needs, &holds, &object)
		p.edges = append(p.edges, edge{waiter.Int64, holder.Int64, trx.String, needs.String, holds.String, object.String, true})
		return err
	}
	if !p.o.maria() && !p.o.noDataLocks {
		err := p.o.ask(dataLocks, row)
		if err == nil {
			return
		}
		p.o.noDataLocks = number(err) != 0
	}
	if !p.o.noTransactions {
		p.o.ask(innodbLocks, row)
	}
}

func (o *observer) facts() facts {
	o.h.db.mu.Lock()
	defer o.h.db.mu.Unlock()
	if o.h.db.facts == nil {
		return facts{}
	}
	return *o.h.db.facts
}

func (o *observer) maria() bool { return o.facts().maria }

// ours reports whether a session is one of the migration itself.
func (p *picture) ours(id int64) bool { return id == p.o.h.worker.id || id == p.o.h.guard.id }

// readPrepared lists the prepared transactions, if one of the open transactions has no session.
func (p *picture) readPrepared() {
	if !slices.ContainsFunc(p.transactions, func(t transactionRow) bool { return t.session == 0 }) {
		return
	}
	p.o.ask("XA RECOVER", func(scan func(...any) error) error {
		var format, global, branch int
		var data string
		err := scan(&format, &global, &branch, &data)
		p.prepared = append(p.prepared, xid(format, global, branch, data))
		return err
	})
}

// xid returns the name of a prepared transaction as XA ROLLBACK takes it.
func xid(format, global, branch int, data string) string {
	if global < 0 || branch < 0 || global+branch > len(data) {
		return literal(data)
	}
	return literal(data[:global]) + "," + literal(data[global:global+branch]) + "," + number64(int64(format))
}

// readPrograms reads the names of the programs and their last statements, if performance_schema is
// on.
func (p *picture) readPrograms() {
	if !p.o.facts().perf || p.o.noPerf {
		return
	}
	p.o.ask(`SELECT t.processlist_id, a.attr_value, LEFT(s.sql_text, 200) FROM performance_schema.threads t
LEFT JOIN performance_schema.session_connect_attrs a ON a.processlist_id = t.processlist_id AND a.attr_name = 'program_name'
LEFT JOIN performance_schema.events_statements_current s ON s.thread_id = t.thread_id WHERE t.processlist_id IS NOT NULL`, func(scan func(...any) error) error {
		var id int64
		var app, query sql.NullString
		err := scan(&id, &app, &query)
		p.programs[id] = program{app.String, sqltext.Mask(query.String, sqltext.MySQL)}
		return err
	})
}

// readMigrations finds the sessions of other migrations: those that hold the locks of their workers
// and guards.
func (p *picture) readMigrations() {
	o := p.o
	if o.locks == nil {
		o.locks = []string{}
		o.ask(o.h.db.sql.fill("SELECT value FROM {settings?} WHERE name LIKE '"+lockRow+"%' UNION SELECT set_name FROM {history?}"), func(scan func(...any) error) error {
			var set string
			err := scan(&set)
			o.locks = append(o.locks, "IS_USED_LOCK("+literal(o.h.guard.names.works(set))+")", "IS_USED_LOCK("+literal(o.h.guard.names.guards(set))+")")
			return err
		})
	}
	for some := range slices.Chunk(o.locks, 100) {
		o.ask("SELECT "+strings.Join(some, " UNION SELECT "), func(scan func(...any) error) error {
			var id sql.NullInt64
			err := scan(&id)
			p.migrations[id.Int64] = true
			return err
		})
	}
}

// blockage draws the conclusions.
func (p *picture) blockage() database.Blockage {
	worker, now := p.o.h.worker.id, time.Now()
	b := database.Blockage{SQL: p.w.st.Text, Index: p.w.st.Index, Waited: now.Sub(p.w.idle), Hidden: p.hidden, Lock: strings.ToLower(strings.TrimPrefix(p.state, "Waiting for "))}
	found := map[string]bool{}
	for todo := []int64{worker}; len(todo) > 0; todo = todo[1:] {
		for _, e := range p.edges {
			key := cmp.Or(map[bool]string{true: "trx " + e.trx}[e.holder == 0], number64(e.holder))
			if e.waiter != todo[0] || p.ours(e.holder) {
				continue
			}
			if e.waiter == worker && e.needs != "" {
				b.Lock, b.Object = e.needs, e.object
			}
			if found[key] {
				continue
			}
			found[key] = true
			b.Blockers = append(b.Blockers, p.blocker(e)...)
			if e.holder != 0 {
				todo = append(todo, e.holder)
			}
		}
	}
	b.Queued = len(p.behind(worker, b.Blockers))
	return b
}

// behind returns the sessions that wait for the worker, directly or indirectly, and don't block it.
func (p *picture) behind(worker int64, blockers []database.Blocker) map[int64]bool {
	behind := map[int64]bool{}
	blocks := func(id int64) bool {
		return p.ours(id) || slices.ContainsFunc(blockers, func(b database.Blocker) bool { return b.PID == id })
	}
	for _, id := range p.queued {
		if !blocks(id) {
			behind[id] = true
		}
	}
	for todo := append([]int64{worker}, slices.Collect(maps.Keys(behind))...); len(todo) > 0; todo = todo[1:] {
		for _, e := range p.edges {
			if e.holder == todo[0] && e.holder != 0 && !behind[e.waiter] && !blocks(e.waiter) {
				behind[e.waiter] = true
				todo = append(todo, e.waiter)
			}
		}
	}
	return behind
}

// blocker describes the holder of a lock. If it is one of several prepared transactions, it returns
// them all.
func (p *picture) blocker(e edge) (all []database.Blocker) {
	b := database.Blocker{Kind: database.BlockerSession, Lock: e.holds, Object: e.object}
	if e.holder == 0 {
		return p.preparedBlockers(e, b)
	}
	s, there := p.sessions[e.holder]
	b.PID, b.User, b.State, b.StateSince, b.Query = e.holder, s.user, s.state, s.since, s.query
	b.Host, _, _ = strings.Cut(s.host, ":")
	for _, t := range p.transactions {
		if t.session == e.holder && (b.Since.IsZero() || t.since.Before(b.Since)) {
			b.Since = t.since
		}
	}
	known := p.programs[e.holder]
	b.App, b.Query = known.app, cmp.Or(b.Query, known.query)
	for _, other := range p.edges {
		if other.waiter == e.holder && other.holder != 0 && !slices.Contains(b.BlockedBy, other.holder) {
			b.BlockedBy = append(b.BlockedBy, other.holder)
		}
	}
	switch {
	case s.command == "Sleep":
		b.Kind, b.State = database.BlockerIdle, "idle"
	case replicates(s):
		b.Kind, b.State = database.BlockerReplica, cmp.Or(s.state, s.command)
	default:
		b.State = cmp.Or(s.state, s.command)
	}
	if p.migrations[e.holder] {
		b.Kind = database.BlockerMigration
		b.Query = sqltext.MaskLiterals(b.Query, sqltext.MySQL)
	}
	b.Exempt = p.exemption(b, s, there, e.sure)
	return []database.Blocker{b}
}

// preparedBlockers are the prepared transactions of which one holds the lock.
func (p *picture) preparedBlockers(e edge, b database.Blocker) (all []database.Blocker) {
	b.Kind, b.State, b.Exempt = database.BlockerPrepared, "prepared", "a prepared transaction has no session: XA COMMIT or XA ROLLBACK ends it"
	for _, t := range p.transactions {
		if t.id == e.trx {
			b.Since = t.since
		}
	}
	for _, id := range p.prepared {
		b.Prepared = id
		all = append(all, b)
	}
	if len(all) == 0 {
		all = append(all, b)
	}
	return all
}

// replicates reports whether a session applies or sends changes of other servers.
func replicates(s peer) bool {
	return s.user == "system user" || strings.HasPrefix(s.command, "Slave") || strings.HasPrefix(s.command, "Replica") || strings.HasPrefix(s.command, "Binlog Dump")
}
