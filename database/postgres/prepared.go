package postgres

import (
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// prepared is what a connection of the driver's own pool keeps prepared on the server: the few queries that
// are asked for every migration, whose planning costs the server more than their work. It is used only
// where the client has been told the process of the server that answers: behind a pooler the next transaction
// may be another process's, which has never heard of them. Nothing is prepared for a first migration.
type prepared struct {
	known map[string]*pgconn.StatementDescription // by the query's text
	made  int                                     // names are never used again
}

// preparedKey is where a connection's custom data keeps it.
const preparedKey = "whimbrel.prepared"

func preparedOn(pc *pgx.Conn) *prepared {
	p, _ := pc.PgConn().CustomData()[preparedKey].(*prepared)
	return p
}

// prepareFromNowOn is called when pid is known to be the process behind an own connection.
func (c *conn) prepareFromNowOn(pid int64) {
	if l, ok := c.lease.(pooled); !ok || !l.own {
		return
	}
	c.use(func(pc *pgx.Conn) error {
		if preparedOn(pc) == nil && pid == int64(pc.PgConn().PID()) {
			pc.PgConn().CustomData()[preparedKey] = &prepared{known: map[string]*pgconn.StatementDescription{}}
		}
		return nil
	})
}

// forgetPrepared is called after what may have taken away a session's prepared statements.
func (c *conn) forgetPrepared() {
	c.use(func(pc *pgx.Conn) error {
		preparedOn(pc).forget()
		return nil
	})
}

// send sends a query, and reports whether the answer to its preparation comes first.
func (p *prepared) send(pipe *pgconn.Pipeline, q query) (prepares bool) {
	args := encode(q.args)
	if p == nil || !q.often {
		pipe.SendQueryParams(q.sql, args, nil, nil, q.formats)
		return false
	}
	if sd := p.known[q.sql]; sd != nil {
		pipe.SendQueryStatement(sd, args, nil, q.formats)
		return false
	}
	p.made++
	sd := &pgconn.StatementDescription{Name: "whimbrel_" + strconv.Itoa(p.made)}
	p.known[q.sql] = sd
	pipe.SendPrepare(sd.Name, q.sql, nil)
	pipe.SendQueryPrepared(sd.Name, args, nil, q.formats)
	return true
}

// learn reads the answer to a preparation. The statement stays, even if the transaction is rolled back.
func (p *prepared) learn(pipe *pgconn.Pipeline, q query) error {
	res, err := pipe.GetResults()
	if sd, ok := res.(*pgconn.StatementDescription); err == nil && ok {
		sd.Name = p.known[q.sql].Name
		p.known[q.sql] = sd // what was sent before keeps the other, without the columns
	}
	return err
}

// forget is called after what may have taken prepared statements away, or have kept them from being made.
func (p *prepared) forget() {
	if p != nil {
		clear(p.known)
	}
}
