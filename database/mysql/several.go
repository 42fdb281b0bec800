package mysql

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// several is what the journal has in its column before if one write announces several statements,
// of one script or of scripts that follow each other. The history shows which scripts have ended.
// Of the next one, each statement is judged by itself: no other statement changes its object.
type several struct {
	Steps []announcedStep `json:"steps"`
	There uint64          `json:"there"` // a bit for each statement that is not New: its object existed
}

// announcedStep is a script with the statements that are announced: the next ones.
type announcedStep struct {
	Version    int64                `json:"version"`
	Name       string               `json:"name"`
	Direction  database.Direction   `json:"direction"`
	Checksum   migration.Checksum   `json:"checksum"`
	Of         int                  `json:"statements"`
	Done       int                  `json:"done"`
	DoneSum    migration.Checksum   `json:"done_checksum"`
	Statements []announcedStatement `json:"announced"`
}

// announcedStatement creates or drops one object.
type announcedStatement struct {
	Text   string         `json:"text"`
	Object catalog.Object `json:"object"`
	New    bool           `json:"new,omitempty"`   // the object can't have existed
	Drops  bool           `json:"drops,omitempty"` // the statement drops it
}

// severalMark is in the column done_checksum of a row that announces several statements. A program
// that knows nothing of them finds the row damaged.
const severalMark = "several"

// severalBegins is how the column before begins in such a row.
const severalBegins = `{"steps":`

// readSeveral reads the statements that a journal announces; nil if it announces one at most.
func readSeveral(j *database.Journal) (*several, error) {
	if j == nil || !strings.HasPrefix(j.Before, severalBegins) {
		return nil, nil
	}
	s := &several{}
	if err := json.Unmarshal([]byte(j.Before), s); err != nil {
		return nil, fmt.Errorf("the journal's column before can't be read: %w", err)
	}
	return s, nil
}

// journal returns that of a step: its first statement is announced. Who wrote it is in the row.
func (s *announcedStep) journal(row *database.Journal) *database.Journal {
	j := *row
	j.Version, j.Name, j.Direction, j.Checksum, j.Of, j.Done, j.DoneSum = s.Version, s.Name, s.Direction, s.Checksum, s.Of, s.Done, s.DoneSum
	j.Begun = s.Statements[0].Text
	return &j
}

// next returns the journal of the first step that no entry has ended; nil if there is none.
func (s *several) next(row *database.Journal, endedBy func(*database.Journal) *event) *database.Journal {
	var ended time.Time
	for i := range s.Steps {
		j := s.Steps[i].journal(row)
		e := endedBy(j)
		switch {
		case e != nil:
			ended = e.AppliedAt.Add(e.Duration)
		case i > 0: // it began when the one before it ended
			j.StartedAt, j.UpdatedAt = ended, ended
			fallthrough
		default:
			return j
		}
	}
	return nil
}

// narrow makes the journal of an interrupted run announce one statement if it announces several:
// the first of its script that shows no effect, or else the last. The ones before it are done. Its
// caller holds the guard, and the server executes none of the statements any more.
func (h *hold) narrow(ctx context.Context) (*database.Journal, error) {
	c := h.guard.c
	st, err := h.db.readState(ctx, c, h.set)
	if err != nil {
		return nil, err
	}
	j := st.Interrupted
	s, err := readSeveral(j)
	if s == nil || err != nil {
		return j, err
	}
	all, was := s.of(j)
	is := &before{}
	for _, one := range all {
		is.Objects = append(is.Objects, one.Object)
	}
	if err := is.look(ctx, c); err != nil {
		return nil, ownError("reading the objects that the statements name", err)
	}
	for i, one := range all {
		b := &before{Objects: []catalog.Object{one.Object}, There: was & (1<<one.bits() - 1)}
		was >>= one.bits()
		if i < len(all)-1 && one.happened(b.There == 1, is.There>>i&1 == 1) {
			j.Add(sqltext.Statement{Text: one.Text})
			continue
		}
		j.Begun = one.Text
		if j.Before, err = b.doc(); err != nil {
			return nil, err
		}
		break
	}
	_, err = h.writeAll(ctx, c, h.journalWrite(j, hexText(j.DoneSum.Digits()), hexText(j.Before), h.head.mine))
	if err == nil {
		h.wrote(j)
	}
	return j, err
}

// of returns what is announced of a journal's script, and the bits of There from its first on.
func (s *several) of(j *database.Journal) (all []announcedStatement, there uint64) {
	there = s.There
	for _, step := range s.Steps {
		if step.Version == j.Version && step.Direction == j.Direction {
			return step.Statements, there
		}
		for _, one := range step.Statements {
			there >>= one.bits()
		}
	}
	return nil, 0
}

// bits returns how many bits of There the statement has.
func (a announcedStatement) bits() int {
	if a.New {
		return 0
	}
	return 1
}

// happened reports whether the statement took effect, given whether its object existed before it,
// and exists now.
func (a announcedStatement) happened(existed, exists bool) bool {
	return existed == a.Drops && exists != existed
}

// statement returns what is announced of the statement in a list.
func (a *announcement) statement() announcedStatement {
	return announcedStatement{Text: a.j.Begun, Object: a.b.Objects[0], New: !a.asks, Drops: a.st.Verb() == "DROP"}
}

// table returns the table that the statement is about.
func (a *announcement) table() (schema, name string) {
	o := &a.b.Objects[0]
	return o.Schema, cmp.Or(o.Of, o.Name)
}

// listable reports whether a statement may be announced together with others: it takes but a
// moment, and whether it took effect shows in the existence of one object. Such are CREATE TABLE
// without rows, CREATE INDEX on a table that the run has just created, and DROP TABLE.
func (a *announcement) listable() bool {
	if a.b == nil || len(a.b.Objects) != 1 || a.j.Version == database.NilVersion || !utf8.ValidString(a.j.Begun) {
		return false
	}
	kind, verb := a.b.Objects[0].Kind, a.st.Verb()
	switch {
	case kind == catalog.Table && verb == "CREATE":
		list := sqltext.List(a.st.Text, sqltext.MySQL)
		return !slices.ContainsFunc([]string{"SELECT", "LIKE", "AS", "VALUES", "WITH"}, func(word string) bool { return list.Index(word) >= 0 })
	case kind == catalog.Table:
		return verb == "DROP"
	}
	return verb == "CREATE" && !a.asks
}

// takes reports whether a statement may be announced together with this one and those that already
// are: none of these is about its table, unless it is an index that its new table can't have.
func (a *announcement) takes(other *announcement) bool {
	if !a.quick || !other.quick {
		return false
	}
	asks, ofStep := 0, 0
	schema, table := other.table()
	for _, one := range a.list {
		if s, t := one.table(); other.asks && t == table && s == schema {
			return false
		}
		if one.asks {
			asks++
		}
		if one.j.Version == other.j.Version {
			ofStep++
			if one.j.Direction != other.j.Direction || one.j.Done >= other.j.Done { // it is another run
				return false
			}
		}
	}
	return asks < most && ofStep < most
}

// several is an SQL expression for the column before, with all statements of the list.
func (a *announcement) several() (expression string, err error) {
	var s several
	var bits []string
	for _, one := range a.list {
		if n := len(s.Steps); n == 0 || s.Steps[n-1].Version != one.j.Version {
			j := one.j
			s.Steps = append(s.Steps, announcedStep{Version: j.Version, Name: j.Name, Direction: j.Direction, Checksum: j.Checksum, Of: j.Of, Done: j.Done, DoneSum: j.DoneSum})
		}
		last := &s.Steps[len(s.Steps)-1]
		last.Statements = append(last.Statements, one.statement())
		if one.asks {
			bits = append(bits, fmt.Sprintf("(%s << %d)", exists(one.b.Objects[0]), len(bits)))
		}
	}
	doc, err := json.Marshal(s.Steps)
	if len(bits) == 0 {
		bits = append(bits, "0")
	}
	return "CONCAT('" + severalBegins + "', " + literal(string(doc)) + ", ',\"there\":', LAST_INSERT_ID(" + strings.Join(bits, " | ") + "), '}')", err
}

// refused corrects what is known of a statement's object after the server has refused the
// statement: another session may have created or dropped it since the announcement.
func (a *announcement) refused(err error) error {
	switch number(err) {
	case erTableExists, erDupKeyName:
		a.b.There = 1
	case erBadTable:
		a.b.There = 0
	}
	doc, err := a.b.doc()
	a.j.Before = doc
	return err
}
