package mysql

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
)

// noteLane notes a connection that works on a lane, or no longer does.
func (db *Database) noteLane(id int64, works bool) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.lanes == nil {
		db.lanes = map[int64]bool{}
	}
	if works {
		db.lanes[id] = true
	} else {
		delete(db.lanes, id)
	}
}

// gauge measures what a throttle asks for.
type gauge struct {
	db *Database
	c  *conn
}

// Signals measures on a connection of its own, each by itself: what can't be measured has an Err.
func (db *Database) Signals(ctx context.Context, _ database.Backfill, t migration.Throttle) (all []database.Signal, err error) {
	c, err := db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer c.giveBack()
	if _, err := db.learn(ctx, c); err != nil {
		return nil, err
	}
	g := gauge{db: db, c: c}
	never := func(why string) func(context.Context) (bool, string, error) {
		return func(context.Context) (bool, string, error) { return false, "", errors.New(why) }
	}
	for _, m := range []struct {
		asked   bool
		name    string
		measure func(context.Context) (over bool, text string, err error)
	}{
		{t.Lag > 0, "max-lag", func(ctx context.Context) (bool, string, error) { return g.lag(ctx, t.Lag) }},
		{t.SlotWAL > 0, "max-slot-wal", never("the server has no replication slots")},
		{t.WALRate > 0, "max-wal-rate", func(ctx context.Context) (bool, string, error) { return g.logRate(ctx, t.WALRate) }},
		{t.Autovacuum, "wait-for-autovacuum", never("the server has no autovacuum")},
		{t.FlowControl > 0, "max-flow-control", func(ctx context.Context) (bool, string, error) { return g.flowControl(ctx, t.FlowControl) }},
	} {
		if !m.asked {
			continue
		}
		s := database.Signal{Name: m.name}
		s.Over, s.Text, s.Err = m.measure(ctx)
		if s.Err != nil && (c.gone || ctx.Err() != nil) {
			return nil, s.Err
		}
		all = append(all, s)
	}
	if t.Query != "" {
		rows, err := db.Query(ctx, t.Query)
		if err != nil && ctx.Err() != nil {
			return nil, err
		}
		all = append(all, drivers.QuerySignal(rows, err))
	}
	return append(all, g.waits(ctx)...), nil
}

// waits reports sessions that wait for locks of this process's workers. Who may not see that, or
// asks a server that doesn't show it, gets nothing: nobody has asked for it.
func (g gauge) waits(ctx context.Context) []database.Signal {
	var ids []string
	g.db.mu.Lock()
	for id := range g.db.lanes {
		ids = append(ids, number64(id))
	}
	g.db.mu.Unlock()
	if len(ids) == 0 || !g.db.learnt().maria {
		return nil
	}
	var n int64
	var who sql.NullInt64
	err := g.c.row(ctx, `SELECT count(DISTINCT w.trx_mysql_thread_id), min(w.trx_mysql_thread_id) FROM information_schema.innodb_lock_waits AS l
JOIN information_schema.innodb_trx AS b ON b.trx_id = l.blocking_trx_id JOIN information_schema.innodb_trx AS w ON w.trx_id = l.requesting_trx_id
WHERE b.trx_mysql_thread_id IN (`+strings.Join(ids, ", ")+`) AND w.trx_mysql_thread_id NOT IN (`+strings.Join(ids, ", ")+`)`, nil, &n, &who)
	if err != nil {
		return nil
	}
	s := database.Signal{Name: "lock-waits", Over: n > 0, Text: "no session waits for a lock of the backfill"}
	switch {
	case n == 1:
		s.Text = fmt.Sprintf("session %d waits for a lock of the backfill", who.Int64)
	case n > 1:
		s.Text = fmt.Sprintf("%d sessions wait for locks of the backfill", n)
	}
	return []database.Signal{s}
}

// status returns a status variable of the server, "" if it has none.
func (g gauge) status(ctx context.Context, name string) (value string, err error) {
	err = g.c.each(ctx, "SHOW GLOBAL STATUS LIKE '"+name+"'", nil, func(scan func(...any) error) error {
		var variable string
		return scan(&variable, &value)
	})
	return value, ownError("reading the server's status", err)
}

// sample is a counter at a moment.
type sample struct {
	value float64
	at    time.Time
}

// samples are the counters of a Database by name, as they were measured last.
type samples struct {
	mu  sync.Mutex
	was map[string]sample
}

// firstSample is how long the first measurement of a rate takes.
const firstSample = 200 * time.Millisecond

// rate returns how much a counter grows in a second, since it was measured last.
func (g gauge) rate(ctx context.Context, name string) (float64, error) {
	read := func() (s sample, err error) {
		text, err := g.status(ctx, name)
		if err != nil {
			return s, err
		}
		s.at = time.Now()
		if s.value, err = strconv.ParseFloat(text, 64); err != nil {
			err = fmt.Errorf("the server does not report %s", name)
		}
		return s, err
	}
	now, err := read()
	if err != nil {
		return 0, err
	}
	g.db.counters.mu.Lock()
	was, known := g.db.counters.was[name]
	g.db.counters.mu.Unlock()
	if known = known && now.value >= was.value && now.at.Sub(was.at) >= firstSample; !known {
		was = now
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(firstSample):
		}
		if now, err = read(); err != nil {
			return 0, err
		}
	}
	g.db.counters.mu.Lock()
	defer g.db.counters.mu.Unlock()
	if g.db.counters.was == nil {
		g.db.counters.was = map[string]sample{}
	}
	g.db.counters.was[name] = now
	return max(now.value-was.value, 0) / now.at.Sub(was.at).Seconds(), nil
}

// logRate measures how fast InnoDB writes its log.
func (g gauge) logRate(ctx context.Context, limit int64) (bool, string, error) {
	rate, err := g.rate(ctx, "Innodb_os_log_written")
	return rate > float64(limit), fmt.Sprintf("InnoDB writes %.0f bytes of its log a second", rate), err
}

// flowControl measures for which share of time the cluster has paused.
func (g gauge) flowControl(ctx context.Context, limit float64) (bool, string, error) {
	if !g.db.learnt().cluster {
		return false, "", errors.New("the server is not part of a Galera cluster")
	}
	rate, err := g.rate(ctx, "wsrep_flow_control_paused_ns")
	share := min(rate/1e9, 1)
	return share > limit, fmt.Sprintf("the cluster is paused for %.0f %% of the time", 100*share), err
}

// lag measures how far replication is behind: this server, if it is a replica, and those that
// replicate from it.
func (g gauge) lag(ctx context.Context, limit time.Duration) (over bool, text string, err error) {
	worst, who, is, err := g.behind(ctx, g.c, "this server")
	if err != nil {
		return false, "", err
	}
	replicas, err := g.replicas(ctx)
	if err != nil {
		return false, "", err
	}
	if !is && len(replicas) == 0 {
		return false, "", errors.New("no replica is visible: this server is none, and none is connected to it")
	}
	for _, address := range replicas {
		behind, name, err := g.ask(ctx, address)
		if err != nil {
			return false, "", err
		}
		if behind >= worst {
			worst, who = behind, name
		}
	}
	return worst > limit, fmt.Sprintf("%s is %s behind", who, worst), nil
}

// rows returns the rows of a SHOW statement by the names of their columns, in lower case. The first
// of the statements that the server knows counts.
func (g gauge) rows(ctx context.Context, c *conn, statements ...string) (all []map[string]string, err error) {
	for _, statement := range statements {
		var columns []string
		var rows [][]string
		err = c.do(ctx, func(ctx context.Context) (err error) {
			columns, rows, err = drivers.ReadRows(ctx, c, statement, nil, func(_ string, v sql.NullString) string { return v.String })
			return err
		})
		if number(err) == erParse {
			continue
		}
		for _, row := range rows {
			fields := map[string]string{}
			for i, name := range columns {
				fields[strings.ToLower(name)] = row[i]
			}
			all = append(all, fields)
		}
		return all, ownError(statement, err)
	}
	return nil, ownError("reading the state of replication", err)
}

// behind returns how far a server is behind its sources, if it is a replica.
func (g gauge) behind(ctx context.Context, c *conn, name string) (worst time.Duration, who string, is bool, err error) {
	rows, err := g.rows(ctx, c, "SHOW ALL SLAVES STATUS", "SHOW REPLICA STATUS", "SHOW SLAVE STATUS")
	if err != nil {
		return 0, "", false, err
	}
	for _, row := range rows {
		seconds, err := strconv.ParseInt(cmp.Or(row["seconds_behind_master"], row["seconds_behind_source"]), 10, 64)
		if err != nil {
			return 0, "", false, fmt.Errorf("%s does not say how far it is behind: replication has stopped", name)
		}
		worst = max(worst, time.Duration(seconds)*time.Second)
	}
	return worst, name, len(rows) > 0, nil
}

// replicas returns the addresses of the servers that replicate from this one.
func (g gauge) replicas(ctx context.Context) (addresses []string, err error) {
	rows, err := g.rows(ctx, g.c, "SHOW SLAVE HOSTS", "SHOW REPLICAS")
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		host, port := row["host"], cmp.Or(row["port"], "3306")
		if host == "" {
			return nil, fmt.Errorf("the replica with the server id %s does not report its address (report_host)", row["server_id"])
		}
		addresses = append(addresses, net.JoinHostPort(host, port))
	}
	return addresses, nil
}

// ask asks a replica how far it is behind, as the user of this connection.
func (g gauge) ask(ctx context.Context, address string) (behind time.Duration, name string, err error) {
	name = "the replica " + address
	if g.db.config == nil {
		return 0, name, fmt.Errorf("%s can't be asked: the program opened the connection itself", name)
	}
	config := g.db.config.Clone()
	config.Net, config.Addr, config.DBName = "tcp", address, ""
	pool, _, err := newPool(config)
	if err != nil {
		return 0, name, err
	}
	defer pool.Close()
	ctx, stop := context.WithTimeout(ctx, cancelGrace)
	defer stop()
	sc, err := pool.Conn(ctx)
	if err != nil {
		return 0, name, fmt.Errorf("%s can't be asked: %w", name, connectError(config, err))
	}
	defer sc.Close()
	behind, _, is, err := g.behind(ctx, &conn{Conn: sc, db: g.db}, name)
	if err == nil && !is {
		err = fmt.Errorf("%s does not say that it is a replica", name)
	}
	return behind, name, err
}
