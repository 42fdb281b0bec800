package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/database/postgres/internal/pgddl"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// concurrently executes a statement that doesn't block others while it waits. It removes the lock
// timeout, which would only leave an incomplete result.
func (r *run) concurrently(ctx context.Context, st sqltext.Statement, what *pgddl.Statement) error {
	if r.pooled && what.Kind == pgddl.CreateIndex && what.Name == nil {
		return refused(st, "the index has no name, and a connection pooler may deliver the statement after another process has finished the migration, which would build a second index",
			"give the index a name, or connect to PostgreSQL directly for this migration")
	}
	if free := r.free == st.Text && (r.lifted || r.pooled); !free {
		var now before
		if err := r.worker.pipeline(ctx, append(beforeQueries(what, &now), r.lift()...)...); err != nil {
			return err
		}
		if err := r.untilFree(ctx, st, now.Table); err != nil {
			return err
		}
	}
	r.free = ""
	if what.Kind == pgddl.CreateIndex && what.Name != nil {
		return r.createIndex(ctx, st, what)
	}
	return r.execute(ctx, st, nil, 0)
}

// createIndex executes CREATE INDEX CONCURRENTLY. IF NOT EXISTS accepts an invalid index, so
// createIndex drops that and builds it again.
func (r *run) createIndex(ctx context.Context, st sqltext.Statement, what *pgddl.Statement) error {
	const tries = 3
	for try := 1; ; try++ {
		if err := r.execute(ctx, st, nil, 0); err != nil || !what.IfNotExists {
			return r.explainExisting(ctx, what, err)
		}
		x, err := r.invalidIndex(ctx, what)
		if err != nil || x == nil {
			return err
		}
		if !x.fits(what) || try == tries {
			return x.explain(refused(st, fmt.Sprintf("an invalid index %s exists, and IF NOT EXISTS would accept it", x), ""), x.advice())
		}
		_, found, err := r.another(ctx, worksOn("$1::oid"), number(x.Table))
		if err != nil {
			return err
		}
		if found { // another session is building it
			if err := r.untilFree(ctx, st, x.Table); err != nil {
				return err
			}
			continue
		}
		if err := r.execute(ctx, sqltext.Statement{Text: x.drop(), Pos: st.Pos, Index: st.Index}, nil, 0); err != nil {
			return err
		}
		if r.db.opts.Notice != nil {
			r.db.opts.Notice(database.Notice{Severity: "NOTICE", Message: fmt.Sprintf("index %s was invalid, probably after an interrupted build; it was dropped and is being rebuilt", x)})
		}
	}
}

// invalidIndex returns the invalid index that has the name of the new one, or nil.
func (r *run) invalidIndex(ctx context.Context, what *pgddl.Statement) (*index, error) {
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
	return fmt.Sprintf("an interrupted build may have left it: check that no session is still building it, then run DROP INDEX CONCURRENTLY %s", x)
}

// explainExisting explains the error of a CREATE INDEX whose name an invalid index has. It returns
// any other error unchanged.
func (r *run) explainExisting(ctx context.Context, what *pgddl.Statement, err error) error {
	if what.Kind != pgddl.CreateIndex || what.Name == nil || !hasCode(err, "42P07") {
		return err
	}
	x, xerr := r.invalidIndex(ctx, what)
	if xerr != nil || x == nil {
		return errors.Join(err, xerr)
	}
	return x.explain(err, "that index is invalid; "+x.advice())
}

// explain adds to an error of a statement what to do about the invalid index.
func (x *index) explain(err error, hint string) error {
	if e, ok := drivers.AsType[*database.StatementError](err); ok {
		e.Hint, e.Elsewhere = hint, true
	}
	return err
}
