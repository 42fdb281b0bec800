package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// A sequence is one pipeline with several transactions, and a single Sync at its end. After an
// error the server ignores everything up to the Sync, so no later transaction begins. Each
// transaction but the first begins with queries that fail unless the one before was committed and
// the history has not changed since.

// shortBytes is how long a script of a sequence may be.
const shortBytes = 4 << 10

// Fits implements database.Sequencer.
func (b *transaction) Fits(s *migration.Script) bool {
	if !b.c.ours() || b.c.backend == 0 || b.looked || b.scripts > 0 || b.head.journal != 0 || b.c.unusable || b.db.src.exhausted() {
		return false
	}
	if s.Func() != nil || s.Size > shortBytes {
		return false
	}
	a, err := s.Analyze(b.db.Dialect(), b.db.Tables())
	if err != nil || a.Session || a.Copies || a.Statements > fewStatements {
		return false
	}
	for st, err := range a.Body() {
		if err != nil || needsSimple(st) {
			return false
		}
	}
	return true
}

// CommitEach implements database.Sequencer.
func (b *transaction) CommitEach(ctx context.Context, parts []database.Part, more bool, opts database.LockOptions, report database.PartReport) (database.Tx, database.Found, error) {
	ctx, leave, err := b.Enter(ctx)
	if err != nil {
		return nil, database.Found{}, err
	}
	defer leave()
	b.c.watch.close()
	b.opts = opts
	b.watch()
	n, err := b.commitEach(ctx, parts, more, report)
	b.End()
	if n == nil {
		return nil, database.Found{}, b.db.unknownCommit(b.c, err)
	}
	if b.db.opened(&n.Held, n.end, n.c) != nil { // Begin returns it
		return nil, database.Found{}, nil
	}
	return n, n.head.found(), nil
}

// StartSequence implements database.SequenceStarter. It needs a connection whose server process is
// known, and the head of Whimbrel's own set as this Database has seen it last.
func (db *Database) StartSequence(ctx context.Context, set string, head int64) database.Sequence {
	l, last := db.located(), db.last.Load()
	if !l.made() || last == nil || last.own > head || db.unknown.Load() != nil {
		return nil
	}
	c, err := db.acquire(ctx)
	if err != nil { // Begin returns it
		return nil
	}
	b := &transaction{db: db, c: c, set: set, own: l, schema: l.schema, unbegun: true}
	b.head = *last
	b.head.mine, b.head.journal = head-last.own, 0
	if !c.knownServer() || c.server.standby || c.unusable {
		c.giveBack()
		return nil
	}
	b.app = db.ownApp(c)
	if db.opened(&b.Held, b.end, c) != nil {
		return nil
	}
	return b
}

// runSequence is a sequence under the lock of a run, on its worker. The journal has the run's
// claim, which names the session: whoever takes over ends that first.
type runSequence struct {
	*transaction
	r *run
}

// StartSequence implements database.SequenceRun for a session of our own that is as it was before
// the run.
func (r *run) StartSequence(ctx context.Context, head int64) database.Sequence {
	_, leave, err := r.Enter(ctx)
	if err != nil {
		return nil
	}
	defer leave()
	if !r.worker.ours() || !r.untouched() || !r.ended || r.worker.unusable || r.head.sum() != head {
		return nil
	}
	r.worker.backend = r.at.PID
	b := &transaction{db: r.db, c: r.worker, set: r.set, own: r.own, schema: r.schema, app: r.app, head: r.head, unbegun: true, claim: r.token}
	b.head.journal = 0
	return &runSequence{b, r}
}

// CommitEach implements database.Sequencer.
func (s *runSequence) CommitEach(ctx context.Context, parts []database.Part, _ bool, opts database.LockOptions, report database.PartReport) (database.Tx, database.Found, error) {
	ctx, leave, err := s.r.Enter(ctx)
	if err != nil {
		return nil, database.Found{}, err
	}
	defer leave()
	ctx, stop := s.r.under(ctx)
	defer stop()
	s.opts = opts
	committed := report.Committed
	report.Committed = func(r database.Recorded) {
		s.r.head.mine = r.Head - s.r.head.own
		committed(r)
	}
	_, err = s.commitEach(ctx, parts, false, report)
	s.c.rollback()
	return nil, database.Found{}, s.db.unknownCommit(s.c, err)
}

// Rollback implements database.Sequence. Nothing has begun.
func (s *runSequence) Rollback(context.Context) error { return nil }

// member is a transaction of a sequence.
type member struct {
	*transaction
	begun, reached, committed bool
}

// commitEach executes the parts. If more is true, it begins the transaction that follows them, and
// returns it.
func (b *transaction) commitEach(ctx context.Context, parts []database.Part, more bool, report database.PartReport) (*transaction, error) {
	all := []*member{{transaction: b, begun: !b.unbegun}}
	if !b.unbegun {
		report.Begun()
	}
	var queries []query
	for _, p := range parts {
		m := all[len(all)-1]
		next := &member{transaction: b.following()}
		own, err := m.queries(ctx, p, func() {
			next.head.mine = m.head.mine
			report.Committed(database.Recorded{Entries: m.recorded, Head: m.head.sum()})
		})
		if err != nil { // Exec and Record of a Tx return it, too
			if len(all) == 1 {
				return nil, err
			}
			break
		}
		if !m.begun {
			queries = append(queries, m.followQueries(p.Script, report.Begun)...)
		}
		queries, all = append(queries, own...), append(all, next)
	}
	n, got := all[len(all)-1].transaction, false
	all = all[:len(all)-1]
	if more {
		queries = append(queries, b.db.beginQueries(b.c, b.own, b.set, b.opts, &got, &n.head)...)
	}
	err := b.c.pipeline(ctx, queries...)
	for _, m := range all {
		switch {
		case m.committed:
		case !m.begun:
			return nil, notBegun(b.c, err)
		default:
			return nil, notCommitted(b.c, err, m.reached)
		}
	}
	if err != nil || !got || b.db.checkServer(b.c, got) != nil || n.head.check() != nil || n.head.journal != 0 {
		return nil, nil
	}
	b.passed = true
	return n, nil
}

// notBegun returns what CommitEach returns if the server did not say that a transaction has begun:
// an error if the connection broke and the server may have committed it nevertheless.
func notBegun(c *conn, err error) error {
	if unknown := (*database.CommitUnknownError)(nil); errors.As(notCommitted(c, err, false), &unknown) {
		return unknown
	}
	return nil
}

// following returns a transaction that begins after b on the same connection.
func (b *transaction) following() *transaction {
	return &transaction{db: b.db, c: b.c, set: b.set, own: b.own, schema: b.schema, app: b.app, opts: b.opts, head: b.head, claim: b.claim}
}

// queries returns what a transaction of a sequence sends after it has begun, with COMMIT.
func (m *member) queries(ctx context.Context, p database.Part, done func()) ([]query, error) {
	m.collects, m.follows = true, !m.begun
	err := m.exec(ctx, p.Script)
	if err == nil {
		err = m.record(ctx, p.Entries...)
	}
	if err != nil {
		return nil, err
	}
	fail := func(pg *pgconn.PgError) error { return commitError(pg, m.last) }
	return withCommit(m.c, m.queue, fail, &m.reached, func() error {
		m.committed = true
		m.c.attended()
		if n := len(m.recorded); n > 0 {
			m.head.mine = m.recorded[n-1].ID
		}
		done()
		return nil
	}), nil
}

// keptHead is a setting of the session: the id of the history entry that it recorded last.
const keptHead = "whimbrel.head"

// keepingHead makes a query that records an entry keep its id in the session.
func keepingHead(q query) query {
	return alsoAsking(q, 1, "pg_catalog.set_config('"+keptHead+"', pg_catalog.max(id)::pg_catalog.text, false)")
}

// followQueries are like beginQueries, but all checks are the server's: they fail unless the
// transaction has the lock, and the last entry of the history is the one that this session
// recorded, or the given one. They also name the script in the session. Under the lock of a run,
// the journal must have its claim instead.
func (m *member) followQueries(s *migration.Script, begun func()) []query {
	b := m.db.beginning(m.c, m.own, m.set, m.opts)
	often := func(sql string, args ...arg) query {
		return query{sql: sql, args: args, path: callers, often: true, quiet: true}
	}
	head, lock := often(b.sameHead, b.set, number(m.head.own), number(m.head.tables)), often(b.lockAgain)
	if m.unbegun {
		head.sql, head.args = b.givenHead, append(head.args, number(m.head.mine))
	}
	head.flush = m.mayTakeLong(s)
	head.row = func(*row) error {
		m.begun = true
		begun()
		return nil
	}
	begin, app := []query{often(beginText), often(b.lockSettings), often(b.lockOwn)}, text(appOf(m.app, s.File))
	if m.claim != "" {
		if head.sql = b.claimedHead; m.unbegun {
			head.sql = b.claimedGivenHead
		}
		head.args = append(head.args, text(m.claim), app)
		return append(begin, head)
	}
	if b.of.keys.history == 0 {
		lock.args = []arg{b.id, b.set}
	}
	lock.args = append(lock.args, app)
	return append(begin, lock, head)
}

// sameHeadText returns the query that fails if headQuery would not return what is expected: an
// entry, or none for 0, $2 and $3 for Whimbrel's own set, and no journal.
func (db *Database) sameHeadText(schema, entry string) string {
	return db.expectText(schema, entry, "NOT EXISTS (SELECT FROM "+table(schema, db.names.Journal)+" WHERE set_name OPERATOR(pg_catalog.=) $1)", "")
}

// claimedHeadText is sameHeadText under the lock of a run: the journal has only its claim, the
// parameter of the given number, and the tables are the same, too. After that parameter comes the
// application_name. Nothing is locked before, so one query does it all.
func (db *Database) claimedHeadText(schema, entry, same, forThis string, claim int) string {
	journal := fmt.Sprintf("EXISTS (SELECT FROM %s WHERE set_name OPERATOR(pg_catalog.=) $1 AND token OPERATOR(pg_catalog.=) $%d AND NOT "+isOpen+")", table(schema, db.names.Journal), claim)
	return db.expectText(schema, entry, journal+" AND "+same, fmt.Sprintf("%s, pg_catalog.set_config('application_name', $%d, true)", forThis, claim+1))
}

// expectText returns a query that fails unless the head is the given one and a condition holds, and
// the columns that it also has.
func (db *Database) expectText(schema, entry, condition, columns string) string {
	history := table(schema, db.names.History)
	return "SELECT 1 OPERATOR(pg_catalog./) (coalesce(" + newestText(history) + ", 0) OPERATOR(pg_catalog.=) " + entry +
		"::bigint AND pg_catalog.max(id) OPERATOR(pg_catalog.=) $2 AND coalesce(" + versionText + ", 0) OPERATOR(pg_catalog.=) $3 AND " +
		condition + ")::int" + columns + " FROM " + history + " WHERE set_name OPERATOR(pg_catalog.=) '" + migration.ReservedSet + "'"
}

// mayTakeLong reports whether a script has statements other than those that only change a few rows
// of the catalog. Before such a script the server reports what it has done.
func (b *transaction) mayTakeLong(s *migration.Script) bool {
	a, err := s.Analyze(b.db.Dialect(), b.db.Tables())
	if err != nil {
		return true
	}
	for st, err := range a.Body() {
		if err != nil || !isBrief(st) {
			return true
		}
	}
	return false
}

// isBrief reports whether a statement is one of those. It waits for no other session, either.
func isBrief(st sqltext.Statement) bool {
	switch st.Verb() {
	case "GRANT", "REVOKE":
		return true
	case "CREATE":
		text := strings.ToUpper(st.Text)
		words := strings.Fields(text)
		return len(words) > 2 && slices.Contains([]string{"TABLE", "SCHEMA", "TYPE", "SEQUENCE", "DOMAIN"}, words[1]) &&
			!slices.ContainsFunc([]string{"SELECT", "REFERENCES", "INHERITS", "LIKE", "PARTITION", "OWNED"}, func(word string) bool { return strings.Contains(text, word) })
	}
	return false
}
