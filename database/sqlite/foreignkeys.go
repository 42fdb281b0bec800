package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	lib "modernc.org/sqlite/lib"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// foreignKeys tracks PRAGMA foreign_keys during a Tx. The pragma has no effect inside a
// transaction, and neither have pragmas that must precede a file's first write.
type foreignKeys struct {
	known   bool // base and now have been read
	base    bool // the session's value outside the Tx
	now     bool
	changed bool // pragmas were executed; they are reverted after the transaction
	before  violations
}

// prepare makes sure that the transaction has the foreign_keys that the script sets at its
// beginning, or that it would see alone. a is nil for a function.
func (k *foreignKeys) prepare(ctx context.Context, b *transaction, s *migration.Script, a *migration.Analysis) error {
	var pragmas []sqltext.Statement
	if a != nil {
		pragmas = a.Before
	}
	if len(pragmas) == 0 && !k.changed && (a == nil || !a.Forgets && a.Toggled == nil) {
		return nil
	}
	if err := k.read(b.c); err != nil {
		return err
	}
	want, clear := k.base, true
	for _, st := range pragmas {
		switch st.ForeignKeys {
		case sqltext.KeysOff, sqltext.KeysOn:
			want = st.ForeignKeys == sqltext.KeysOn
		default:
			clear = false
		}
	}
	if !clear || want != k.now {
		if b.written {
			return tooLate(s, pragmas)
		}
		if err := k.restart(ctx, b, pragmas); err != nil {
			return err
		}
	}
	if !k.checked(a) {
		return nil
	}
	var err error
	k.before, err = b.c.violations(ctx)
	return err
}

// checked reports whether the script must not add rows without a parent although SQLite doesn't
// check them.
func (k *foreignKeys) checked(a *migration.Analysis) bool {
	switch {
	case a == nil:
		return k.base && !k.now
	case k.now:
		return a.Forgets
	}
	return k.base || a.Enforced
}

func (k *foreignKeys) read(c *conn) error {
	if k.known {
		return nil
	}
	if err := c.ask("PRAGMA foreign_keys").Scan(&k.base); err != nil {
		return err
	}
	k.known, k.now = true, k.base
	return nil
}

// restart ends the transaction, in which nothing has happened, executes the pragmas, and begins
// another one.
func (k *foreignKeys) restart(ctx context.Context, b *transaction, pragmas []sqltext.Statement) error {
	head := b.found.Head
	b.c.rollback()
	if b.fresh && b.d.path != "" {
		// The connection has written the file's first page, if only for a moment, and can't change
		// its size any more. A new connection can.
		if err := b.reconnect(ctx); err != nil {
			return err
		}
	}
	k.changed = true
	for _, st := range pragmas {
		if _, err := b.c.ExecContext(bg, st.Text); err != nil {
			return statementError(st, err)
		}
	}
	if err := b.c.ask("PRAGMA foreign_keys").Scan(&k.now); err != nil {
		return err
	}
	if err := b.begin(ctx, b.again()); err != nil {
		return err
	}
	if b.found.Head != head {
		return fmt.Errorf("PRAGMA foreign_keys needs a new transaction: %w (entry %d became %d)", database.ErrHeadChanged, head, b.found.Head)
	}
	return nil
}

// tooLate is the error of a script that needs another foreign_keys than the transaction has.
func tooLate(s *migration.Script, pragmas []sqltext.Statement) error {
	e := &database.StatementError{
		Pos:     sqltext.Position{File: s.File, Line: max(s.Line, 1), Column: 1},
		Message: "an earlier script in the same transaction changed PRAGMA foreign_keys until the transaction's end",
		Hint:    "run each script in a transaction of its own",
	}
	if len(pragmas) > 0 {
		st := pragmas[0]
		e.Pos, e.Index, e.Statement = st.Pos, st.Index, st.Text
		e.Message = st.Why + " has no effect in a transaction, and this one has already made changes"
	}
	return e
}

// check returns an error if a script added violations that SQLite did not check.
func (k *foreignKeys) check(ctx context.Context, b *transaction, a *migration.Analysis) error {
	if !k.checked(a) {
		return nil
	}
	after, err := b.c.violations(ctx)
	if err != nil {
		return err
	}
	broken := after.without(k.before)
	if len(broken) == 0 {
		return nil
	}
	e := &database.StatementError{
		Code:    codeName(lib.SQLITE_CONSTRAINT_FOREIGNKEY),
		Message: "the script left rows without a parent: " + broken.list(),
		Hint:    "SQLite doesn't check rows while foreign keys are off or no longer deferred; PRAGMA foreign_key_check lists them",
	}
	if len(a.Before) > 0 {
		st := a.Before[len(a.Before)-1]
		e.Pos, e.Index, e.Statement = st.Pos, st.Index, st.Text
	}
	return e
}

// putBack restores the session's value. No transaction may be open.
func (k *foreignKeys) putBack(c *conn) error {
	if !k.changed {
		return nil
	}
	if err := c.do(fmt.Sprintf("PRAGMA foreign_keys = %t", k.base)); err != nil {
		return err
	}
	*k = foreignKeys{known: true, base: k.base, now: k.base}
	return nil
}

// violations are rows without a parent, from PRAGMA foreign_key_check.
type violations []violation

type violation struct {
	table, parent string
	rowid         any // nil in a WITHOUT ROWID table
}

func (c *conn) violations(ctx context.Context) (violations, error) {
	var all violations
	err := drivers.Each(ctx, c, "PRAGMA foreign_key_check", nil, func(scan func(...any) error) error {
		var v violation
		var parent sql.NullString
		var number any
		err := scan(&v.table, &v.rowid, &parent, &number)
		v.parent = parent.String
		all = append(all, v)
		return err
	})
	return all, err
}

// without returns the violations between those tables that have more of them than before. Rows
// can't be compared: a rebuilt table may number them anew.
func (all violations) without(before violations) violations {
	type pair struct{ table, parent string }
	count := map[pair]int{}
	for _, v := range before {
		count[pair{v.table, v.parent}]++
	}
	var more violations
	for _, v := range all {
		p := pair{v.table, v.parent}
		if count[p]--; count[p] < 0 {
			more = append(more, v)
		}
	}
	return more
}

// list names the first ten.
func (all violations) list() string {
	var parts []string
	for _, v := range all[:min(len(all), 10)] {
		row := ""
		if v.rowid != nil {
			row = fmt.Sprintf(" row %v", v.rowid)
		}
		parts = append(parts, fmt.Sprintf("table %s%s (parent %s)", v.table, row, v.parent))
	}
	if more := len(all) - len(parts); more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, ", ")
}
