package mysql

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// repeatable reports whether a statement can be executed again: a second time it has the same
// effect or none, or concerns only the session, which is a new one.
func repeatable(st sqltext.Statement) bool {
	l := sqltext.List(st.Text, sqltext.MySQL)
	switch st.Verb() {
	case "TRUNCATE", "OPTIMIZE", "ANALYZE", "CHECK", "CHECKSUM", "REPAIR", "FLUSH", "GRANT", "LOCK", "UNLOCK", "PREPARE", "DEALLOCATE",
		"KILL", "RESET", "CACHE", "USE":
		return true
	case "SET": // in MariaDB's SET STATEMENT … FOR, the statement matters
		return !l.Is(1, "STATEMENT")
	case "CREATE":
		i := l.Index("IF", "NOT", "EXISTS")
		return l.Is(1, "OR", "REPLACE") || l.Is(1, "TEMPORARY") || i > 1 && i < 5
	case "DROP":
		i := l.Index("IF", "EXISTS")
		return l.Is(1, "TEMPORARY") || i == 2 || i == 3
	}
	return false
}

// lasting reports whether a repeatable statement changes something that outlives its session.
func lasting(st sqltext.Statement) bool {
	l := sqltext.List(st.Text, sqltext.MySQL)
	switch st.Verb() {
	case "CREATE", "DROP":
		return !l.Is(1, "TEMPORARY")
	case "SET":
		return l.Any(1, "GLOBAL", "PERSIST", "PERSIST_ONLY", "PASSWORD", "DEFAULT") || strings.Contains(st.Text, "@@")
	case "TRUNCATE", "GRANT", "RESET":
		return true
	}
	return false
}

// changesSchema reports whether a statement changes only the schema.
func changesSchema(st sqltext.Statement) bool {
	return slices.Contains([]string{"CREATE", "ALTER", "DROP", "RENAME"}, st.Verb())
}

// Outcome compares the objects that the statement is about with what they were before. First it
// makes sure that the server no longer executes the statement. (A statement of another Run ended
// when this Run acquired the lock.)
func (r *run) Outcome(ctx context.Context, st sqltext.Statement, before string, opts database.LockOptions) (o *database.Outcome, err error) {
	err = r.do(ctx, func(ctx context.Context) error {
		if err := r.revive(ctx, opts); err != nil {
			return err
		}
		if repeatable(st) {
			o = &database.Outcome{Verdict: database.NotHappened, Why: "it can be repeated safely", Repeatable: lasting(st)}
			return nil
		}
		was, err := readBefore(before)
		if err != nil {
			return err
		}
		if st.Text == r.refused && len(was.Objects) == 1 {
			o = &database.Outcome{Verdict: database.NotHappened, Why: "the server refused it"}
			return nil
		}
		r.h.guard.mu.Lock()
		defer r.h.guard.mu.Unlock()
		is, err := r.h.now(ctx, st, was)
		if err != nil {
			return ownError("reading the objects that the statement names", err)
		}
		if o = judge(st, was.snapshot(), is.snapshot()); o.Verdict == database.Unclear && st.Text == r.invalid {
			o = &database.Outcome{Verdict: database.NotHappened, Why: "the server refused it"}
		}
		return nil
	})
	return o, err
}

func judge(st sqltext.Statement, was, is *catalog.Snapshot) *database.Outcome {
	o := database.Explain(st, was, is)
	about, known := subjectOf(st, "", false)
	switch {
	case about.outside:
		return &database.Outcome{Verdict: database.Unclear, Why: "it changes objects outside databases, which are not checked"}
	case !changesSchema(st):
		o.Verdict, o.Why = database.Unclear, "it may have had effects outside the schema"
	case !known:
		o.Verdict, o.Why = database.Unclear, "the statement does not show what it changes"
	case len(o.Changes) > 0 && o.Verdict != database.Happened: // a name in the text has other quotes
		o.Verdict, o.Why = database.Happened, "the schema has changed in what the statement names: "+o.Changes[0].String()
	}
	if l := sqltext.List(st.Text, sqltext.MySQL); l.Is(0, "DROP") && l.Index(",") > 0 && o.Verdict == database.Happened {
		o.First = rest(l.At(1), was, is)
	}
	return o
}

// rest returns statements that drop what an interrupted DROP of several objects left: the server
// drops one at a time.
func rest(noun sqltext.Token, was, is *catalog.Snapshot) (all []string) {
	for _, o := range was.Objects {
		kind := strings.ToUpper(string(o.Kind))
		if (noun.Is(kind) || noun.Is(kind+"S")) && is.Find(o.ID()) != nil {
			all = append(all, "DROP "+kind+" IF EXISTS "+quote(o.Schema)+"."+quote(o.Name))
		}
	}
	return all
}

// revive gives the run a new worker if the connection of the first has ended. The server may still
// execute its statement: revive terminates it and waits for its end.
func (r *run) revive(ctx context.Context, opts database.LockOptions) error {
	if !r.h.worker.gone {
		return nil
	}
	old := r.h.worker.id
	r.own, r.timed = false, nil
	return r.db.poll(ctx, r.h.set, opts, func(ctx context.Context) (bool, database.Holder, error) {
		h := database.Holder{PID: old}
		if err := r.db.killOn(ctx, r.h.guard, "CONNECTION", old); err != nil {
			return false, h, ownError("terminating the broken connection", err)
		}
		if atWork, err := r.h.atWork(ctx, old); err != nil || atWork {
			return false, h, err
		}
		if err := r.h.replaceWorker(ctx); err != nil {
			return false, h, err
		}
		return true, h, r.h.identify(ctx)
	})
}

// atWork reports whether a connection still holds the worker's lock.
func (h *hold) atWork(ctx context.Context, id int64) (is bool, err error) {
	h.guard.mu.Lock()
	defer h.guard.mu.Unlock()
	err = h.guard.c.row(ctx, "SELECT IS_USED_LOCK("+literal(h.guard.names.works(h.set))+") <=> "+number64(id), nil, &is)
	return is, ownError("checking whether the statement is still running", err)
}

var counter = lazyregexp.New(` AUTO_INCREMENT=[0-9]+`)

// define reads an object's definition. If the object doesn't exist, its kind becomes empty.
func (c *conn) define(ctx context.Context, o *catalog.Object) error {
	kind := strings.ToUpper(string(o.Kind))
	var text string
	err := c.each(ctx, "SHOW CREATE "+kind+" "+quote(o.Schema)+"."+quote(o.Name), nil, func(scan func(...any) error) error {
		values, err := scanAll(scan, 8)
		for _, v := range values {
			text += v.String + "\n"
		}
		return err
	})
	switch number(err) {
	case erNoSuchTable, erBadDB, 1305, 1360, 1539, 4091, 1356: // an invalid view exists, but can't be shown
		if number(err) != 1356 {
			o.Kind = ""
		}
		return nil
	}
	o.Set("definition", counter.ReplaceAllString(text, ""))
	return err
}

// scanAll reads a row with an unknown number of columns, up to most.
func scanAll(scan func(...any) error, most int) (values []sql.NullString, err error) {
	for n := most; n > 0; n-- {
		values = make([]sql.NullString, n)
		to := make([]any, n)
		for i := range values {
			to[i] = &values[i]
		}
		if err = scan(to...); err == nil || !strings.Contains(err.Error(), "expected") {
			return values, err
		}
	}
	return nil, err
}
