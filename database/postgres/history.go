package postgres

import (
	"context"
	"fmt"
	"iter"
	"math"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
)

// History reads the entries that q selects, one page per round trip.
func (db *Database) History(ctx context.Context, q database.HistoryQuery) iter.Seq2[database.Entry, error] {
	return drivers.History(ctx, q, db.historyPage)
}

func (db *Database) historyPage(ctx context.Context, q database.HistoryQuery, after int64) (page []database.Entry, err error) {
	c, err := db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer c.giveBack()
	var h head
	first := after == 0 || after == math.MaxInt64
	read := func(l location, before ...query) error {
		page, h = nil, head{} // the tables may have been others before
		query := db.historyQuery(l.schema, q, after)
		query.fail = db.foreignHistory
		query.row = func(r *row) error {
			e, err := readEvent(r)
			page = append(page, e)
			return err
		}
		queries := append(before, query)
		if first {
			queries = append(queries, db.firstQuery(l.schema, &h))
		}
		return c.pipeline(ctx, queries...)
	}
	start := time.Now()
	l, err := db.atTables(c, read)
	if err != nil || !l.made() {
		return nil, db.busy(ctx, c, l, q.Set, time.Since(start), err)
	}
	if first {
		if err := h.check(); err != nil {
			return nil, err
		}
	}
	return page, nil
}

func (db *Database) historyQuery(schema string, q database.HistoryQuery, after int64) query {
	texts := "NULL, NULL"
	if q.Texts {
		texts = "up_text, down_text"
	}
	where, order, args := []string{"id OPERATOR(pg_catalog.>) $1"}, "id", []arg{number(after)}
	if q.Newest {
		where[0], order = "id OPERATOR(pg_catalog.<) $1", "id DESC"
	}
	if q.Set != "" {
		args = append(args, keptAsASCII(q.Set))
		where = append(where, fmt.Sprintf("set_name OPERATOR(pg_catalog.=) $%d", len(args)))
	}
	if q.Version != nil {
		args = append(args, number(*q.Version))
		where = append(where, fmt.Sprintf("version OPERATOR(pg_catalog.=) $%d", len(args)))
	}
	if q.ID != 0 {
		args = append(args, number(q.ID))
		where = append(where, fmt.Sprintf("id OPERATOR(pg_catalog.=) $%d", len(args)))
	}
	if at := moment(q.Since); at != nil {
		args = append(args, at)
		where = append(where, fmt.Sprintf("started_at OPERATOR(pg_catalog.>=) $%d", len(args)))
	}
	return query{
		path: found,
		sql: fmt.Sprintf(`SELECT id, set_name, version, name, direction, checksum, down_checksum, %s, has_down_text, up_directives, down_directives,
	started_at, duration_us, tried, error, retries, lock_wait_us, db_user, os_user, host, app, actor, tool_version, reason, remark FROM %s WHERE %s ORDER BY %s LIMIT %d`,
			texts, table(schema, db.names.History), strings.Join(where, " AND "), order, q.Limit),
		args:    args,
		formats: []int16{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
	}
}

// firstQuery reads the entry of Whimbrel's own tables, for head.check.
func (db *Database) firstQuery(schema string, h *head) query {
	return query{
		path: found,
		sql:  "SELECT id, version FROM " + table(schema, db.names.History) + " WHERE set_name OPERATOR(pg_catalog.=) '" + migration.ReservedSet + "' AND direction OPERATOR(pg_catalog.=) 'up' ORDER BY id DESC LIMIT 1",
		row: func(r *row) error {
			h.own, h.tables = r.number(), r.number()
			return r.err
		},
	}
}

func readEvent(r *row) (e database.Entry, err error) {
	e.ID, e.Set, e.Version, e.Name, e.Direction = r.number(), r.kept(), r.number(), r.kept(), database.Direction(r.text())
	if err := e.Checksum.UnmarshalText(r.bytes()); err != nil {
		return e, err
	}
	if err := e.DownChecksum.UnmarshalText(r.bytes()); err != nil {
		return e, err
	}
	e.UpText, e.DownText, e.HasDownText = r.kept(), r.kept(), r.boolean()
	if e.UpDirectives, err = migration.ParseDirectives(r.text()); err != nil {
		return e, err
	}
	if e.DownDirectives, err = migration.ParseDirectives(r.text()); err != nil {
		return e, err
	}
	e.StartedAt, e.Duration = r.time(), microseconds(r.number())
	e.Tried, e.Error = database.Direction(r.text()), r.kept()
	e.Retries, e.LockWait = int(r.number()), microseconds(r.number())
	e.DBUser, e.OSUser = r.text(), r.kept()
	e.Host, e.App, e.Actor, e.ToolVersion, e.Reason, e.Remark = r.kept(), r.kept(), r.kept(), r.kept(), r.kept(), r.kept()
	return e, r.err
}
