package inspect

import (
	"fmt"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// DataStatement is a statement that has, or may have, effects outside the schema.
type DataStatement struct {
	Pos sqltext.Position
	SQL string // its beginning, on one line
	Why string // its effect: "writes rows"
}

func (d DataStatement) String() string { return fmt.Sprintf("%s: %s: %s", d.Pos, d.Why, d.SQL) }

// DataError reports statements whose effects a script made from the schema would lose.
type DataError struct{ Statements []DataStatement }

func (e *DataError) Error() string {
	var b strings.Builder
	b.WriteString("the range contains statements with effects outside the schema, which would be lost:")
	for _, s := range e.Statements {
		b.WriteString("\n" + s.String())
	}
	return b.String()
}

// DataStatements finds the statements of up scripts with effects outside the schema, including
// doubtful ones.
func DataStatements(migrations []migration.Migration, dialect sqltext.Dialect) ([]DataStatement, error) {
	var found []DataStatement
	for _, m := range migrations {
		if m.Up.Func() != nil {
			found = append(found, DataStatement{Pos: sqltext.Position{File: m.Up.File, Line: 1, Column: 1}, Why: "is a Go function, which may do anything"})
			continue
		}
		a, err := m.Up.Analyze(dialect, nil)
		if err != nil {
			return nil, err
		}
		for st, err := range a.All() {
			if err != nil {
				return nil, err
			}
			if st.Kind == sqltext.CopyData || st.Kind == sqltext.CopyEnd || st.Tx.Control() {
				continue
			}
			if why := outside(st.Text, dialect); why != "" {
				found = append(found, DataStatement{st.Pos, beginning(sqltext.Mask(st.Text, dialect)), why})
			}
		}
	}
	return found, nil
}

// beginning returns enough of a statement to recognize it.
func beginning(sql string) string {
	const enough = 60
	one := []rune(strings.Join(strings.Fields(sql), " "))
	if len(one) > enough {
		return string(one[:enough-1]) + "…"
	}
	return string(one)
}

const (
	writesRows = "writes rows"
	mayWrite   = "may write rows"
	calls      = "calls functions, which may write rows"
	moves      = "sets the next value of a sequence"
	ofServer   = "affects the server, not the schema"
)

// risky matches effects of a block other than changing the schema. It is a pattern, because the
// code of a block is a string.
var risky = lazyregexp.New(`(?i)\b(insert|update|delete|merge|truncate|copy|setval|perform|call|execute|restart|role|user|group|database|tablespace|system)\b`)

// outside returns a statement's effect outside the schema, or "" if it has none, or none that
// lasts. MySQL's databases have no privileges, and its snapshots don't contain AUTO_INCREMENT
// counters.
func outside(sql string, d sqltext.Dialect) string {
	l, st, mysql := sqltext.List(sql, d), sqltext.Statement{Text: sql}, d == sqltext.MySQL
	if i := l.Index("FOR"); l.Is(0, "SET", "STATEMENT") && i > 0 {
		return outside(sql[l[i].End():], d)
	}
	switch verb := st.Verb(); verb {
	case "CREATE", "ALTER", "DROP", "RENAME", "COMMENT", "SECURITY", "GRANT", "REVOKE":
		return outsideDDL(st, l, d)
	case "SELECT", "VALUES", "TABLE":
		return outsideQuery(l)
	case "DO":
		switch {
		case mysql:
			return outsideQuery(l)
		case risky.MatchString(sql):
			return mayWrite
		}
		return ""
	case "SET":
		switch {
		case mysql && len(st.Outside(d)) > 0:
			return ofServer
		case mysql && l.Index("(") >= 0:
			return calls
		}
		return ""
	case "PRAGMA":
		i := 1
		if l.Is(2, ".") {
			i = 3
		}
		if l.Any(i, "user_version", "application_id", "journal_mode", "auto_vacuum", "page_size", "encoding") && l.Any(i+1, "=", "(") {
			return "is kept in the file, and not in its schema"
		}
		return ""
	case "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "COPY", "TRUNCATE", "LOAD":
		return writesRows
	default:
		return outsideOther(verb, len(l), mysql)
	}
}

// outsideQuery is outside for a query.
func outsideQuery(l sqltext.TokenList) string {
	i := 1
	if l.Is(i, "pg_catalog", ".") {
		i += 2
	}
	switch {
	case l.Index("INTO") >= 0:
		return writesRows
	// dumps begin with it
	case l.Is(i, "set_config", "(") && l.Inside(i+1).Index("(") < 0 && l.Closing(i+1) == len(l):
		return ""
	case l.Index("(") >= 0:
		return calls
	}
	return ""
}

// outsideOther is outside for statements that their first word identifies.
func outsideOther(verb string, tokens int, mysql bool) string {
	switch verb {
	case "LOCK", "ANALYZE", "ANALYSE", "VACUUM", "REINDEX", "CLUSTER", "REFRESH", "DISCARD", "CHECKPOINT", "IMPORT", "REASSIGN",
		"NOTIFY", "LISTEN", "UNLISTEN", "PREPARE", "DEALLOCATE", "DECLARE", "FETCH", "MOVE", "CLOSE", "ATTACH", "DETACH", "USE",
		"UNLOCK", "OPTIMIZE", "REPAIR", "CHECK", "CHECKSUM", "SHOW", "DESCRIBE", "DESC", "HELP":
		return ""
	case "RESET":
		if !mysql {
			return ""
		}
		return ofServer
	case "FLUSH", "KILL", "PURGE", "CHANGE", "INSTALL", "UNINSTALL", "SHUTDOWN", "START", "STOP", "BINLOG":
		return ofServer
	}
	if tokens == 0 || mysql && verb == "EXPLAIN" {
		return ""
	}
	return mayWrite
}

// outsideDDL is outside for statements that change a schema, but perhaps not only that.
func outsideDDL(st sqltext.Statement, l sqltext.TokenList, d sqltext.Dialect) string {
	create, alter, mysql := l.Is(0, "CREATE"), l.Is(0, "ALTER"), d == sqltext.MySQL
	noun := l.Skip(1, "ON", "OR", "REPLACE", "UNDO", "GLOBAL", "LOCAL", "UNLOGGED", "TEMP", "TEMPORARY")
	table := create && l.Is(noun, "TABLE")
	switch {
	case slices.ContainsFunc(st.Outside(d), func(e sqltext.Effect) bool { return e.Whole }),
		mysql && l.Any(noun, "SERVER", "RESOURCE"),
		!mysql && (l.Is(0, "SECURITY") || l.Any(noun, "SUBSCRIPTION", "LARGE")):
		return ofServer
	case table && givesRows(l, mysql), mysql && alter && movesRows(l):
		return writesRows
	case alter && l.Index("RESTART") >= 0, mysql && (table || alter) && setsCounter(l):
		return moves
	}
	return ""
}

// givesRows reports whether a CREATE TABLE contains a query. In MySQL no word need precede it.
func givesRows(l sqltext.TokenList, mysql bool) bool {
	for i := range l {
		if mysql && l.Is(i, "SELECT") || l.Is(i, "AS") && l.Any(l.Skip(i+1, "("), "SELECT", "WITH", "VALUES", "TABLE", "EXECUTE") {
			return true
		}
	}
	return false
}

// movesRows reports whether an ALTER TABLE drops, empties or exchanges a part that has rows.
func movesRows(l sqltext.TokenList) bool {
	for i := range l {
		if l.Any(i, "TRUNCATE", "DROP", "EXCHANGE") && l.Is(i+1, "PARTITION") || l.Any(i, "DISCARD", "IMPORT") {
			return true
		}
	}
	return false
}

// setsCounter reports whether AUTO_INCREMENT is followed by a number.
func setsCounter(l sqltext.TokenList) bool {
	for i := range l {
		if l.Is(i, "AUTO_INCREMENT") && l.At(l.Skip(i+1, "=")).Kind == sqltext.TokenNumber {
			return true
		}
	}
	return false
}
