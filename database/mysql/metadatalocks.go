package mysql

import (
	"cmp"
	"database/sql"
	"slices"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/internal/order"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// conflicts returns, for a mode in which a metadata lock is requested, the modes of others with
// which it can't be granted, besides EXCLUSIVE. These are the server's own tables.
func conflicts(needs string) (modes []string, known bool) {
	switch needs {
	case "INTENTION_EXCLUSIVE":
		return []string{"SHARED"}, true
	case "SHARED":
		return []string{"INTENTION_EXCLUSIVE"}, true
	case "SHARED_HIGH_PRIO":
		return nil, true
	case "SHARED_READ":
		return []string{"SHARED_NO_READ_WRITE"}, true
	case "SHARED_WRITE", "SHARED_WRITE_LOW_PRIO":
		return []string{"SHARED_READ_ONLY", "SHARED_NO_WRITE", "SHARED_NO_READ_WRITE"}, true
	case "SHARED_UPGRADABLE":
		return []string{"SHARED_UPGRADABLE", "SHARED_NO_WRITE", "SHARED_NO_READ_WRITE"}, true
	case "SHARED_READ_ONLY":
		return []string{"SHARED_WRITE", "SHARED_WRITE_LOW_PRIO", "SHARED_NO_READ_WRITE"}, true
	case "SHARED_NO_WRITE":
		return []string{"SHARED_WRITE", "SHARED_WRITE_LOW_PRIO", "SHARED_UPGRADABLE", "SHARED_NO_WRITE", "SHARED_NO_READ_WRITE"}, true
	case "SHARED_NO_READ_WRITE":
		return []string{
			"SHARED_READ", "SHARED_WRITE", "SHARED_WRITE_LOW_PRIO", "SHARED_UPGRADABLE", "SHARED_READ_ONLY", "SHARED_NO_WRITE", "SHARED_NO_READ_WRITE",
		}, true
	}
	return nil, false
}

// conflict reports whether two modes can't be held at the same time; known is false for a mode of
// another kind of server.
func conflict(needs, holds string) (is, known bool) {
	if needs == "EXCLUSIVE" || holds == "EXCLUSIVE" {
		return true, true
	}
	modes, known := conflicts(needs)
	return !known || slices.Contains(modes, holds), known
}

// strong modes are granted before weak ones that are requested later.
func strong(mode string) bool {
	return mode == "EXCLUSIVE" || mode == "SHARED_NO_READ_WRITE" || mode == "SHARED_NO_WRITE"
}

// metadataLock is a lock of a session that is not one of InnoDB: on a table, a schema, a routine.
type metadataLock struct {
	session            int64
	kind, schema, name string
	mode               string
	pending            bool
}

func (l metadataLock) object() string {
	return strings.Trim(l.schema+"."+l.name, ".")
}

// readMetadataLocks reads who holds what the worker waits for: from performance_schema, from
// MariaDB's plugin metadata_lock_info, or, if the server has neither, by inference.
func (p *picture) readMetadataLocks() {
	if p.readPerformanceSchema() || p.readPlugin() {
		p.lookForPrepared()
		return
	}
	if p.hidden == "" {
		p.hidden = needsLocks
	}
	p.infer()
}

// readPerformanceSchema reports whether performance_schema shows what the worker waits for.
func (p *picture) readPerformanceSchema() bool {
	if !p.o.facts().perf || p.o.noPerf {
		return false
	}
	var locks []metadataLock
	err := p.o.ask(`SELECT t.processlist_id, l.object_type, l.object_schema, l.object_name, l.lock_type, l.lock_status = 'PENDING'
FROM performance_schema.metadata_locks l JOIN performance_schema.threads t ON t.thread_id = l.owner_thread_id WHERE t.processlist_id IS NOT NULL`, func(scan func(...any) error) error {
		var l metadataLock
		var schema, name sql.NullString
		err := scan(&l.session, &l.kind, &schema, &name, &l.mode, &l.pending)
		l.schema, l.name = schema.String, name.String
		locks = append(locks, l)
		return err
	})
	p.o.noPerf = number(err) != 0
	if err != nil || !slices.ContainsFunc(locks, func(l metadataLock) bool { return l.pending && l.session == p.o.h.worker.id }) {
		return false
	}
	p.noteMigrations(locks)
	for _, needs := range locks {
		if needs.pending {
			p.connect(needs, locks)
		}
	}
	return true
}

// connect adds an edge for each lock that a requested one waits for.
func (p *picture) connect(needs metadataLock, locks []metadataLock) {
	for _, l := range locks {
		if l.session == needs.session || l.kind != needs.kind || l.schema != needs.schema || l.name != needs.name {
			continue
		}
		is, known := conflict(needs.mode, l.mode)
		if is && (!l.pending || strong(l.mode) && !strong(needs.mode)) {
			p.edges = append(p.edges, edge{waiter: needs.session, holder: l.session, needs: needs.mode, holds: l.mode, object: l.object(), sure: known})
		}
	}
}

// readPlugin reports whether the plugin shows what the worker waits for. It shows only locks that
// are held; what the worker requests follows from its statement.
func (p *picture) readPlugin() bool {
	if !p.o.maria() || p.o.noPlugin {
		return false
	}
	var locks []metadataLock
	err := p.o.ask("SELECT thread_id, lock_type, table_schema, table_name, lock_mode FROM information_schema.metadata_lock_info", func(scan func(...any) error) error {
		var l metadataLock
		var schema, name sql.NullString
		err := scan(&l.session, &l.kind, &schema, &name, &l.mode)
		l.schema, l.name, l.mode = schema.String, name.String, strings.TrimPrefix(l.mode, "MDL_")
		locks = append(locks, l)
		return err
	})
	p.o.noPlugin = number(err) != 0
	if err != nil {
		return false
	}
	p.noteMigrations(locks)
	kind, tables, needs := strings.TrimPrefix(p.state, "Waiting for "), tablesOf(p.w.st.Text), neededMode(p.w.st)
	for _, l := range locks {
		if !strings.EqualFold(l.kind, kind) || p.ours(l.session) || !p.named(l, tables) {
			continue
		}
		if is, known := conflict(needs, l.mode); is {
			p.edges = append(p.edges, edge{waiter: p.o.h.worker.id, holder: l.session, needs: needs, holds: l.mode, object: l.object(), sure: known})
		}
	}
	p.queueByText(tables)
	return true
}

// named reports whether the worker's statement names what a lock is on. A lock without a table is
// on something that many statements need.
func (p *picture) named(l metadataLock, tables map[tableName]bool) bool {
	name, schema := strings.ToLower(l.name), strings.ToLower(l.schema)
	if name == "" {
		return true
	}
	return tables[tableName{schema, name}] || schema == p.database() && tables[tableName{"", name}]
}

// database returns the worker's database, which the script may have chosen, in lower case.
func (p *picture) database() string {
	return strings.ToLower(cmp.Or(p.sessions[p.o.h.worker.id].db, p.o.h.database))
}

// neededMode returns the mode in which a statement requests its last lock on a table.
func neededMode(st sqltext.Statement) string {
	switch st.Verb() {
	case "SELECT", "WITH", "TABLE", "VALUES":
		return "SHARED_READ"
	case "INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD":
		return "SHARED_WRITE"
	case "LOCK":
		if !slices.ContainsFunc(sqltext.List(st.Text, sqltext.MySQL), func(t sqltext.Token) bool { return t.Is("WRITE") }) {
			return "SHARED_READ_ONLY"
		}
		return "SHARED_NO_READ_WRITE"
	}
	return "EXCLUSIVE"
}

// infer adds the sessions that may hold the lock: those with a transaction that began before the
// wait and in the same database, and those that execute a statement that names the table.
func (p *picture) infer() {
	tables := tablesOf(p.w.st.Text)
	began := map[int64]time.Time{}
	for _, t := range p.transactions {
		began[t.session] = t.since
	}
	waiting := p.o.h.clock.now().Add(-time.Since(p.w.sent))
	for id, s := range p.sessions {
		since, open := began[id]
		open = open && !since.After(waiting.Add(time.Second)) && (strings.ToLower(s.db) == p.database() || s.db == "")
		uses := s.query != "" && p.shares(tables, s)
		if id == 0 || p.ours(id) || waitsForLock(s.state) || !open && !uses {
			continue
		}
		p.edges = append(p.edges, edge{waiter: p.o.h.worker.id, holder: id})
	}
	order.By(p.edges, func(a, b edge) int { return int(a.holder - b.holder) })
	p.lookForPrepared()
	p.queueByText(tables)
}

// queueByText notes the sessions whose statements wait for a lock of the same kind, or for any if
// the worker waits for a lock of InnoDB, and name one of the tables.
func (p *picture) queueByText(tables map[tableName]bool) {
	for id, s := range p.sessions {
		if !p.ours(id) && waitsForLock(s.state) && (p.state == "" || s.state == p.state) && p.shares(tables, s) {
			p.queued = append(p.queued, id)
		}
	}
}

// lookForPrepared adds the prepared transactions if no session is known to hold the lock: they hold
// locks that the server shows nowhere.
func (p *picture) lookForPrepared() {
	worker := p.o.h.worker.id
	if slices.ContainsFunc(p.edges, func(e edge) bool { return e.waiter == worker && e.sure }) {
		return
	}
	for _, t := range p.transactions {
		if t.session == 0 {
			p.edges = append(p.edges, edge{waiter: worker, trx: t.id})
		}
	}
}

// noteMigrations notes which sessions hold the locks of other migrations' workers and guards.
func (p *picture) noteMigrations(locks []metadataLock) {
	for _, l := range locks {
		if name := strings.TrimPrefix(l.object(), "."); strings.HasPrefix(name, "whimbrel works ") || strings.HasPrefix(name, "whimbrel guard ") {
			p.migrations[l.session] = true
		}
	}
}

// tableName is the name of a table in lower case; schema is "" for the session's database.
type tableName struct{ schema, name string }

// tablesOf returns the names in a statement that are at the place of a table's name.
func tablesOf(text string) map[tableName]bool {
	tables := map[tableName]bool{}
	l := sqltext.List(strings.ToLower(text), sqltext.MySQL)
	for i := 0; i < len(l); i++ {
		if !l.Any(i, "TABLE", "TABLES", "INTO", "UPDATE", "FROM", "JOIN", "ON", "TRUNCATE", "TO", "REFERENCES", "LIKE") {
			continue
		}
		for i++; ; i++ {
			i = l.Skip(i, "TABLE", "TABLES", "IGNORE", "LOW_PRIORITY", "QUICK", "IF", "NOT", "EXISTS", "ONLY")
			name := l.At(i).Name()
			if name == "" {
				break
			}
			t := tableName{"", name}
			if l.Is(i+1, ".") {
				t = tableName{name, l.At(i + 2).Name()}
				i += 2
			}
			tables[t] = true
			for i++; i < len(l) && l.Any(i, "READ", "WRITE", "AS", "LOCAL", "TO"); i++ {
			}
			if !l.Is(i, ",") {
				break
			}
		}
		i--
	}
	return tables
}

// shares reports whether another session's statement names one of the tables of the worker's.
func (p *picture) shares(tables map[tableName]bool, s peer) bool {
	for theirs := range tablesOf(s.query) {
		theirs.schema = cmp.Or(theirs.schema, strings.ToLower(s.db))
		for ours := range tables {
			ours.schema = cmp.Or(ours.schema, p.database())
			if ours == theirs {
				return true
			}
		}
	}
	return false
}
