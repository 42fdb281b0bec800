package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	client "github.com/go-sql-driver/mysql"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// executor executes the statements of a script on a connection.
type executor struct {
	db     *Database
	h      *hold
	c      *conn
	script *migration.Script
	n      int
	first  *announcement // of the statement, to be sent with it
	limits waits         // of the waits for locks, to be set with it; the zero waits if they are set
	rows   bool          // statements before may have inserted rows, and LAST_INSERT_ID() is about them
}

// readsClientFile reports whether a statement is a LOAD DATA LOCAL or a LOAD XML LOCAL.
func readsClientFile(st sqltext.Statement) bool {
	if st.Verb() != "LOAD" {
		return false
	}
	l := sqltext.List(st.Text, sqltext.MySQL)
	return l.Any(1, "DATA", "XML") && l.Is(l.Skip(2, "LOW_PRIORITY", "CONCURRENT"), "LOCAL")
}

// Check implements database.Checker.
func (db *Database) Check(st sqltext.Statement) (why string) {
	name, drops := st.DroppedDatabase(sqltext.MySQL)
	if !drops || !db.isOwn(name) {
		return ""
	}
	return fmt.Sprintf("it drops the migrated database %q together with Whimbrel's tables, so it would be unknown what is applied; remove the statement (a reset empties a database)", name)
}

// isOwn reports whether a name is that of the migrated database. It ignores case, so on a
// case-sensitive server it also protects a database whose name differs only in case.
func (db *Database) isOwn(name string) bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	return strings.EqualFold(db.named, name)
}

var errTimeout = errors.New("the statement timeout expired")

// statement executes one statement within the script's timeout. The server's own timeout exists
// only for some statements or servers, so the driver cancels the statement.
func (e *executor) statement(ctx context.Context, st sqltext.Statement) error {
	if readsClientFile(st) {
		return refused(st, "LOAD DATA LOCAL reads a file on this machine, which is not part of the migration, and the server could request any other file, too", "use INSERT, or LOAD DATA INFILE on the server")
	}
	if why := e.db.Check(st); why != "" {
		return refused(st, why, "")
	}
	limited, stop := ctx, func() {}
	if d := e.script.StatementTimeout; d > 0 {
		limited, stop = context.WithTimeoutCause(ctx, d, errTimeout)
	}
	defer stop()
	watched := e.h.watchWaits(st, limitOf(e.h.opts, e.script))
	err := e.send(limited, st)
	watched(err)
	e.n++
	switch {
	case err == nil:
		return e.notices(ctx, st)
	case ctx.Err() == nil && errors.Is(context.Cause(limited), errTimeout):
		return &database.StatementError{
			Pos: st.Pos, Index: st.Index, Statement: st.Text, Code: "70100", Err: err,
			Message: fmt.Sprintf("the statement was canceled because it exceeded its statement timeout of %s", e.script.StatementTimeout),
		}
	case ctx.Err() != nil:
		return err
	}
	if own, ok := drivers.AsType[*ownFailure](err); ok {
		return own.error
	}
	return statementError(st, err)
}

// send sends a statement and waits for its end. Some statements return a lock timeout as a row.
func (e *executor) send(ctx context.Context, st sqltext.Statement) error {
	if e.first != nil {
		return e.sendAnnounced(ctx, st)
	}
	if !maintains(st) {
		return e.c.do(ctx, func(ctx context.Context) error {
			_, err := e.c.ExecContext(ctx, st.Text)
			return err
		})
	}
	failed := false
	err := e.c.do(ctx, func(ctx context.Context) error {
		return drivers.Each(ctx, e.c, st.Text, nil, func(scan func(...any) error) error {
			var table, op, kind, text sql.NullString
			if scan(&table, &op, &kind, &text) == nil { // ANALYZE of a statement has other columns
				failed = failed || strings.EqualFold(kind.String, "error")
			}
			return nil
		})
	})
	if err != nil || !failed {
		return err
	}
	waited, err := e.c.warned(ctx, erLockWait)
	if err == nil && waited {
		err = &client.MySQLError{Number: erLockWait, Message: "Lock wait timeout exceeded; try restarting transaction"}
	}
	return err
}

// manyStatements is the number of statements in a script after which the warnings of INSERTs are no
// longer read.
const manyStatements = 200

// notices reads the warnings of the last statement, which the server keeps until the next. This
// takes a round trip, unless the answer said that there are none.
func (e *executor) notices(ctx context.Context, st sqltext.Statement) error {
	if e.db.opts.Notice == nil || e.c.wire != nil && e.c.wire.warnings == 0 || e.n > manyStatements && (st.Verb() == "INSERT" || st.Verb() == "REPLACE") || e.counted(st) {
		return nil
	}
	var all []database.Notice
	err := e.c.each(ctx, "SHOW WARNINGS", nil, func(scan func(...any) error) error {
		var n database.Notice
		err := scan(&n.Severity, &n.Code, &n.Message)
		all = append(all, n)
		return err
	})
	if err != nil {
		return statementError(st, err)
	}
	for _, n := range all {
		e.db.opts.Notice(n)
	}
	return nil
}

// pass passes on the warnings in the answer to SHOW WARNINGS.
func (db *Database) pass(a answer) {
	for _, row := range a.rows {
		if len(row) == 3 {
			db.opts.Notice(database.Notice{Severity: row[0], Code: row[1], Message: row[2]})
		}
	}
}

// counting are the statements of a script that ask how many rows the one before them has changed or
// found.
type counting struct {
	script *migration.Script
	at     []int // their indexes, ascending
}

// counted reports whether the statement after another one asks how many rows that has changed or
// found: SHOW WARNINGS between them would change the answer.
func (e *executor) counted(st sqltext.Statement) bool {
	c := &e.h.counting
	if c.script != e.script {
		*c = counting{script: e.script}
		a, err := e.script.Analyze(sqltext.MySQL, e.db.Tables())
		if err != nil {
			return false
		}
		for next, err := range a.All() {
			if err != nil {
				break
			}
			if !changesSchema(next) && countsRows(next.Text) { // the body of a routine counts its own
				c.at = append(c.at, next.Index)
			}
		}
	}
	_, is := slices.BinarySearch(c.at, st.Index+1)
	return is
}

// countsRows reports whether a statement asks how many rows the one before it has changed or found.
func countsRows(text string) bool {
	upper := strings.ToUpper(text)
	for _, function := range []string{"ROW_COUNT", "FOUND_ROWS"} { // also names of columns
		if strings.Contains(upper, function) && sqltext.List(text, sqltext.MySQL).Index(function, "(", ")") >= 0 {
			return true
		}
	}
	return false
}
