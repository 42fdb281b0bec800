package memdb

import (
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// savepoints are the savepoints of a transaction, oldest first.
type savepoints []savepoint

type savepoint struct {
	name    string
	changes int // the number of changes before it
}

var savepointForm = lazyregexp.New(`(?is)^(SAVEPOINT|RELEASE(?:\s+SAVEPOINT)?|ROLLBACK(?:\s+(?:WORK|TRANSACTION))?\s+TO(?:\s+SAVEPOINT)?)\s+` + nameSQL + `$`)

// control executes SAVEPOINT, RELEASE or ROLLBACK TO in a transaction with these changes, and
// returns the remaining changes.
func (s *savepoints) control(st sqltext.Statement, changes []placed) ([]placed, error) {
	m := savepointForm.FindStringSubmatch(st.Text)
	if m == nil {
		return changes, sqlError("42601", "syntax error in %q", st.Text)
	}
	name := unquote(m[2])
	if strings.EqualFold(m[1], "SAVEPOINT") {
		*s = append(*s, savepoint{name, len(changes)})
		return changes, nil
	}
	for i := len(*s) - 1; i >= 0; i-- {
		switch p := (*s)[i]; {
		case p.name != name:
		case strings.EqualFold(m[1][:len("RELEASE")], "RELEASE"):
			*s = (*s)[:i]
			return changes, nil
		default:
			*s = (*s)[:i+1]
			return changes[:p.changes:p.changes], nil
		}
	}
	return changes, sqlError("3B001", "savepoint %q does not exist", name)
}

// after returns a copy of the content with changes made to it.
func (c *content) after(changes []placed) (*content, error) {
	next := c.clone()
	for _, p := range changes {
		if err := p.change(next); err != nil {
			return nil, err
		}
	}
	return next, nil
}
