package migration

import (
	"errors"
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// The parameters of a backfill's statements.
const (
	firstParam = "first"
	lastParam  = "last"
)

// Body returns the statements that a backfill's script executes for each batch. The error joins an
// [*sqltext.Error] for each statement that is wrong: one that does more than change data, one
// without a parameter, which would change all rows with each batch, or one with an unknown
// parameter. It is the script's Problem if it has one. A function has no Body: it is nil.
func (s *Script) Body(d sqltext.Dialect) (*Body, error) {
	switch {
	case s.Problem != nil:
		return nil, s.Problem
	case s.fn != nil:
		return nil, nil
	case s.Backfill == nil:
		return nil, fmt.Errorf("%s is not a backfill", s.File)
	}
	if _, err := s.head(d); err != nil { // it is too long
		return nil, err
	}
	text, _, err := s.Text(KeepInMemory)
	if err != nil {
		return nil, err
	}
	pieces, err := sqltext.Split(text, d, sqltext.Options{File: s.File, Line: s.Line})
	if err != nil {
		return nil, err
	}
	body, wrong := &Body{}, []error{s.queriesError(d)}
	for _, st := range pieces {
		if st.Kind == sqltext.Empty || st.Kind == sqltext.Client {
			continue
		}
		b, err := bodyStatement(st, d)
		if wrong = append(wrong, err); err == nil {
			body.Statements = append(body.Statements, b)
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	return body, s.boundsError(body, d)
}

// boundsError reports a body that has no statement, or none with both bounds of the batch.
func (s *Script) boundsError(body *Body, d sqltext.Dialect) error {
	if len(body.Statements) == 0 {
		return &sqltext.Error{Pos: s.Place(backfillWord, d), Msg: "the backfill has no statement; write one that changes the rows from :first to :last"}
	}
	for _, st := range body.Statements {
		var first, last bool
		for _, p := range st.Params {
			first, last = first || !p.Last, last || p.Last
		}
		if first && last {
			return nil
		}
	}
	st := body.Statements[0]
	return &sqltext.Error{Pos: st.Pos, Msg: "no statement has both :first and :last, the keys between which a batch changes rows; add a condition such as \"id BETWEEN :first AND :last\""}
}

// bodyStatement cuts a statement at its parameters.
func bodyStatement(st sqltext.Statement, d sqltext.Dialect) (BodyStatement, error) {
	b := BodyStatement{Statement: st}
	if msg := notData(st, d); msg != "" {
		return b, &sqltext.Error{Pos: st.Pos, Msg: msg}
	}
	if text, pos, found := st.Placeholder(d); found {
		return b, &sqltext.Error{Pos: pos, Msg: fmt.Sprintf("%s has no value here; the parameters of a backfill are :first and :last", text)}
	}
	from := 0
	for _, p := range st.Params(d) {
		if p.Name != firstParam && p.Name != lastParam {
			return b, &sqltext.Error{Pos: st.PositionAt(p.From), Msg: unknownParam(p.Name)}
		}
		b.Parts = append(b.Parts, st.Text[from:p.From])
		b.Params = append(b.Params, BodyParam{Last: p.Name == lastParam, Column: p.Column})
		from = p.To
	}
	if len(b.Params) == 0 {
		return b, &sqltext.Error{Pos: st.Pos, Msg: "the statement has neither :first nor :last, so each batch would execute it for all rows; add a condition such as \"id BETWEEN :first AND :last\""}
	}
	b.Parts = append(b.Parts, st.Text[from:])
	return b, nil
}

func unknownParam(name string) string {
	msg := fmt.Sprintf("unknown parameter :%s; the parameters of a backfill are :first and :last", name)
	if meant := nearest(name, []string{firstParam, lastParam}); meant != "" {
		return msg + fmt.Sprintf("; did you mean :%s?", meant)
	}
	return msg
}

// notData says why a statement can't be in a backfill, "" if it only changes data.
func notData(st sqltext.Statement, d sqltext.Dialect) string {
	verb := st.Verb()
	switch {
	case st.Kind == sqltext.CopyIn, st.Kind == sqltext.CopyData, st.Kind == sqltext.CopyEnd:
		return "a backfill can't copy data from its script; write an INSERT"
	case st.Tx.Control():
		return fmt.Sprintf("a backfill executes each batch in a transaction, so it can't control transactions itself; remove the %s", verb)
	case st.Tx == sqltext.TxNever || st.Tx == sqltext.TxNoEffect:
		return fmt.Sprintf("%s can't be in a transaction, and a backfill executes each batch in one; move it to a migration", st.Why)
	case verb == "SELECT" && d == sqltext.PostgreSQL && createsTable(st):
		return "SELECT INTO creates a table, and a backfill can only change data; move it to a migration"
	case st.SetsSession():
		return "the statement may change the session, which other batches use too; move it to a migration"
	}
	switch verb {
	case "INSERT", "UPDATE", "DELETE", "MERGE", "SELECT", "WITH":
		return ""
	case "REPLACE":
		if d != sqltext.PostgreSQL {
			return ""
		}
	}
	return fmt.Sprintf("a backfill can only change data, with INSERT, UPDATE, DELETE, MERGE or a SELECT that calls a function; move this %s to a migration", strings.TrimSpace(verb+" statement"))
}

// createsTable reports whether a SELECT has an INTO of its own.
func createsTable(st sqltext.Statement) bool {
	l := sqltext.List(st.Text, sqltext.PostgreSQL)
	for i := 0; i < len(l); i++ {
		switch {
		case l[i].Is("("):
			i = l.Closing(i) - 1
		case l[i].Is("INTO"):
			return true
		}
	}
	return false
}

// queriesError reports a query of the head that is none.
func (s *Script) queriesError(d sqltext.Dialect) error {
	return errors.Join(
		s.queryError(checkWord, s.Backfill.Check, d),
		s.queryError(throttleWord, s.Backfill.Throttle.Query, d),
	)
}

func (s *Script) queryError(word, text string, d sqltext.Dialect) error {
	if text == "" {
		return nil
	}
	wrong := func(format string, args ...any) error {
		return &sqltext.Error{Pos: s.Place(word, d), Msg: fmt.Sprintf("directive %q ", word) + fmt.Sprintf(format, args...)}
	}
	pieces, err := sqltext.Split(text, d, sqltext.Options{})
	if e := (*sqltext.Error)(nil); errors.As(err, &e) {
		return wrong("has a query that can't be read: %s", e.Msg)
	} else if err != nil {
		return err
	}
	var query *sqltext.Statement
	for _, st := range pieces {
		switch {
		case st.Kind == sqltext.Empty:
		case query != nil:
			return wrong("needs one query, and has several statements")
		case !st.Reads(d):
			return wrong("needs a query, such as SELECT …; it must not change anything")
		default:
			query = &st
		}
	}
	if query == nil {
		return wrong("needs a query, such as SELECT …")
	}
	if p := query.Params(d); len(p) > 0 {
		return wrong("can't have parameters (:%s): its query is about all rows", p[0].Name)
	}
	return nil
}
