package mysql

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// groupTime limits the time of a group. Statements that take longer, or wait for a lock, are
// executed one by one.
const groupTime = time.Second

// groupTables is how many tables a group may change.
const groupTables = 8

// table is the name of a table as in a statement. Without a database it is in the session's.
type table struct{ schema, name string }

// quoted returns the name for a statement.
func (t table) quoted() string {
	if t.schema == "" {
		return quote(t.name)
	}
	return quote(t.schema) + "." + quote(t.name)
}

// in is a condition that two columns of a catalog have this name.
func (t table) in(schema, name string) string {
	if t.schema == "" {
		return schema + " = DATABASE() AND " + name + " = " + literal(t.name)
	}
	return schema + " = " + literal(t.schema) + " AND " + name + " = " + literal(t.name)
}

// constant are words that may be among the values of a statement in a group. Other words may name
// functions, which can change any table.
var constant = []string{
	"NULL", "DEFAULT", "TRUE", "FALSE", "NOW", "CURRENT_TIMESTAMP", "UTC_TIMESTAMP", "CURDATE", "CURRENT_DATE", "UUID", "UNHEX",
	"_binary", "_utf8mb4", "X", "B", "DATE", "TIMESTAMP",
}

// rowsOf returns the table of a statement that inserts or replaces rows of constants. It keeps no
// list of the tokens, because a statement can have thousands of rows.
func rowsOf(st sqltext.Statement) (t table, ok bool) {
	if st.Kind != sqltext.SQL || st.Tx != sqltext.TxAny || st.Session || !mayHaveRows(st.Text) {
		return t, false
	}
	t, from, ok := insertsInto(st)
	if !ok {
		return t, false
	}
	var last sqltext.Token
	for word := range sqltext.Tokens(st.Text[from:], sqltext.MySQL) {
		if last.Text == "" && word.Text != "(" || !isConstant(word) || last.Kind == sqltext.TokenWord && word.Text == "(" && word.Pos != last.End() {
			return t, false
		}
		last = word
	}
	return t, last.Text != ""
}

// insertsInto returns the table of an INSERT or REPLACE, and where its rows begin.
func insertsInto(st sqltext.Statement) (t table, from int, ok bool) {
	head := make(sqltext.TokenList, 0, usualHead) // what is before VALUES
	depth := 0
	for word := range sqltext.Tokens(st.Text[:min(len(st.Text), longestHead)], sqltext.MySQL) {
		if depth == 0 && (word.Is("VALUES") || word.Is("VALUE")) {
			t, ok = into(head)
			return t, word.End(), ok
		}
		switch head = append(head, word); word.Text {
		case "(":
			depth++
		case ")":
			depth--
		}
	}
	return t, 0, false
}

// usualHead is how many tokens there are before the rows of most statements.
const usualHead = 16

// longestHead is the most bytes before the rows of a statement in a group.
const longestHead = 64 << 10

// into returns the table of an INSERT or REPLACE, given its beginning.
func into(head sqltext.TokenList) (t table, ok bool) {
	at := head.Skip(1, "IGNORE")
	at = head.Skip(at, "INTO")
	t.name = head.At(at).Name()
	if at++; head.Is(at, ".") {
		t.schema, t.name = t.name, head.At(at+1).Name()
		at += 2
	}
	if head.Is(at, "(") {
		at = head.Closing(at)
	}
	return t, t.name != "" && at == len(head)
}

// isConstant reports whether a token may be among the values of a statement in a group.
func isConstant(t sqltext.Token) bool {
	switch t.Kind {
	case sqltext.TokenString, sqltext.TokenNumber:
		return true
	case sqltext.TokenPunct:
		return strings.Contains("(),-+.", t.Text)
	case sqltext.TokenWord:
		return slices.ContainsFunc(constant, t.Is)
	}
	return false
}

// mayHaveRows excludes statements by their text alone: those with code in comments, and those
// whose end depends on sql_mode.
func mayHaveRows(text string) bool {
	verb, _, _ := strings.Cut(text, " ")
	return (strings.EqualFold(verb, "INSERT") || strings.EqualFold(verb, "REPLACE")) && !strings.Contains(text, "/*") &&
		!(strings.Contains(text, `\`) && strings.Contains(text, `"`))
}

// Groups implements database.Grouper.
func (r *run) Groups(st sqltext.Statement) bool {
	_, ok := rowsOf(st)
	return ok
}

// GroupBytes implements database.Grouper: a message has more than the statements.
func (r *run) GroupBytes() int { return int(r.db.learnt().packet / 2) }

// ExecGroup implements database.Grouper. Its tables must be InnoDB's, without triggers, so that a
// rollback undoes everything.
func (r *run) ExecGroup(ctx context.Context, s *migration.Script, all []sqltext.Statement, done *database.Journal) (did bool, err error) {
	err = r.do(ctx, func(ctx context.Context) error {
		if err := r.h.checkNow(ctx); err != nil {
			return err
		}
		if r.timed != s || r.own || r.h.worker.unusable { // the script may have changed how it is read
			return nil
		}
		did, err = r.group(ctx, s, all, done)
		return err
	})
	return did, err
}

func (r *run) group(ctx context.Context, s *migration.Script, all []sqltext.Statement, done *database.Journal) (did bool, err error) {
	e := executor{db: r.db, h: r.h, c: r.h.worker, script: s, n: r.executed}
	limited, stop := context.WithTimeout(ctx, groupTime)
	defer stop()
	if r.h.atOnceFits(all) {
		err = r.groupAtOnce(limited, &e, all, done)
	} else {
		err = r.begun(limited, all[0])
		if err == nil {
			err = e.group(limited, all)
		}
		if err == nil {
			err = r.h.putJournal(ctx, r.h.worker, done, r.h.head.mine)
		}
		if err == nil {
			err = r.h.seal(ctx, r.h.worker)
		}
		if err == nil {
			err = r.h.unknownCommit(r.h.worker.commit(ctx))
		}
	}
	if err == nil {
		r.executed, r.rows = r.executed+len(all), true
		r.h.wrote(done)
		return true, nil
	}
	if _, unknown := drivers.AsType[*database.CommitUnknownError](err); unknown {
		return false, err
	}
	r.h.worker.finish("ROLLBACK")
	_, lost := drivers.AsType[*database.LockLostError](err)
	if lost || ctx.Err() != nil || r.h.worker.gone {
		return false, statementError(all[0], err)
	}
	return false, nil
}

// errOneByOne is the reason not to execute statements as a group.
var errOneByOne = errors.New("the statements can't be a group")

// ifNoWarnings is a statement that fails if the one before it has caused warnings.
const ifNoWarnings = "SET @whimbrel_warned = EXP(IF(@@warning_count = 0, 0, 1000))"

// groupAtOnce begins a transaction, executes the statements of a group in it, writes the journal
// and commits: all in one message, of which the server executes nothing more after a failure.
func (r *run) groupAtOnce(ctx context.Context, e *executor, all []sqltext.Statement, done *database.Journal) error {
	h, c := r.h, r.h.worker
	may, err := e.mayGroup(all)
	if err != nil {
		return err
	}
	ctx, stop := e.within(ctx)
	defer stop()
	w := r.waits
	if w == (waits{}) {
		w = c.waits
	}
	begin, now := c.beginning(true, w)
	drivers.Stamp(done, h.clock.now(), h.user, h.db.process)
	journal := h.journalWrite(done, hexText(done.DoneSum.Digits()), hexText(done.Before), h.head.mine)
	texts := []string{begin, "SET @whimbrel_may = " + mustBe("("+may+")")}
	listens := e.listens(len(all))
	for _, st := range all {
		if texts = append(texts, st.Text); listens {
			texts = append(texts, ifNoWarnings)
		}
	}
	texts = append(texts, ownWaits(h.lockWait, journal.sql), ifWritten, "COMMIT")
	executed, err := e.sendAll(ctx, texts)
	if len(executed) > 0 {
		c.waits, r.waits = now, waits{}
	}
	switch left := len(texts) - len(executed); {
	case err == nil && left == 0:
		return nil
	case err == nil:
		return errOneByOne
	case c.gone, left == 1 && number(err) == erInterrupted:
		return h.unknownCommit(&database.CommitUnknownError{Err: err})
	case left == 2 && number(err) == erOutOfRange:
		return h.overtaken(journal)
	}
	return err
}

// textsOf returns the texts of statements.
func textsOf(all []sqltext.Statement) (texts []string) {
	for _, st := range all {
		texts = append(texts, st.Text)
	}
	return texts
}

// atOnceFits reports whether groupAtOnce can send a group: the server must accept a message with it
// and with what is around it.
func (h *hold) atOnceFits(all []sqltext.Statement) bool {
	const around = 64 << 10
	size := around
	for _, st := range all {
		size += len(st.Text) + len(ifNoWarnings) + 2*len(terminator)
	}
	w := h.worker.wire
	return h.compound() && w != nil && !w.refuses && h.guard.form.seal(h.set) == "" && int64(size) < h.db.learnt().packet
}

// listens reports whether somebody listens to the warnings of more statements.
func (e *executor) listens(more int) bool {
	return e.db.opts.Notice != nil && e.n+more <= manyStatements
}

// heed returns an error if statements of a group have caused warnings that somebody listens to.
func (e *executor) heed(executed []answer) error {
	for _, a := range executed {
		if a.warnings > 0 && e.listens(len(executed)) {
			return errOneByOne
		}
	}
	return nil
}

// within returns a context that ends after the script's timeout for a statement.
func (e *executor) within(ctx context.Context) (context.Context, func()) {
	if d := e.script.StatementTimeout; d > 0 {
		return context.WithTimeout(ctx, d)
	}
	return ctx, func() {}
}

// mayGroup returns an SQL condition that statements may be a group.
func (e *executor) mayGroup(all []sqltext.Statement) (condition string, err error) {
	tables, size, err := groupTablesOf(all)
	if err != nil {
		return "", err
	}
	for _, st := range all {
		if e.db.Check(st) != "" {
			return "", errOneByOne
		}
	}
	return mayGroup(tables, size), nil
}

// group executes statements in the open transaction, one after the other.
func (e *executor) group(ctx context.Context, all []sqltext.Statement) error {
	condition, err := e.mayGroup(all)
	if err != nil {
		return err
	}
	ctx, stop := e.within(ctx)
	defer stop()
	var may bool
	if err := e.c.row(ctx, "SELECT "+condition, nil, &may); err != nil {
		return err
	}
	switch {
	case !may:
		return errOneByOne
	case e.c.wire != nil && !e.c.wire.refuses:
		executed, err := e.sendAll(ctx, textsOf(all))
		if err == nil && len(executed) != len(all) { // the server has read the text in another way
			err = errOneByOne
		}
		if err != nil {
			return err
		}
		return e.heed(executed)
	case e.listens(len(all)):
		return errOneByOne
	}
	for _, st := range all {
		if err := e.send(ctx, st); err != nil {
			return err
		}
	}
	return nil
}

// groupTablesOf returns the tables of a group, and the length of its statements.
func groupTablesOf(all []sqltext.Statement) (tables []table, size int, err error) {
	var head string // of the last statement that was read, up to its rows
	for _, st := range all {
		size += len(st.Text) + len(terminator)
		if head != "" && strings.HasPrefix(st.Text, head) { // it is about the same table
			continue
		}
		t, from, ok := insertsInto(st) // as Groups has found
		if !ok {
			return nil, 0, errOneByOne
		}
		if head = st.Text[:from]; !slices.Contains(tables, t) {
			tables = append(tables, t)
		}
	}
	if len(tables) > groupTables {
		return nil, 0, errOneByOne
	}
	return tables, size, nil
}

// terminator ends a statement among several. The statement may end with a comment.
const terminator = "\n;\n"

// mayGroup returns an SQL condition: a rollback undoes everything that rows for some tables change,
// and the server accepts a message with them. It keeps the tables as they are: until the
// transaction ends, no other session can change their engine or create a trigger. Who lacks the
// privilege TRIGGER doesn't see triggers.
func mayGroup(tables []table, size int) string {
	const me = `grantee = CONCAT('''', SUBSTRING_INDEX(CURRENT_USER(), '@', 1), '''@''', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''') AND privilege_type = 'TRIGGER'`
	all := []string{
		"@@max_allowed_packet > " + number64(int64(size)+1024),
		"(EXISTS (SELECT 1 FROM information_schema.user_privileges WHERE " + me + ") OR EXISTS (SELECT 1 FROM information_schema.schema_privileges WHERE " + me + " AND DATABASE() LIKE table_schema))",
	}
	for _, t := range tables {
		all = append(all, "EXISTS (SELECT 1 FROM information_schema.tables WHERE "+t.in("table_schema", "table_name")+" AND engine = 'InnoDB' AND table_type = 'BASE TABLE')",
			"NOT EXISTS (SELECT 1 FROM information_schema.triggers WHERE "+t.in("event_object_schema", "event_object_table")+")",
			"NOT EXISTS (SELECT 1 FROM "+t.quoted()+" WHERE FALSE)")
	}
	return strings.Join(all, " AND ")
}

// sendAll sends statements in one message, and returns what the server says of those that it has
// executed. It stops at the first that fails.
func (e *executor) sendAll(ctx context.Context, texts []string) (executed []answer, err error) {
	err = e.c.do(ctx, func(ctx context.Context) (err error) {
		executed, err = e.c.wire.exec(ctx, e.c, strings.Join(texts, terminator), nil)
		return err
	})
	return executed, err
}
