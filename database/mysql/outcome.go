package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Announce reads the definitions of the objects that the statement names. DDL on one object is
// atomic, so these later show whether it took effect. Nothing else needs to be read, however large
// the database is.
func (r *run) Announce(ctx context.Context, st sqltext.Statement, j *database.Journal) error {
	if repeatable(st) {
		return r.Journal(ctx, j)
	}
	err := r.do(ctx, func(ctx context.Context) error {
		s, err := r.h.named(ctx, st)
		if err != nil {
			return err
		}
		doc, err := s.Encode()
		j.Before = string(doc)
		return err
	})
	if err != nil {
		return err
	}
	return r.Journal(ctx, j)
}

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

// Outcome compares the objects that the statement names with their earlier definitions. First it
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
		was, err := catalog.Decode([]byte(before))
		if err != nil {
			return fmt.Errorf("the journal's column before can't be read: %w", err)
		}
		is, err := r.h.named(ctx, st)
		if err != nil {
			return err
		}
		o = judge(st, was, is)
		return nil
	})
	return o, err
}

func judge(st sqltext.Statement, was, is *catalog.Snapshot) *database.Outcome {
	o := database.Explain(st, was, is)
	l := sqltext.List(st.Text, sqltext.MySQL)
	switch {
	case changesSchema(st) && l.Any(1, "USER", "ROLE", "SERVER", "TABLESPACE", "UNDO", "LOGFILE", "RESOURCE", "INSTANCE", "SPATIAL"):
		return &database.Outcome{Verdict: database.Unclear, Why: "it changes objects outside databases, which are not checked"}
	case !changesSchema(st):
		o.Verdict, o.Why = database.Unclear, "it may have had effects outside the schema"
	case l.Is(0, "DROP") && l.Index(",") > 0 && o.Verdict == database.Happened:
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

// objectLists list the objects in databases. A list is read only if the statement contains its
// word: reading it is slow in a large database.
var objectLists = []struct{ word, query string }{
	{"", "SELECT CASE table_type WHEN 'VIEW' THEN 'view' WHEN 'SEQUENCE' THEN 'sequence' ELSE 'table' END, table_schema, table_name FROM information_schema.tables WHERE table_schema IN ({schemas}){named}"},
	{"procedure", "SELECT 'procedure', routine_schema, routine_name FROM information_schema.routines WHERE routine_type = 'PROCEDURE' AND routine_schema IN ({schemas})"},
	{"function", "SELECT 'function', routine_schema, routine_name FROM information_schema.routines WHERE routine_type = 'FUNCTION' AND routine_schema IN ({schemas})"},
	{"package", "SELECT LOWER(routine_type), routine_schema, routine_name FROM information_schema.routines WHERE routine_type LIKE 'PACKAGE%' AND routine_schema IN ({schemas})"},
	{"trigger", "SELECT 'trigger', trigger_schema, trigger_name FROM information_schema.triggers WHERE trigger_schema IN ({schemas})"},
	{"event", "SELECT 'event', event_schema, event_name FROM information_schema.events WHERE event_schema IN ({schemas})"},
}

func objectsQuery(words map[string]bool, schemas []string) string {
	var all []string
	for _, l := range objectLists {
		if l.word == "" || words[l.word] {
			all = append(all, l.query)
		}
	}
	named := ""
	if len(words) <= manyWords { // the server opens each table that it can't exclude by name
		var names []string
		for w := range words {
			names = append(names, literal(w))
		}
		named = " AND table_name IN (" + strings.Join(names, ", ") + ")"
	}
	return strings.NewReplacer("{schemas}", strings.Join(schemas, ", "), "{named}", named).Replace(strings.Join(all, "\nUNION ALL "))
}

// manyWords is exceeded only by routines.
const manyWords = 300

// named reads the definitions of the objects that a statement names, in the session's database and
// in those that it names.
func (h *hold) named(ctx context.Context, st sqltext.Statement) (*catalog.Snapshot, error) {
	current := sql.NullString{String: h.database, Valid: true}
	if h.worker.unusable { // the script may have chosen another one
		if err := h.worker.row(ctx, "SELECT DATABASE()", nil, &current); err != nil {
			return nil, ownError("reading the session's database", err)
		}
	}
	h.guard.mu.Lock()
	defer h.guard.mu.Unlock()
	c, words := h.guard.c, sqltext.List(strings.ToLower(st.Text), sqltext.MySQL).Names()
	var objects []catalog.Object
	var schemas []string
	err := c.each(ctx, "SELECT schema_name FROM information_schema.schemata", nil, func(scan func(...any) error) error {
		var name string
		if err := scan(&name); err != nil {
			return err
		}
		if words[strings.ToLower(name)] {
			objects = append(objects, catalog.Object{Kind: catalog.Schema, Name: name})
		}
		if words[strings.ToLower(name)] || name == current.String {
			schemas = append(schemas, literal(name))
		}
		return nil
	})
	if err != nil {
		return nil, ownError("listing the databases", err)
	}
	if len(schemas) > 0 {
		err = c.each(ctx, objectsQuery(words, schemas), nil, func(scan func(...any) error) error {
			var kind, schema, name string
			err := scan(&kind, &schema, &name)
			if err == nil && words[strings.ToLower(name)] {
				objects = append(objects, catalog.Object{Kind: catalog.Kind(kind), Schema: schema, Name: name})
			}
			return err
		})
	}
	for i := range objects {
		if err == nil && objects[i].Kind != catalog.Schema {
			err = c.define(ctx, &objects[i])
		}
	}
	if err != nil {
		return nil, ownError("reading the objects that the statement names", err)
	}
	objects = slices.DeleteFunc(objects, func(o catalog.Object) bool { return o.Kind == "" })
	return catalog.New("MySQL", "", objects), nil
}

var counter = lazyregexp.New(` AUTO_INCREMENT=[0-9]+`)

// define reads an object's definition. If the object was just dropped, its kind becomes empty.
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
	case erNoSuchTable, 1305, 1360, 1539, 4091, 1356: // an invalid view exists, but can't be shown
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
