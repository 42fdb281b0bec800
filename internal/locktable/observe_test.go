package locktable

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// observation is what one statement did on one server.
type observation struct {
	Locks []lock `json:"locks,omitempty"`
	// Rewrites and Rebuilds are tables and indexes that got a new file, Empties those whose new file
	// is empty. Builds counts new indexes on existing tables. Scans are tables that were read.
	Rewrites []string `json:"rewrites,omitempty"`
	Empties  []string `json:"empties,omitempty"`
	Rebuilds []string `json:"rebuilds,omitempty"`
	Builds   int      `json:"builds,omitempty"`
	Scans    []string `json:"scans,omitempty"`
}

// lock is the strongest lock on one relation.
type lock struct {
	On     string `json:"on"`
	Mode   string `json:"mode"` // as SQL writes it: "ACCESS EXCLUSIVE"
	Reads  bool   `json:"reads,omitempty"`
	Writes bool   `json:"writes,omitempty"`
	// Rows are the changes of the row with the id 1 that wait, though other rows can be changed.
	Rows []string `json:"rows,omitempty"`
}

// modes are the modes of table locks, weakest first, and for each the modes that conflict with it.
// TestModes proves them.
var modes = []struct {
	name      string
	conflicts string // one letter for each mode that conflicts, in the order of the list
}{
	{"ACCESS SHARE", "-------x"},
	{"ROW SHARE", "------xx"},
	{"ROW EXCLUSIVE", "----xxxx"},
	{"SHARE UPDATE EXCLUSIVE", "---xxxxx"},
	{"SHARE", "--xx-xxx"},
	{"SHARE ROW EXCLUSIVE", "--xxxxxx"},
	{"EXCLUSIVE", "-xxxxxxx"},
	{"ACCESS EXCLUSIVE", "xxxxxxxx"},
}

// level returns the number of a mode in modes; mode is written as in SQL or as in pg_locks.
func level(mode string) int {
	plain := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, " ", "")) }
	return slices.IndexFunc(modes, func(m struct{ name, conflicts string }) bool {
		return plain(m.name) == strings.TrimSuffix(plain(mode), "lock")
	})
}

// covers reports whether everything that conflicts with mode b conflicts with mode a.
func covers(a, b int) bool {
	for i := range modes {
		if modes[b].conflicts[i] == 'x' && modes[a].conflicts[i] != 'x' {
			return false
		}
	}
	return true
}

// relation is a table, index, view or sequence that exists before the statement.
type relation struct {
	oid, table uint32 // table is that of an index; otherwise its own
	name, kind string
	file       uint32
}

func (r relation) isIndex() bool    { return r.kind == "i" || r.kind == "I" }
func (r relation) isTable() bool    { return slices.Contains([]string{"r", "p", "m"}, r.kind) }
func (r relation) isSequence() bool { return r.kind == "S" }

// observer runs statements in one database.
type observer struct {
	t     *testing.T
	major int
	url   string
	conn  *pgx.Conn // runs the statements
	other *pgx.Conn // asks whether it would be blocked
	rels  map[uint32]relation
}

func newObserver(t *testing.T, major int, url string) *observer {
	t.Helper()
	o := &observer{t: t, major: major, url: url, conn: connect(t, url), other: connect(t, url)}
	o.do(o.other, "SET lock_timeout = '5ms'")
	o.setUp()
	return o
}

// setUp creates what exists before a statement, again if it exists.
func (o *observer) setUp() {
	o.t.Helper()
	o.do(o.conn, "DROP SCHEMA IF EXISTS archive CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public")
	o.do(o.conn, schema)
	if o.major >= 15 {
		o.do(o.conn, schema15)
	}
	if o.major >= 18 {
		o.do(o.conn, schema18)
	}
	o.do(o.conn, analyze)
	o.rels = o.relations(o.other)
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func (o *observer) do(c *pgx.Conn, sql string) {
	o.t.Helper()
	if _, err := c.PgConn().Exec(o.t.Context(), sql).ReadAll(); err != nil {
		o.t.Fatalf("%s: %v", sql, err)
	}
}

// rows returns the rows of a query as strings.
func (o *observer) rows(c *pgx.Conn, sql string) [][]string {
	o.t.Helper()
	results, err := c.PgConn().Exec(o.t.Context(), sql).ReadAll()
	if err != nil {
		o.t.Fatalf("%s: %v", sql, err)
	}
	var all [][]string
	for _, row := range results[len(results)-1].Rows {
		var cells []string
		for _, cell := range row {
			cells = append(cells, string(cell))
		}
		all = append(all, cells)
	}
	return all
}

func (o *observer) relations(c *pgx.Conn) map[uint32]relation {
	o.t.Helper()
	rels := map[uint32]relation{}
	for _, row := range o.rows(c, `
		SELECT c.oid, COALESCE(i.indrelid, c.oid), c.relname, c.relkind, COALESCE(pg_relation_filenode(c.oid), 0)
		FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid
		WHERE c.relkind IN ('r', 'p', 'm', 'v', 'i', 'I', 'S') AND c.relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('public', 'archive', 'attic'))`) {
		r := relation{oid: number(o.t, row[0]), table: number(o.t, row[1]), name: row[2], kind: row[3], file: number(o.t, row[4])}
		rels[r.oid] = r
	}
	return rels
}

func number(t *testing.T, s string) uint32 {
	var n uint32
	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// inTransaction runs a statement in a transaction, looks at it, and rolls it back.
func (o *observer) inTransaction(s statement) observation {
	o.t.Helper()
	o.do(o.conn, "SET TimeZone = 'UTC'; BEGIN")
	defer o.do(o.conn, "ROLLBACK")
	before := o.scans()
	if _, err := o.conn.PgConn().Exec(o.t.Context(), s.sql).ReadAll(); err != nil {
		o.t.Errorf("PostgreSQL %d: %s: %v", o.major, s.sql, err)
		return observation{}
	}
	after := o.scans()
	held := o.rows(o.conn, "SELECT relation, mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation' AND granted")
	found := observation{Locks: o.locks(held)}
	o.changes(&found, o.relations(o.conn))
	for oid, n := range after {
		if n > before[oid] {
			o.scanned(&found, oid)
		}
	}
	slices.Sort(found.Scans)
	for i := range found.Locks {
		o.probe(&found.Locks[i])
	}
	return found
}

// scans returns the number of times that the transaction has read each table as a whole.
func (o *observer) scans() map[uint32]uint32 {
	o.t.Helper()
	scans := map[uint32]uint32{}
	for _, row := range o.rows(o.conn, "SELECT relid, seq_scan FROM pg_stat_xact_user_tables WHERE seq_scan > 0") {
		scans[number(o.t, row[0])] = number(o.t, row[1])
	}
	return scans
}

func (o *observer) scanned(found *observation, oid uint32) {
	if r, ok := o.rels[oid]; ok && !slices.Contains(found.Rewrites, r.name) {
		found.Scans = append(found.Scans, r.name)
	}
}

// locks returns the strongest lock on each relation. It leaves out sequences and indexes with a
// lock that blocks nobody more than the lock on their table.
func (o *observer) locks(held [][]string) []lock {
	o.t.Helper()
	strongest := map[uint32]int{}
	for _, row := range held {
		oid, l := number(o.t, row[0]), level(row[1])
		if l < 0 {
			o.t.Fatalf("unknown lock mode %q", row[1])
		}
		if old, ok := strongest[oid]; !ok || covers(l, old) {
			strongest[oid] = l
		} else if !covers(old, l) {
			strongest[oid] = level("SHARE ROW EXCLUSIVE") // what two such locks are together
		}
	}
	var locks []lock
	for oid, l := range strongest {
		r, ok := o.rels[oid]
		table, locked := strongest[r.table]
		switch {
		case !ok:
			continue
		case r.isIndex() && (l <= level("ROW EXCLUSIVE") || locked && covers(table, l)):
			continue
		case r.isSequence() && l <= level("ROW EXCLUSIVE"):
			continue
		}
		locks = append(locks, lock{On: r.name, Mode: modes[l].name})
	}
	sortLocks(locks)
	return locks
}

// sortLocks sorts the strongest first.
func sortLocks(locks []lock) {
	slices.SortFunc(locks, func(a, b lock) int {
		if a, b := level(a.Mode), level(b.Mode); a != b {
			return b - a
		}
		return strings.Compare(a.On, b.On)
	})
}

// changes adds what got a new file, and new indexes.
func (o *observer) changes(found *observation, after map[uint32]relation) {
	names := map[string]relation{}
	for _, r := range after {
		names[r.name] = r
	}
	for oid, r := range o.rels {
		now, ok := after[oid]
		switch {
		case !ok && r.isIndex() && names[r.name].isIndex(): // replaced by a new one
			found.Rebuilds = append(found.Rebuilds, r.name)
		case !ok || now.file == r.file:
		case r.isIndex():
			found.Rebuilds = append(found.Rebuilds, r.name)
		case r.isTable() && o.empty(now):
			found.Empties = append(found.Empties, r.name)
		case r.isTable():
			found.Rewrites = append(found.Rewrites, r.name)
		}
	}
	for oid, r := range after {
		_, old := o.rels[oid]
		_, table := o.rels[r.table]
		if table && !old && r.kind == "i" && !slices.Contains(found.Rebuilds, r.name) {
			found.Builds++
		}
	}
	slices.Sort(found.Rewrites)
	slices.Sort(found.Empties)
	slices.Sort(found.Rebuilds)
}

func (o *observer) empty(r relation) bool {
	return o.rows(o.conn, fmt.Sprintf("SELECT pg_relation_size(%d)", r.oid))[0][0] == "0"
}

// probe asks another session to read and to write the relation. Its lock_timeout ends a wait; if it
// doesn't wait, no timeout can end it, however slow the machine is.
func (o *observer) probe(l *lock) {
	o.t.Helper()
	table := l.On
	for _, r := range o.rels {
		if r.name == l.On {
			table = o.rels[r.table].name
		}
	}
	l.Reads = o.waits("SELECT count(*) FROM " + table)
	switch table {
	case "totals": // nobody can write to it
		l.Writes = l.Reads
	case "numbers":
		l.Writes = o.waits("SELECT nextval('numbers')")
	default:
		l.Writes = l.Reads || o.waits("DELETE FROM "+table+" WHERE false")
	}
	if (table != "orders" && table != "drafts") || l.Writes {
		return
	}
	for _, change := range rowChanges {
		if o.waits("SELECT FROM " + table + " WHERE id = 1 FOR " + change.lock) {
			l.Rows = append(l.Rows, change.name)
		}
	}
}

// rowChanges are the locks that changes of a row take.
var rowChanges = []struct{ name, lock string }{
	{"updates", "NO KEY UPDATE"},
	{"deletes", "UPDATE"},
	{"new references", "KEY SHARE"}, // a foreign key's check of a new row that references it
}

func (o *observer) waits(sql string) bool {
	o.t.Helper()
	_, err := o.other.PgConn().Exec(o.t.Context(), "BEGIN; "+sql).ReadAll()
	o.do(o.other, "ROLLBACK")
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "55P03" {
		return true
	}
	if err != nil {
		o.t.Fatalf("%s: %v", sql, err)
	}
	return false
}

// others are transactions of other sessions that a statement outside a transaction may have to wait
// for. None blocks reads or writes, so what is blocked meanwhile is blocked by the statement.
var others = []string{
	"LOCK TABLE %[1]s IN ACCESS SHARE MODE",
	"LOCK TABLE %[1]s IN ROW EXCLUSIVE MODE",
	"LOCK TABLE %[1]s IN SHARE UPDATE EXCLUSIVE MODE",
}

// alone runs a statement once beside each of the others, on each table that it locks.
func (o *observer) alone(s statement) observation {
	o.t.Helper()
	if s.beside == nil {
		s.beside = []string{"orders"}
	}
	var all observation
	for _, table := range s.beside {
		for _, other := range others {
			o.setUp()
			all.add(o.beside(s, fmt.Sprintf(other, table)))
		}
	}
	return all
}

// beside runs a statement while the transaction of another session is open. The statement either
// waits for it, and then its locks don't change until the transaction ends, or it ends.
func (o *observer) beside(s statement, other string) (found observation) {
	o.t.Helper()
	holder := connect(o.t, o.url)
	defer holder.Close(context.Background())
	o.do(holder, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; "+other)
	ended := start(o.conn, s.sql)
	if o.waitsFor(holder, ended) {
		pid := o.conn.PgConn().PID()
		held := o.rows(o.other, fmt.Sprintf("SELECT relation, mode FROM pg_locks WHERE pid = %d AND locktype = 'relation'", pid))
		found.Locks = o.locks(held)
		for i := range found.Locks {
			o.probe(&found.Locks[i])
		}
	}
	o.do(holder, "ROLLBACK")
	if err := <-ended; err != nil {
		o.t.Errorf("PostgreSQL %d: %s: %v", o.major, s.sql, err)
	}
	o.changes(&found, o.relations(o.other))
	return found
}

// start executes a statement in the background.
func start(c *pgx.Conn, sql string) (ended chan error) {
	ended = make(chan error, 1)
	go func() {
		_, err := c.PgConn().Exec(context.Background(), sql).ReadAll()
		ended <- err
	}()
	return ended
}

// waitsFor returns true as soon as the statement waits for a session, and false if it ends before.
// It does not count a wait for others, such as an autovacuum.
func (o *observer) waitsFor(session *pgx.Conn, ended chan error) bool {
	o.t.Helper()
	query := fmt.Sprintf("SELECT %d = ANY (pg_blocking_pids(%d))", session.PgConn().PID(), o.conn.PgConn().PID())
	for {
		if o.rows(o.other, query)[0][0] == "t" {
			return true
		}
		select {
		case err := <-ended:
			ended <- err
			return false
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// add adds what was seen of another execution of the same statement.
func (o *observation) add(b observation) {
	for _, l := range b.Locks {
		i := slices.IndexFunc(o.Locks, func(old lock) bool { return old.On == l.On })
		switch {
		case i < 0:
			o.Locks = append(o.Locks, l)
		case covers(level(l.Mode), level(o.Locks[i].Mode)):
			o.Locks[i] = l
		}
	}
	sortLocks(o.Locks)
	o.Rewrites, o.Empties, o.Rebuilds, o.Builds = b.Rewrites, b.Empties, b.Rebuilds, b.Builds
}
