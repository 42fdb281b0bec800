package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres/internal/pgddl"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// concurrently executes a statement that is in nobody's way while it waits for others: without a lock timeout, by which it
// would only leave something behind.
func (r *run) concurrently(ctx context.Context, st sqltext.Statement, what *pgddl.Statement) error {
	if r.pooled && what.Kind == pgddl.CreateIndex && what.Name == nil {
		return refused(st, "a connection pooler may deliver the statement after its process has died and another one has finished the migration, and would build a second index, since this one has no name",
			"give the index a name, or connect to PostgreSQL directly for this migration")
	}
	var now before
	putBack, err := r.noLockTimeout(ctx, beforeQueries(what, &now)...)
	if err == nil {
		err = r.untilFree(ctx, now.Table)
	}
	switch {
	case err != nil:
	case what.Kind == pgddl.CreateIndex && what.Name != nil:
		err = r.createIndex(ctx, st, what)
	default:
		err = r.alone(ctx, st, nil)
	}
	if perr := putBack(); err == nil {
		err = perr
	}
	return err
}

// noLockTimeout asks something, and takes the session's lock timeout away; a session behind a pooler is not ours.
func (r *run) noLockTimeout(ctx context.Context, also ...query) (putBack func() error, err error) {
	was := "0"
	queries := also
	if !r.pooled {
		queries = append(queries, query{
			sql: "SELECT setting, pg_catalog.set_config('lock_timeout', '0', false) FROM pg_catalog.pg_settings WHERE name = 'lock_timeout'",
			row: func(row *row) error {
				was = row.text()
				return row.err
			},
		})
	}
	err = r.worker.pipeline(ctx, queries...)
	return func() error {
		if was == "0" || r.worker.broken() {
			return nil
		}
		return r.worker.within(cancelGrace, pipelined([]query{setConfig("lock_timeout", literal(was), false)}))
	}, err
}

// createIndex executes CREATE INDEX CONCURRENTLY. IF NOT EXISTS is content with an index that is not valid, so that is dropped, and built
// again.
func (r *run) createIndex(ctx context.Context, st sqltext.Statement, what *pgddl.Statement) error {
	const tries = 3
	for try := 1; ; try++ {
		err := r.alone(ctx, st, nil)
		if err != nil && !hasCode(err, "42P07") || err == nil && !what.IfNotExists {
			return err
		}
		x, xerr := r.indexInTheWay(ctx, what)
		if xerr != nil || x == nil {
			return errors.Join(err, xerr)
		}
		switch {
		case err != nil:
			return x.explain(err)
		case !x.fits(what) || try == tries:
			return refused(st, fmt.Sprintf("there is an index %s that is not valid, and IF NOT EXISTS takes it for the one that is wanted", x), x.advice())
		}
		_, found, err := r.another(ctx, worksOn("$1::oid"), number(x.Table))
		if err != nil {
			return err
		}
		if found { // somebody has begun to build it just now
			if err := r.untilFree(ctx, x.Table); err != nil {
				return err
			}
			continue
		}
		if err := r.alone(ctx, sqltext.Statement{Text: x.drop(), Pos: st.Pos, Index: st.Index}, nil); err != nil {
			return err
		}
		if r.db.opts.Notice != nil {
			r.db.opts.Notice(database.Notice{Severity: "NOTICE", Message: fmt.Sprintf("the index %s was not valid, as when its building is interrupted; it was dropped, and is built again", x)})
		}
	}
}

// indexInTheWay returns an index that is not valid and has the name of one that is to be made; nil if there
// is none.
func (r *run) indexInTheWay(ctx context.Context, what *pgddl.Statement) (*index, error) {
	var all []index
	err := r.worker.pipeline(ctx, findRelations(what.Table), jsonInto(query{
		sql:  selectIndexes + "NOT i.indisvalid AND x.relname = $1::name AND x.relnamespace = (SELECT relnamespace FROM pg_catalog.pg_class WHERE oid = " + relation(1) + ")",
		args: []arg{text(what.Name[len(what.Name)-1])},
	}, &all))
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

func (x *index) advice() string {
	return fmt.Sprintf("an interrupted build may have left it: see whether anybody is still building it, and then DROP INDEX CONCURRENTLY %s", x)
}

// explain says of an error that the index which is there already is not valid.
func (x *index) explain(err error) error {
	var e *database.StatementError
	if errors.As(err, &e) {
		e.Hint = "that index is not valid; " + x.advice()
	}
	return err
}
