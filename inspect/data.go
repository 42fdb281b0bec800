package inspect

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// DataStatement is a statement whose work is not in the schema, or may not be.
type DataStatement struct {
	Pos sqltext.Position
	SQL string // its beginning, on one line
	Why string // what it does: "writes rows"
}

func (d DataStatement) String() string { return fmt.Sprintf("%s: %s: %s", d.Pos, d.Why, d.SQL) }

// DataError reports statements that would be lost with a script that makes a schema and
// nothing else.
type DataError struct{ Statements []DataStatement }

func (e *DataError) Error() string {
	var b strings.Builder
	b.WriteString("the range has statements whose work a schema does not show, so that it would be lost; let the range end before them, or leave them out on purpose (--drop-data):")
	for _, s := range e.Statements {
		b.WriteString("\n" + s.String())
	}
	return b.String()
}

// dataOf finds the statements of up scripts whose work is not in a schema. In doubt it is one.
func dataOf(migrations []migration.Migration, dialect sqltext.Dialect) ([]DataStatement, error) {
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

// beginning returns as much of a statement as is enough to know it by.
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
	moves      = "sets where a sequence goes on"
	ofServer   = "is about the server, not the database's schema"
)

var (
	firstWord = regexp.MustCompile(`^[A-Za-z_]+`)
	// setConfig is what dumps begin with.
	setConfig = regexp.MustCompile(`(?i)^select\s+(pg_catalog\.)?set_config\([^();]*\)$`)
	tableAs   = regexp.MustCompile(`(?is)^create\s+((or\s+replace|global|local|unlogged|temp|temporary)\s+)*table\b.*\bas\s*\(?\s*(select|with|values|table|execute)\b`)
	into      = regexp.MustCompile(`(?i)\binto\b`)
	server    = regexp.MustCompile(`(?i)^((create|alter|drop|comment\s+on)\s+(role|user|group|database|tablespace|system|subscription|large\s+object)|security\s+label)\b`)
	mapping   = regexp.MustCompile(`(?i)^\w+\s+user\s+mapping\b`)
	on        = regexp.MustCompile(`(?i)\bon\b`)
	restart   = regexp.MustCompile(`(?i)\brestart\b`)
	// risky is what a block can do besides changing the schema.
	risky = regexp.MustCompile(`(?i)\b(insert|update|delete|merge|truncate|copy|setval|perform|call|execute|restart|role|user|group|database|tablespace|system)\b`)
	// kept are the settings that SQLite writes into the file.
	kept = regexp.MustCompile(`(?i)^pragma\s+(\w+\.)?(user_version|application_id|journal_mode|auto_vacuum|page_size|encoding)\s*[=(]`)
)

// outside says why a statement's work is not in the schema, "" if it is, or leaves nothing.
func outside(sql string, dialect sqltext.Dialect) string {
	if dialect == sqltext.MySQL {
		return outsideMySQL(sql)
	}
	switch word := strings.ToLower(firstWord.FindString(sql)); word {
	case "create", "alter", "drop", "comment", "security":
		switch {
		case dialect == sqltext.PostgreSQL && server.MatchString(sql) && !mapping.MatchString(sql):
			return ofServer
		case word == "create" && tableAs.MatchString(sql):
			return writesRows
		case word == "alter" && restart.MatchString(sql):
			return moves
		}
		return ""
	case "grant", "revoke":
		if !on.MatchString(sql) {
			return ofServer
		}
		return ""
	case "select", "values", "table":
		switch {
		case setConfig.MatchString(sql) || !strings.Contains(sql, "(") && !into.MatchString(sql):
			return ""
		case into.MatchString(sql):
			return writesRows
		}
		return calls
	case "do":
		if !risky.MatchString(sql) {
			return ""
		}
		return mayWrite
	case "pragma":
		if kept.MatchString(sql) {
			return "is kept in the file, and not in its schema"
		}
		return ""
	case "insert", "update", "delete", "merge", "replace", "copy", "truncate", "load":
		return writesRows
	case "set", "reset", "lock", "analyze", "analyse", "vacuum", "reindex", "cluster", "refresh", "discard", "checkpoint", "import", "reassign",
		"notify", "listen", "unlisten", "prepare", "deallocate", "declare", "fetch", "move", "close", "attach", "detach", "use":
		return ""
	}
	return mayWrite
}
