package exampledriver

import (
	"regexp"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// The statements of this database.
var (
	createTable = regexp.MustCompile(`(?is)^CREATE TABLE (\w+) \(.*\)$`)
	dropTable   = regexp.MustCompile(`(?is)^DROP TABLE (\w+)$`)
	insert      = regexp.MustCompile(`(?is)^INSERT INTO (\w+) VALUES \((.*)\)$`)
	deleteFrom  = regexp.MustCompile(`(?is)^DELETE FROM (\w+)$`)
	savepoint   = regexp.MustCompile(`(?is)^(SAVEPOINT|ROLLBACK TO(?: SAVEPOINT)?|RELEASE(?: SAVEPOINT)?) (\w+)$`)
)

// failed is the error of a statement.
func failed(st sqltext.Statement, message string) error {
	return &database.StatementError{Pos: st.Pos, Index: st.Index, Statement: st.Text, Code: "EXAMPLE", Message: message}
}

// execute executes a statement that is not about a transaction.
func execute(d *data, st sqltext.Statement) error {
	if st.Kind == sqltext.Empty {
		return nil
	}
	statement := strings.TrimSpace(st.Text)
	if m := createTable.FindStringSubmatch(statement); m != nil {
		if _, ok := d.Tables[m[1]]; ok {
			return failed(st, "table "+m[1]+" already exists")
		}
		d.Tables[m[1]] = []string{}
		return nil
	}
	for _, form := range []*regexp.Regexp{dropTable, insert, deleteFrom} {
		m := form.FindStringSubmatch(statement)
		if m == nil {
			continue
		}
		rows, ok := d.Tables[m[1]]
		switch {
		case !ok:
			return failed(st, "no such table: "+m[1])
		case form == dropTable:
			delete(d.Tables, m[1])
		case form == insert:
			d.Tables[m[1]] = append(rows, m[2])
		case form == deleteFrom:
			d.Tables[m[1]] = []string{}
		}
		return nil
	}
	return failed(st, "this database does not know the statement")
}

// savepoints are those of one transaction, the oldest first.
type savepoints []struct {
	name   string
	tables map[string][]string
}

// execute executes a statement, which may be about a savepoint.
func (s *savepoints) execute(d *data, st sqltext.Statement) error {
	if st.Tx != sqltext.TxSavepoint {
		return execute(d, st)
	}
	m := savepoint.FindStringSubmatch(strings.TrimSpace(st.Text))
	if m == nil {
		return failed(st, "this database does not know the statement")
	}
	verb, name := strings.ToUpper(m[1]), strings.ToLower(m[2])
	if verb == "SAVEPOINT" {
		c, err := d.clone()
		if err != nil {
			return err
		}
		*s = append(*s, struct {
			name   string
			tables map[string][]string
		}{name, c.Tables})
		return nil
	}
	for i := range slices.Backward(*s) {
		if (*s)[i].name != name {
			continue
		}
		if strings.HasPrefix(verb, "RELEASE") {
			*s = (*s)[:i]
			return nil
		}
		c, err := (&data{Tables: (*s)[i].tables}).clone()
		if err != nil {
			return err
		}
		d.Tables, *s = c.Tables, (*s)[:i+1]
		return nil
	}
	return failed(st, "no such savepoint: "+name)
}
