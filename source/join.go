package source

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// joiner puts scripts one behind the other, so that the statements of the whole are the
// statements of the pieces.
type joiner struct {
	dialect sqltext.Dialect
	text    strings.Builder
	want    []statement           // of the whole
	from    []sqltext.Position    // of these
	pieces  int                   // that have statements
	enums   []string              // created so far
	values  []migration.EnumValue // added to others
	lock    timeouts
	retry   timeouts
	single  timeouts
	alone   bool // a piece asks to run without a transaction, which does not prevent joining it
	secret  bool // one of the pieces is
}

// statement is what is sent to a server.
type statement struct {
	kind sqltext.Kind
	text string
}

// timeouts are the times that pieces ask for.
type timeouts struct {
	all     []time.Duration
	lacking bool // a piece asks for none
}

func (t *timeouts) add(d time.Duration) {
	t.all = append(t.all, d)
	t.lacking = t.lacking || d == 0
}

// longest is the time that is enough for all pieces: 0 where one has none, -1 where one is -1.
func (t *timeouts) longest() time.Duration {
	if t.lacking || len(t.all) == 0 {
		return 0
	}
	if slices.Min(t.all) < 0 { // one has no limit
		return -1
	}
	return slices.Max(t.all)
}

// add appends a script. last says that no statement comes behind it.
func (j *joiner) add(name string, s *migration.Script, last bool) error {
	if s.Backfill != nil {
		var err error
		if s, err = j.once(s); err != nil {
			return err
		}
		name += ", once for all rows"
	}
	a, err := s.Analyze(j.dialect, nil)
	if err != nil {
		return err
	}
	if err := j.refuse(s, a, last); err != nil {
		return err
	}
	text, err := readAll(s)
	if err != nil {
		return err
	}
	all, err := sqltext.Split(text, j.dialect, sqltext.Options{File: s.File})
	if err != nil {
		return err
	}
	fmt.Fprintf(&j.text, "\n-- %s\n", strings.Join(strings.Fields(name), " "))
	j.count(s, a)
	j.alone, j.secret = j.alone || s.NoTransaction, j.secret || s.Secret
	j.enums = append(j.enums, a.NewEnums...)
	for _, v := range a.NewValues {
		if !slices.Contains(j.enums, v.Type) { // before PostgreSQL 17 the others make a run of the squash
			j.values = append(j.values, v)
		}
	}
	j.write(all, a.Wrapped)
	return nil
}

// count notes a script that has statements, and its timeouts.
func (j *joiner) count(s *migration.Script, a *migration.Analysis) {
	if a.Statements > 0 {
		j.pieces++
		j.lock.add(s.LockTimeout)
		j.retry.add(s.RetryFor)
		j.single.add(s.StatementTimeout)
	}
}

// refuse refuses what would not do the same inside the whole.
func (j *joiner) refuse(s *migration.Script, a *migration.Analysis, last bool) error {
	used, err := a.Uses(j.values)
	switch {
	case err != nil:
		return err
	case s.NoTransaction && !j.always():
		return &Error{File: s.File, Msg: "must not be in a transaction, so it can't be part of a squash; end the range before it, or begin after it"}
	case a.Never != nil && !j.always():
		return wrong(a.Never, a.Never.Why+" can't be in a transaction, so it can't be part of a squash; end the range before it, or begin after it")
	case j.uses(a) != nil:
		return wrong(j.uses(a), "a new enum value can't be used before it is committed, so this can't be part of a squash; end the range before it, or begin after it")
	case used != nil:
		return wrong(used, "an enum value that an earlier migration of the range adds can't be used before it is committed; end the range before this file")
	case a.Control != nil:
		return wrong(a.Control, "transaction control inside of a script can't be part of a squash; take it out")
	case a.Mode != nil:
		return wrong(a.Mode, "asks for another kind of transaction than a squash is; end the range before this file, or begin after it")
	case len(a.Before) > 0 && j.pieces > 0:
		return wrong(&a.Before[0], a.Before[0].Why+" has no effect inside a transaction, and would come after other statements in a squash; begin the range with this file")
	case misplaced(a) != nil:
		return wrong(misplaced(a), misplaced(a).Why+" has no effect inside a transaction")
	case !last:
		return j.session(a)
	}
	return nil
}

// uses returns a statement that uses a value which the script adds to an enum from before the
// range.
func (j *joiner) uses(a *migration.Analysis) *sqltext.Statement {
	for _, u := range a.UsedValues {
		if !u.Own && !slices.Contains(j.enums, u.Type) {
			return &u.Statement
		}
	}
	return nil
}

// misplaced returns a statement between others that has no effect inside a transaction. If a script
// switches foreign keys midway, the next script of the squash would run with the changed setting.
func misplaced(a *migration.Analysis) *sqltext.Statement {
	return cmp.Or(a.Misplaced, a.Toggled, a.Ignored)
}

// always reports whether statements that can't be in a transaction may be among others. In MySQL
// that applies to all statements that change a schema, so no author can rely on a transaction.
func (j *joiner) always() bool { return j.dialect == sqltext.MySQL }

// settings matches what changes the session in a statement whose form does not tell. It is a
// pattern, not a reading of tokens, because such statements execute strings.
var settings = lazyregexp.New(`(?i)\bset_config\b|\btemp(orary)?\b|\bset\s+(local\s+|session\s+)?(role|search_path|session)\b`)

// changes reports whether later scripts in the same transaction would see what a statement changes
// in the session.
func changes(st sqltext.Statement) bool {
	switch st.Verb() {
	case "SET", "RESET":
		return true
	case "SELECT", "WITH", "VALUES", "TABLE", "EXPLAIN", "INSERT", "UPDATE", "DELETE", "MERGE", "DO", "CALL":
		return st.Session && settings.MatchString(st.Text)
	}
	return st.Session
}

// session refuses scripts that change the session for later ones, which otherwise begin with a
// session of their own.
func (j *joiner) session(a *migration.Analysis) error {
	for st, err := range a.Body() {
		if err != nil {
			return err
		}
		if changes(st) {
			return wrong(&st, "changes the session for the migrations after it in a squash; end the range with this file, or begin after it")
		}
	}
	return nil
}

func wrong(st *sqltext.Statement, msg string) error {
	return &Error{File: st.Pos.File, Line: st.Pos.Line, Column: st.Pos.Column, Msg: msg}
}

// headDirective is a comment that is a directive.
var headDirective = lazyregexp.New(`(?i)(--|/\*)(\s*)whimbrel\s*:(\s*skip-on-scratch\b)?`)

// undirect turns the directives at the beginning of a script into ordinary comments, except those
// of its first statement.
func undirect(head string) string {
	return headDirective.ReplaceAllStringFunc(head, func(found string) string {
		m := headDirective.FindStringSubmatch(found)
		if m[3] != "" {
			return found
		}
		return m[1] + m[2] + "was asked for:"
	})
}

// write writes a script's pieces: without a BEGIN … COMMIT around the whole, with directives
// that are none any more, and with a terminator at the end.
func (j *joiner) write(all []sqltext.Statement, wrapped bool) {
	var text strings.Builder
	inHead, ended := true, true
	for _, st := range all {
		head, rest := st.Raw, ""
		if st.Kind != sqltext.Empty {
			n := st.Pos.Offset - st.Start.Offset
			head, rest = st.Raw[:n], st.Raw[n:]
		}
		if inHead {
			head = undirect(head)
		}
		if wrapped && (st.Tx == sqltext.TxBegin || st.Tx == sqltext.TxCommit) {
			rest = ""
		}
		text.WriteString(head + rest)
		switch st.Kind {
		case sqltext.Empty, sqltext.Client:
			continue
		case sqltext.SQL, sqltext.CopyIn:
			tail := strings.TrimSpace(strings.TrimPrefix(rest, st.Text))
			ended = rest == "" || tail != "" && !strings.HasPrefix(tail, "--") && !strings.HasPrefix(tail, "/*") && !strings.HasPrefix(tail, "#")
		default:
			ended = true
		}
		inHead = false
		if rest != "" && st.Kind != sqltext.CopyEnd {
			j.want, j.from = append(j.want, statement{st.Kind, st.Text}), append(j.from, st.Pos)
		}
	}
	if ink := strings.Trim(text.String(), " \t\r\n"); ink != "" {
		j.text.WriteString(ink + "\n")
	}
	if !ended {
		j.text.WriteString(";\n")
	}
}

// directives are the directives of the whole. It has a timeout only if every piece has one.
func (j *joiner) directives(up bool) []string {
	d := migration.Directives{NoTransaction: j.alone, Secret: j.secret, LockTimeout: j.lock.longest(), RetryFor: j.retry.longest(), StatementTimeout: j.single.longest(), Empty: up && j.pieces == 0}
	if d == (migration.Directives{}) {
		return nil
	}
	return strings.Split(d.String(), ", ")
}

// check verifies that the statements of the whole are those of the pieces.
func (j *joiner) check(file, text string) error {
	all, err := sqltext.Split(text, j.dialect, sqltext.Options{File: file})
	if err != nil {
		return &Error{File: file, Msg: "the migrations can't be joined to one script", Err: err}
	}
	i := 0
	for _, st := range all {
		switch st.Kind {
		case sqltext.Empty, sqltext.Client, sqltext.CopyEnd:
			continue
		}
		if i >= len(j.want) || j.want[i] != (statement{st.Kind, st.Text}) {
			return &Error{File: file, Line: st.Pos.Line, Column: st.Pos.Column, Msg: "the migrations can't be joined to one script: from here on its statements would not be theirs"}
		}
		i++
	}
	if i < len(j.want) {
		return &Error{File: file, Msg: "the migrations can't be joined to one script: some of their statements would be lost"}
	}
	a, err := migration.Text(file, text).Analyze(j.dialect, nil)
	if st := misplaced(a); err == nil && st != nil {
		err = wrong(st, st.Why+" has no effect inside a transaction, and would be between the statements of the squash; begin the range after the file that has it")
	}
	if err == nil {
		err = j.loose(a)
	}
	return err
}

// loose refuses statements that need a transaction in a squash that runs statement by statement: in
// MySQL, and before PostgreSQL 17 if the squash uses a value that it adds to an enum.
func (j *joiner) loose(a *migration.Analysis) error {
	why := ""
	switch {
	case len(a.Loose) == 0:
		return nil
	case a.Never != nil || j.alone:
		why = "the squash runs statement by statement"
	case len(a.UsedValues) > 0:
		why = "before PostgreSQL 17 the squash runs statement by statement, since it uses a value that it adds to an enum"
	default:
		return nil
	}
	st := a.Loose[0]
	for i, w := range j.want {
		if w.text == st.Text {
			st.Pos = j.from[i]
			break
		}
	}
	what := cmp.Or(st.OnlyInTx, strings.ToUpper(strings.Fields(st.Text)[0]))
	return wrong(&st, what+" needs a transaction, and "+why+"; end the range before this file, or begin after it")
}
