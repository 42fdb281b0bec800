package databasetest

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

var scriptCases = []testCase{
	{"a statement's error has its place", txStatement, statementErrorPlace},
	{"a script that is a transaction of its own", txBody, wrappedScript},
	{"a script with savepoints", txSavepoints, savepoints},
	{"a script without statements", txBody, scriptWithoutStatements},
	{"a script of many statements", txCommit, manyStatements},
	{"a Go function", txFunc, goFunction},
	{"a Go function of another driver", txFunc, foreignFunction},
	{"a notice", noticeIsCalled, noticeCase},
}

// failingInLine13 returns a script whose second statement, in its 13th line, fails.
func failingInLine13() *migration.Script {
	s := migration.Text("dir/2_b.up.sql", "-- ä comment; with a semicolon\nINSERT INTO t VALUES (1);\n\n  INSERT INTO missing VALUES (2); INSERT INTO t VALUES (3);\n")
	s.Line = 10
	return s
}

func statementErrorPlace(c *check) {
	db := c.dbWith("t")
	tx := c.begin(db, "s")
	c.run(tx, "INSERT INTO t VALUES (0)") // another script, whose statements don't count
	c.record(tx, 1)
	c.isStatementError(execAndCommit(c.ctx, tx, failingInLine13(), 2))
}

// isStatementError checks the error of failingInLine13.
func (c *check) isStatementError(err error) {
	c.Helper()
	st := as[*database.StatementError](c, err, "the failing statement")
	c.promised(statementPos)
	c.that(st.Pos.File == "dir/2_b.up.sql", "Pos.File is %q, want %q", st.Pos.File, "dir/2_b.up.sql")
	c.that(st.Pos.Line == 13, "Pos.Line is %d, want 13", st.Pos.Line)
	c.that(st.Pos.Column >= 3, "Pos.Column is %d, before the statement", st.Pos.Column)
	c.that(st.Pos.Column <= 33, "Pos.Column is %d, after the statement", st.Pos.Column)
	c.promised(statementIndex)
	c.that(st.Index == 1, "Index is %d, want 1", st.Index)
	c.that(st.Statement == "INSERT INTO missing VALUES (2)", "Statement is %q", st.Statement)
	c.promised(statementCode)
	c.that(st.Code != "", "Code is empty")
	c.that(strings.Contains(st.Message, "missing"), "Message is %q, which doesn't name the table", st.Message)
}

func wrappedScript(c *check) {
	db := c.dbWith("t")
	tx := c.pending(db, "-- its own transaction\nBEGIN;\nINSERT INTO t VALUES (1);\nCOMMIT;\n")
	c.hasRows("t", 0)
	c.isLocked("s")
	c.commit(tx)
	c.hasRows("t", 1)
	c.hasVersions(db, "s", 1)
}

func savepoints(c *check) {
	db := c.dbWith("t")
	c.apply(db, "s", 1, "INSERT INTO t VALUES (1);\nSAVEPOINT a;\nINSERT INTO t VALUES (2);\nINSERT INTO t VALUES (3);\nROLLBACK TO SAVEPOINT a;\nRELEASE SAVEPOINT a;\nINSERT INTO t VALUES (4);\n")
	c.hasRows("t", 2)
	c.promised(execCommit)
	r := c.guard(db, "s")
	c.exec(r, "BEGIN; INSERT INTO t VALUES (5); SAVEPOINT a; INSERT INTO t VALUES (6); ROLLBACK TO SAVEPOINT a; INSERT INTO t VALUES (7)")
	c.hasRows("t", 2)
	c.ok(c.mark(r, c.ctx, "COMMIT", interruptedRun(2)), "Run.Exec of COMMIT with a mark")
	c.hasRows("t", 4)
}

func scriptWithoutStatements(c *check) {
	db := c.db()
	tx := c.begin(db, "s")
	for _, s := range []string{"", " \n", "-- a comment without a line end", "/* a\ncomment */;;\n"} {
		c.run(tx, s)
	}
	c.record(tx, 1)
	c.commit(tx)
	c.hasVersions(db, "s", 1)
}

func manyStatements(c *check) {
	db := c.dbWith("t")
	const n = 500
	tx := c.begin(db, "s")
	for v := range int64(10) {
		c.run(tx, strings.Repeat("INSERT INTO t VALUES (1);\n", n/10))
		c.record(tx, v)
	}
	c.commit(tx)
	c.hasRows("t", n)
	c.hasVersions(db, "s", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
}

func goFunction(c *check) {
	c.need(c.Func != nil, noFunc)
	db := c.dbWith("t")
	rows := 1
	if c.NoDDL {
		c.table(db, "made")
		rows = 2
	}
	before := c.tables()
	cause := errors.New("the function's own error")
	tx := c.begin(db, "s")
	c.run(tx, "INSERT INTO t VALUES (1)")
	err := execAndCommit(c.ctx, tx, c.Func("one", "made", cause), 2)
	c.that(errors.Is(err, cause), "the error is %v, which does not wrap the function's", err)
	c.ok(tx.Rollback(c.ctx), "Tx.Rollback")
	c.promised(txWhole)
	c.hasRows("t", 0)
	c.hasTables(before...)
	c.hasVersions(db, "s")

	c.promised(txFunc)
	tx = c.begin(db, "s")
	c.ok(tx.Exec(c.ctx, c.Func("two", "made", nil)), "Tx.Exec of a Go function")
	c.run(tx, "INSERT INTO made VALUES (1)")
	c.record(tx, 1)
	c.commit(tx)
	c.hasTables("made", "t")
	c.hasRows("made", rows)
	c.hasVersions(db, "s", 1)
}

func foreignFunction(c *check) {
	db := c.db()
	called := false
	tx := c.begin(db, "s")
	err := execAndCommit(c.ctx, tx, migration.Func("foreign", func(fmt.Stringer) { called = true }))
	c.that(err != nil, "a function of another type returned no error")
	c.that(!called, "a function of another type was called")
}

func noticeCase(c *check) {
	c.need(c.Notice != "", "Target.Notice is not set")
	var notices atomic.Int64
	db := c.open(database.Options{Notice: func(n database.Notice) {
		if strings.Contains(n.Message, "whimbrel") {
			notices.Add(1)
		}
	}})
	tx := c.begin(db, "s")
	c.run(tx, c.Notice)
	c.commit(tx)
	c.that(notices.Load() == 1, "Notice was called %d times in a transaction, want once", notices.Load())
	r := c.guard(db, "s")
	c.exec(r, c.Notice)
	c.ok(r.Close(c.ctx), "Run.Close")
	c.that(notices.Load() == 2, "Notice was called %d times in a run, want once", notices.Load()-1)
}
