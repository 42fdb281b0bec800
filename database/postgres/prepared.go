package postgres

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
)

// prepared holds the prepared statements on a connection of the driver's own pool: the few queries
// that run for every migration, and whose planning costs the server more than their execution. It
// is used only if the client knows that it talks to the server process directly: behind a pooler,
// the next transaction may run in another process, which has no such statements. The first
// migration prepares nothing.
type prepared struct {
	known map[string]*pgconn.StatementDescription // by query.key
	made  int                                     // names are never reused
	// attended: the session detects a dead client until it ends; attending: it will, if the open
	// transaction is committed.
	attended, attending bool
	server              server // that of the session, once known
}

// preparedKey is the key of prepared in a connection's custom data.
const preparedKey = "whimbrel.prepared"

func preparedOn(pc *pgconn.PgConn) *prepared {
	p, _ := pc.CustomData()[preparedKey].(*prepared)
	return p
}

// prepareFromNowOn enables prepared statements on an own connection if pid is that of its server
// process.
func (c *conn) prepareFromNowOn(pid int64) {
	if !c.isOwn() {
		return
	}
	c.with(func(pc *pgconn.PgConn) {
		if preparedOn(pc) == nil && pid == int64(pc.PID()) {
			pc.CustomData()[preparedKey] = &prepared{known: map[string]*pgconn.StatementDescription{}}
		}
	})
}

// ours reports whether the session certainly belongs to the driver alone.
func (c *conn) ours() (ours bool) {
	c.with(func(pc *pgconn.PgConn) { ours = preparedOn(pc) != nil })
	return ours
}

// onServer notes which server the connection leads to.
func (c *conn) onServer(s server) {
	c.server = s
	c.ifOurs(func(p *prepared) { p.server = s })
}

// knownServer sets the connection's server and process if both are known from earlier uses of the
// session, which cannot change. It reports whether they are.
func (c *conn) knownServer() (known bool) {
	c.ifOurs(func(p *prepared) { c.server = p.server })
	if c.server.started == "" {
		return false
	}
	c.backend = c.pid()
	return true
}

// attends reports whether the session detects a dead client until it ends.
func (c *conn) attends() (attends bool) {
	c.with(func(pc *pgconn.PgConn) {
		p := preparedOn(pc)
		attends = p != nil && p.attended
	})
	return attends
}

// attending notes whether the transaction that begins makes the session detect a dead client until
// it ends. That takes effect when the transaction is committed.
func (c *conn) attending(attending bool) {
	c.ifOurs(func(p *prepared) { p.attending = attending })
}

// attended notes that the transaction was committed.
func (c *conn) attended() {
	c.ifOurs(func(p *prepared) { p.attended, p.attending = p.attended || p.attending, false })
}

// ifOurs calls f if the session certainly belongs to the driver alone. It can be called while an
// answer is read.
func (c *conn) ifOurs(f func(*prepared)) {
	if !c.isOwn() {
		return
	}
	c.with(func(pc *pgconn.PgConn) {
		if p := preparedOn(pc); p != nil {
			f(p)
		}
	})
}

// forgetPrepared discards the prepared statements after a session may have lost them.
func (c *conn) forgetPrepared() {
	c.with(func(pc *pgconn.PgConn) { preparedOn(pc).forget() })
}

// keepPrepared discards the prepared statements that the session does not have any more; has are
// the names of those that it has.
func (c *conn) keepPrepared(has []string) {
	c.with(func(pc *pgconn.PgConn) {
		if p := preparedOn(pc); p != nil {
			maps.DeleteFunc(p.known, func(_ string, sd *pgconn.StatementDescription) bool { return !slices.Contains(has, sd.Name) })
		}
	})
}

// send sends a query, and reports whether the answer to its preparation comes first.
func (p *prepared) send(pipe *pgconn.Pipeline, q query) (prepares bool) {
	args := encode(q.args)
	if p == nil || !q.often {
		pipe.SendQueryParams(q.sql, args, q.oids, nil, q.formats)
		return false
	}
	if sd := p.known[q.key()]; sd != nil {
		pipe.SendQueryStatement(sd, args, nil, q.formats)
		return false
	}
	p.made++
	sd := &pgconn.StatementDescription{Name: "whimbrel_" + strconv.Itoa(p.made)}
	p.known[q.key()] = sd
	pipe.SendPrepare(sd.Name, q.sql, q.oids)
	pipe.SendQueryPrepared(sd.Name, args, nil, q.formats)
	return true
}

// key returns what distinguishes the query from others when it is prepared: the same text means
// something else with parameters of other types.
func (q query) key() string {
	if q.oids == nil {
		return q.sql
	}
	return fmt.Sprint(q.oids, q.sql)
}

// learn reads the answer to a preparation. The prepared statement survives a rollback.
func (p *prepared) learn(pipe *pgconn.Pipeline, q query) error {
	res, err := pipe.GetResults()
	if sd, ok := res.(*pgconn.StatementDescription); err == nil && ok {
		sd.Name = p.known[q.key()].Name
		p.known[q.key()] = sd // queries already sent keep the old description, without columns
	}
	return err
}

// forget discards the statements after they may have been lost, or not created.
func (p *prepared) forget() {
	if p != nil {
		clear(p.known)
	}
}
