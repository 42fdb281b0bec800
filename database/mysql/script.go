package mysql

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// executor executes the statements of a script on a connection.
type executor struct {
	db     *Database
	c      *conn
	script *migration.Script
	n      int
}

var localInfile = regexp.MustCompile(`(?is)^load\s+(data|xml)\s+(low_priority\s+|concurrent\s+)?local\b`)

var dropDatabase = regexp.MustCompile("(?is)^drop\\s+(?:database|schema)\\s+(?:if\\s+exists\\s+)?(`(?:[^`]|``)+`|[^\\s;`]+)")

// dropped returns the name of the database that a statement drops.
func dropped(text string) (name string, drops bool) {
	m := dropDatabase.FindStringSubmatch(versioned.ReplaceAllString(comments.ReplaceAllString(text, " "), " "))
	if m == nil {
		return "", false
	}
	if name = m[1]; name[0] == '`' || name[0] == '"' {
		name = strings.ReplaceAll(name[1:len(name)-1], "``", "`")
	}
	return name, true
}

// comments are those that the server passes over, versioned the marks around what it does not.
var (
	comments  = regexp.MustCompile(`(?s)/\*(?:[^!M].*?)?\*/|--\s[^\n]*\n|#[^\n]*\n`)
	versioned = regexp.MustCompile(`/\*M?![0-9]*|\*/`)
)

// Check implements database.Checker.
func (db *Database) Check(st sqltext.Statement) (why string) {
	name, drops := dropped(st.Text)
	if !drops || !db.isOwn(name) {
		return ""
	}
	return fmt.Sprintf("it drops the database %q, which is migrated: Whimbrel's own tables would go with it, and nobody could tell what has been applied; take the statement out (a reset empties a database)", name)
}

// isOwn reports whether a name is that of the database which is migrated. Where the server tells names apart by case,
// another one that differs in nothing else is not dropped either: better so.
func (db *Database) isOwn(name string) bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	return strings.EqualFold(db.named, name)
}

var errTimeout = errors.New("the statement timeout is over")

// statement executes one statement, under the script's timeout: the server has one only for some statements, or only for
// some servers, so it is told to end the statement when the time is over.
func (e *executor) statement(ctx context.Context, st sqltext.Statement) error {
	if localInfile.MatchString(st.Text) {
		return refused(st, "LOAD DATA LOCAL reads a file on the machine that the migration runs from, which is no part of the migration, and a server could ask for any other file, too", "write the rows as INSERT, or use LOAD DATA INFILE on the server")
	}
	if why := e.db.Check(st); why != "" {
		return refused(st, why, "")
	}
	limited, stop := ctx, func() {}
	if d := e.script.StatementTimeout; d > 0 {
		limited, stop = context.WithTimeoutCause(ctx, d, errTimeout)
	}
	defer stop()
	err := e.c.do(limited, func(ctx context.Context) error {
		_, err := e.c.ExecContext(ctx, st.Text)
		return err
	})
	e.n++
	switch {
	case err == nil:
		return e.notices(ctx, st)
	case ctx.Err() == nil && errors.Is(context.Cause(limited), errTimeout):
		return &database.StatementError{
			Pos: st.Pos, Index: st.Index, Statement: st.Text, Code: "70100", Err: err,
			Message: fmt.Sprintf("the statement was cancelled, since it took longer than its statement timeout of %s", e.script.StatementTimeout),
		}
	case ctx.Err() != nil:
		return err
	}
	return statementError(st, err)
}

// manyStatements is how many statements a script can have before nobody asks for the warnings of its INSERTs any more.
const manyStatements = 200

var insert = regexp.MustCompile(`(?i)^(insert|replace)\b`)

// notices asks for the warnings of the last statement, which the server keeps until the next. To ask is a round trip.
func (e *executor) notices(ctx context.Context, st sqltext.Statement) error {
	if e.db.opts.Notice == nil || e.n > manyStatements && insert.MatchString(st.Text) {
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

// setLockTimeout bounds the waits for locks, in whole seconds, as the server counts them.
func (c *conn) setLockTimeout(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	seconds := number64(int64((d + time.Second - 1) / time.Second))
	_, err := c.exec(ctx, "SET SESSION lock_wait_timeout = "+seconds+", SESSION innodb_lock_wait_timeout = "+seconds)
	return ownError("setting the lock timeout", err)
}
