package migration

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// SyncTable is the table of a backfill with the directive sync.
type SyncTable struct {
	// Schema and Name are the names as the database stores them. In a schema that is not "", the
	// name is always written with it.
	Schema, Name string
	Columns      []SyncColumn
	// Key are the columns of the backfill's key, in their order.
	Key []string
}

// SyncColumn is a column of a SyncTable.
type SyncColumn struct {
	Name string
	// Late says that a trigger before the row is written does not see the value: a generated
	// column, MySQL's AUTO_INCREMENT.
	Late bool
	// Default is the value of a new row that names none, as SQL writes it; "" for NULL, or for what
	// is no constant.
	Default string
}

// Sync are the statements that keep rows in step that are written while a backfill runs.
type Sync struct {
	// Create makes the triggers, and in PostgreSQL their function. Execute it before the last key of
	// the table is read: rows that are written later are then seen by a trigger or taken by a batch.
	Create []string
	// Drop removes them, if they exist. It is also that of SyncDrop.
	Drop []string
	// Probe is a query that returns no row. The server refuses to prepare it where the triggers
	// would fail.
	Probe string
}

// SyncPrefix is how the names of all triggers and functions of Sync begin.
const SyncPrefix = "whimbrel_sync_"

// SyncName returns the name of what Sync creates for a backfill. In PostgreSQL it is that of the
// function; the names of triggers begin with it.
func SyncName(set string, version int64) string {
	return fmt.Sprintf("%s%d_%x", SyncPrefix, version, sha256.Sum256([]byte(set)))[:len(SyncPrefix)+len(fmt.Sprint(version))+9]
}

// The ends of triggers' names.
const (
	onInsert = "_i"
	onUpdate = "_u"
)

// SyncTriggerNames returns the names of the triggers of a backfill.
func SyncTriggerNames(set string, version int64) []string {
	name := SyncName(set, version)
	return []string{name + onInsert, name + onUpdate}
}

// SyncDrop returns the statements that remove what Sync has created for a backfill. In PostgreSQL
// the triggers go with their function, whatever the name of the table is by now.
func SyncDrop(d sqltext.Dialect, set string, version int64, schema string) []string {
	name, q := SyncName(set, version), quoter(d)
	if d == sqltext.PostgreSQL {
		return []string{"DROP FUNCTION IF EXISTS " + q.qualified(schema, name) + "() CASCADE"}
	}
	var all []string
	for _, end := range []string{onInsert, onUpdate} {
		all = append(all, "DROP TRIGGER IF EXISTS "+q.qualified(schema, name+end))
	}
	return all
}

// SyncTriggers returns the triggers of a backfill with the directive sync, and nil without it. They
// apply the assignments of its UPDATE to each row that is inserted, or whose columns that the
// UPDATE reads are changed, unless the application writes the assigned columns itself. The error
// is a *[sqltext.Error] for a body for which no trigger does the same.
func (s *Script) SyncTriggers(d sqltext.Dialect, set string, version int64, t SyncTable) (*Sync, error) {
	if s.Backfill == nil || !s.Backfill.Sync {
		return nil, nil
	}
	body, err := s.Body(d)
	if err != nil {
		return nil, err
	}
	if body == nil || len(body.Statements) != 1 {
		return nil, &sqltext.Error{Pos: s.Place(syncWord, d), Msg: `directive "sync" needs a backfill of one UPDATE, which a trigger can apply to a single row; use "recheck" instead`}
	}
	y := &syncer{d: d, st: body.Statements[0].Statement, t: t, q: quoter(d), name: SyncName(set, version)}
	y.l = sqltext.List(y.st.Text, d)
	y.params = y.st.Params(d)
	if err := y.read(); err != nil {
		return nil, err
	}
	out := &Sync{Drop: SyncDrop(d, set, version, t.Schema), Probe: y.probe()}
	switch d {
	case sqltext.PostgreSQL:
		out.Create = y.postgres()
	case sqltext.MySQL:
		out.Create = y.mysql()
	default:
		out.Create = y.sqlite()
	}
	return out, nil
}

// quoter quotes names.
type quoter sqltext.Dialect

func (q quoter) name(s string) string {
	if sqltext.Dialect(q) == sqltext.MySQL {
		return "`" + strings.ReplaceAll(s, "`", "``") + "`"
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

func (q quoter) qualified(schema, name string) string {
	if schema == "" {
		return q.name(name)
	}
	return q.name(schema) + "." + q.name(name)
}

// syncer reads an UPDATE and writes triggers.
type syncer struct {
	d      sqltext.Dialect
	st     sqltext.Statement
	l      sqltext.TokenList
	params []sqltext.Param
	t      SyncTable
	q      quoter
	name   string

	called string // how the statement calls the table
	sets   []assignment
	where  [2]int   // tokens of the condition
	reads  []string // columns that the statement reads, without those that it assigns
	resets []string // assigned columns that the condition reads
}

// assignment is a column and the tokens of its new value.
type assignment struct {
	column   string
	from, to int
}

func (y *syncer) wrong(i int, format string, args ...any) error {
	pos := y.st.Pos
	if i < len(y.l) {
		pos = y.st.PositionAt(y.l[i].Pos)
	}
	return &sqltext.Error{Pos: pos, Msg: `directive "sync": ` + fmt.Sprintf(format, args...)}
}

// same compares names as the database does.
func (y *syncer) same(a, b string) bool {
	return a == b || y.d != sqltext.PostgreSQL && strings.EqualFold(a, b)
}

// column returns the table's column with a name.
func (y *syncer) column(name string) (c SyncColumn, ok bool) {
	i := slices.IndexFunc(y.t.Columns, func(c SyncColumn) bool { return y.same(c.Name, name) })
	if name == "" || i < 0 {
		return c, false
	}
	return y.t.Columns[i], true
}

// read reads the statement: UPDATE table SET … WHERE ….
func (y *syncer) read() error {
	if y.st.Verb() != "UPDATE" || !y.l.Is(0, "UPDATE") {
		return y.wrong(0, "only an UPDATE can be applied to a single row by a trigger; use \"recheck\" instead")
	}
	i, err := y.readTable(y.l.Skip(1, "ONLY"))
	if err != nil {
		return err
	}
	if i, err = y.readSets(i + 1); err != nil {
		return err
	}
	if !y.l.Is(i, "WHERE") {
		return y.wrong(i, "the statement has no WHERE")
	}
	end := y.clauseEnd(i + 1)
	y.where = [2]int{i + 1, end}
	if end < len(y.l) && !y.l.Is(end, "RETURNING") {
		return y.wrong(end, "a trigger can't apply %s", strings.ToUpper(y.l[end].Text))
	}
	if slices.Contains(y.t.Key, "ctid") && y.d == sqltext.PostgreSQL {
		return y.wrong(0, "a table that is taken block by block has no key with which a trigger finds the row; add a primary key, or use \"recheck\" instead")
	}
	return y.readColumns()
}

// readTable reads the table's name and alias, and returns the index of SET.
func (y *syncer) readTable(i int) (int, error) {
	at, name := i, y.l.At(i).Name()
	for y.l.Is(i+1, ".") {
		i += 2
		name = y.l.At(i).Name()
	}
	if !y.same(name, y.t.Name) || name == "" {
		return i, y.wrong(at, "the statement must change the rows of %s", y.t.Name)
	}
	i = y.l.Skip(i+1, "*")
	y.called = name
	if y.l.Is(i, "AS") {
		i++
	}
	if alias := y.l.At(i); !alias.Is("SET") && alias.Name() != "" {
		y.called = alias.Name()
		i++
	}
	if !y.l.Is(i, "SET") {
		return i, y.wrong(i, "the statement must be an UPDATE of one table")
	}
	return i, nil
}

// clauseEnd returns the index of the next clause outside parentheses.
func (y *syncer) clauseEnd(i int) int {
	for ; i < len(y.l); i++ {
		switch {
		case y.l.Is(i, "("):
			i = y.l.Closing(i) - 1
		case y.l.Is(i, "FROM") && y.l.Is(i-1, "DISTINCT"):
		case y.l.Any(i, "WHERE", "FROM", "RETURNING", "ORDER", "LIMIT"):
			return i
		}
	}
	return i
}

// readSets reads the assignments, and returns the index behind them.
func (y *syncer) readSets(i int) (int, error) {
	end := y.clauseEnd(i)
	for i < end {
		at := i
		for y.l.Is(i+1, ".") && i+2 < end {
			i += 2
		}
		c, ok := y.column(y.l.At(i).Name())
		switch {
		case y.l.Is(at, "("):
			return i, y.wrong(at, "write one assignment for each column: a = …, b = …")
		case !ok || !y.l.Is(i+1, "="):
			return i, y.wrong(at, "an assignment must be to a whole column of %s", y.t.Name)
		case slices.ContainsFunc(y.t.Key, func(k string) bool { return y.same(k, c.Name) }):
			return i, y.wrong(at, "the statement assigns the column %s of the key", c.Name)
		case y.l.Is(i+2, "DEFAULT"):
			return i, y.wrong(i+2, "write the value in place of DEFAULT")
		}
		a := assignment{column: c.Name, from: i + 2}
		for i = a.from; i < end && !y.l.Is(i, ","); i++ {
			switch {
			case y.l.Is(i, "("), y.l.Is(i, "["):
				i = y.closing(i) - 1
			}
		}
		a.to = i
		if a.from == a.to {
			return i, y.wrong(at, "the assignment has no value")
		}
		y.sets = append(y.sets, a)
		i++
	}
	if end < len(y.l) && y.l.Is(end, "FROM") {
		return end, y.wrong(end, "an UPDATE … FROM joins other tables; read them in a subquery, as in SET a = (SELECT …)")
	}
	return end, nil
}

// closing returns the index after the bracket or parenthesis that closes the one at i.
func (y *syncer) closing(i int) int {
	depth := 0
	for ; i < len(y.l); i++ {
		switch y.l[i].Text {
		case "(", "[":
			depth++
		case ")", "]":
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return i
}

// assigned reports whether the statement assigns a column.
func (y *syncer) assigned(name string) bool {
	return slices.ContainsFunc(y.sets, func(a assignment) bool { return a.column == name })
}

// readColumns finds the columns that the statement reads.
func (y *syncer) readColumns() error {
	y.reads = slices.Clone(y.t.Key)
	for _, a := range y.sets {
		for i := a.from; i < a.to; i++ {
			c, is, err := y.reference(i)
			switch {
			case err != nil:
				return err
			case !is:
			case y.assigned(c.Name):
				return y.wrong(i, "the value reads the column %s, which the statement assigns, so applying it twice would have another effect", c.Name)
			case c.Late && y.d != sqltext.SQLite:
				return y.wrong(i, "a trigger does not see the value of the column %s yet when the row is written", c.Name)
			default:
				y.addRead(c.Name)
			}
		}
	}
	for i := y.where[0]; i < y.where[1]; i++ {
		c, is, err := y.reference(i)
		switch {
		case err != nil:
			return err
		case !is:
		case y.assigned(c.Name):
			if !y.asksWhetherDone(i) {
				return y.wrong(i, "the condition on the column %s, which the statement assigns, must be IS NULL, or compare it with its new value", c.Name)
			}
			if !slices.Contains(y.resets, c.Name) {
				y.resets = append(y.resets, c.Name)
			}
		case c.Late && y.d != sqltext.SQLite && !slices.Contains(y.t.Key, c.Name):
			return y.wrong(i, "a trigger does not see the value of the column %s yet when the row is written", c.Name)
		default:
			y.addRead(c.Name)
		}
	}
	return nil
}

func (y *syncer) addRead(name string) {
	if !slices.Contains(y.reads, name) {
		y.reads = append(y.reads, name)
	}
}

// asksWhetherDone reports whether the condition on the assigned column at i holds for NULL: it is
// how statements leave out rows that are done.
func (y *syncer) asksWhetherDone(i int) bool {
	switch {
	case y.l.Is(i+1, "IS", "NULL"), y.l.Is(i+1, "IS", "DISTINCT", "FROM"), y.l.Is(i-2, "DISTINCT", "FROM"):
		return true
	case y.d == sqltext.SQLite:
		return y.l.Is(i+1, "IS", "NOT") && !y.l.Is(i+3, "NULL")
	case y.d == sqltext.MySQL:
		return y.l.Is(i+1, "<", "=", ">") || y.l.Is(i-3, "<", "=", ">")
	}
	return false
}

// reference returns the column of the table to which the token at i refers. A name in a subquery
// may also be a column of another table; it counts as one of this table.
func (y *syncer) reference(i int) (c SyncColumn, ok bool, err error) {
	t := y.l[i]
	name := t.Name()
	switch {
	case name == "" || y.inParam(t) || y.l.Is(i+1, "("):
		return c, false, nil
	case y.l.Is(i+1, ".") && y.same(name, y.called) && (y.l.Is(i-1, ".") || y.l.Is(i+2, "*")):
		return c, false, y.wrong(i, "write %s.COLUMN: a trigger has only the row", y.called)
	case y.l.Is(i-1, ".") && !y.same(y.l.At(i-2).Name(), y.called):
		return c, false, nil
	case y.l.Is(i-1, ":") && y.l.Is(i-2, ":"): // a type
		return c, false, nil
	case y.l.Is(i+1, "."):
		return c, false, nil
	case y.d == sqltext.PostgreSQL && (name == "ctid" || name == "xmin" || name == "tableoid") && !y.l.Is(i-1, "."):
		return c, false, y.wrong(i, "a trigger does not have the system column %s", name)
	}
	if y.l.Any(i-1, "FROM", "JOIN") && !y.l.Is(i-2, "DISTINCT") && y.same(name, y.t.Name) {
		return c, false, y.wrong(i, "the statement reads other rows of %s", y.t.Name)
	}
	c, ok = y.column(name)
	if !ok && y.same(name, y.called) && !y.l.Is(i-1, ".") {
		return c, false, y.wrong(i, "the whole row can't be read by a trigger; name its columns")
	}
	return c, ok, nil
}

// inParam reports whether a token belongs to a parameter.
func (y *syncer) inParam(t sqltext.Token) bool {
	return slices.ContainsFunc(y.params, func(p sqltext.Param) bool { return p.From <= t.Pos && t.Pos < p.To })
}

// text returns tokens as they are written, with the key of the row in place of the parameters.
func (y *syncer) text(from, to int, row string) string {
	if from >= to {
		return ""
	}
	at, end := y.l[from].Pos, y.l[to-1].End()
	var b strings.Builder
	for _, p := range y.params {
		if p.From < at || p.To > end {
			continue
		}
		b.WriteString(y.st.Text[at:p.From])
		var columns []string
		for _, k := range y.t.Key {
			if p.Column == "" || y.same(p.Column, k) {
				columns = append(columns, row+"."+y.q.name(k))
			}
		}
		b.WriteString(strings.Join(columns, ", "))
		at = p.To
	}
	b.WriteString(y.st.Text[at:end])
	return b.String()
}

// relation returns a relation that has only the row, as the statement sees it. The columns that it
// assigns are NULL: a condition that leaves out rows that are done must not leave out this one.
func (y *syncer) relation(row string) string {
	var columns []string
	for _, c := range y.reads {
		columns = append(columns, row+"."+y.q.name(c)+" AS "+y.q.name(c))
	}
	for _, c := range y.resets {
		columns = append(columns, "CASE WHEN 1 = 0 THEN "+row+"."+y.q.name(c)+" END AS "+y.q.name(c))
	}
	return "FROM (SELECT " + strings.Join(columns, ", ") + ") AS " + y.q.name(y.called) + "\n    WHERE " + y.text(y.where[0], y.where[1], row)
}

// probe selects the new values for no row of the table.
func (y *syncer) probe() string {
	const row = "whimbrel_row"
	called := y.q.name(y.called)
	var values, columns []string
	for _, a := range y.sets {
		values = append(values, y.text(a.from, a.to, called)+" AS "+y.q.name(a.column))
	}
	for _, c := range slices.Concat(y.reads, y.resets) {
		columns = append(columns, row+"."+y.q.name(c)+" AS "+y.q.name(c))
	}
	return "SELECT " + strings.Join(values, ", ") + "\n    FROM (SELECT " + strings.Join(columns, ", ") + " FROM " + y.q.qualified(y.t.Schema, y.t.Name) + " AS " + row +
		" WHERE 1 = 0) AS " + called + "\n    WHERE " + y.text(y.where[0], y.where[1], called)
}

// untouched returns conditions that hold if an INSERT names none of the assigned columns.
func (y *syncer) untouched() string {
	var all []string
	for _, a := range y.sets {
		c, _ := y.column(a.column)
		value := "NEW." + y.q.name(c.Name)
		condition := value + " IS NULL"
		if c.Default != "" && isConstant(c.Default, y.d) {
			condition = "(" + condition + " OR " + value + " = " + c.Default + ")"
		}
		all = append(all, condition)
	}
	return strings.Join(all, " AND ")
}

// isConstant reports whether a default is a plain constant, with or without a type.
func isConstant(text string, d sqltext.Dialect) bool {
	l := sqltext.List(text, d)
	i := l.Skip(0, "-", "+")
	if t := l.At(i); t.Kind != sqltext.TokenString && t.Kind != sqltext.TokenNumber && !l.Any(i, "TRUE", "FALSE") {
		return false
	}
	if i++; i == len(l) {
		return true
	}
	if d != sqltext.PostgreSQL || !l.Is(i, ":", ":") {
		return false
	}
	for _, t := range l[i+2:] {
		if t.Name() == "" && t.Kind != sqltext.TokenNumber && !strings.Contains("().,[]", t.Text) {
			return false
		}
	}
	return true
}

// rows returns the columns of a row, for a comparison.
func (y *syncer) rows(row string, columns []string) string {
	all := make([]string, len(columns))
	for i, c := range columns {
		all[i] = row + "." + y.q.name(c)
	}
	return "ROW(" + strings.Join(all, ", ") + ")"
}

func (y *syncer) setColumns() []string {
	all := make([]string, len(y.sets))
	for i, a := range y.sets {
		all[i] = a.column
	}
	return all
}

// postgres compares rows byte by byte, since not every type has an equality.
func (y *syncer) postgres() []string {
	table, function := y.q.qualified(y.t.Schema, y.t.Name), y.q.qualified(y.t.Schema, y.name)
	var values, assign []string
	for i, a := range y.sets {
		values = append(values, y.text(a.from, a.to, "NEW")+fmt.Sprintf(" AS v%d", i+1))
		assign = append(assign, fmt.Sprintf("    NEW.%s := r.v%d;\n", y.q.name(a.column), i+1))
	}
	body := "\nDECLARE\n  r record;\nBEGIN\n  SELECT " + strings.Join(values, ", ") + " INTO r\n    " + y.relation("NEW") + ";\n" +
		"  IF FOUND THEN\n" + strings.Join(assign, "") + "  END IF;\n  RETURN NEW;\nEND\n"
	quote := "$" + SyncPrefix + "$"
	for strings.Contains(body, quote) {
		quote = quote[:len(quote)-1] + "x$"
	}
	trigger := func(end, event, when string) string {
		return "CREATE TRIGGER " + y.name + end + " BEFORE " + event + " ON " + table + " FOR EACH ROW\n  WHEN (" + when + ")\n  EXECUTE FUNCTION " + function + "()"
	}
	kept := "pg_catalog.record_image_eq(" + y.rows("NEW", y.setColumns()) + ", " + y.rows("OLD", y.setColumns()) + ")"
	changed := "pg_catalog.record_image_ne(" + y.rows("NEW", y.reads) + ", " + y.rows("OLD", y.reads) + ")"
	return []string{
		"CREATE OR REPLACE FUNCTION " + function + "() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS " + quote + body + quote,
		trigger(onInsert, "INSERT", y.untouched()),
		trigger(onUpdate, "UPDATE", kept+" AND "+changed),
	}
}

// differ returns a condition that holds if a column differs; the operator says that two are equal.
func (y *syncer) differ(equal string) (kept, changed string) {
	var keep, change []string
	for _, c := range y.setColumns() {
		keep = append(keep, "NEW."+y.q.name(c)+" "+equal+" OLD."+y.q.name(c))
	}
	for _, c := range y.reads {
		change = append(change, "NOT (NEW."+y.q.name(c)+" "+equal+" OLD."+y.q.name(c)+")")
	}
	return strings.Join(keep, " AND "), "(" + strings.Join(change, " OR ") + ")"
}

// mysql has no WHEN: the trigger asks itself.
func (y *syncer) mysql() []string {
	var assign []string
	for _, a := range y.sets {
		assign = append(assign, "NEW."+y.q.name(a.column)+" = (SELECT "+y.text(a.from, a.to, "NEW")+"\n    "+y.relation("NEW")+")")
	}
	trigger := func(end, event, when string) string {
		return "CREATE TRIGGER " + y.q.qualified(y.t.Schema, y.name+end) + " BEFORE " + event + " ON " + y.q.qualified(y.t.Schema, y.t.Name) + " FOR EACH ROW\n" +
			"IF " + when + " THEN\n  IF EXISTS (SELECT 1\n    " + y.relation("NEW") + ") THEN\n  SET " + strings.Join(assign, ",\n    ") + ";\n  END IF;\nEND IF"
	}
	kept, changed := y.differ("<=>")
	return []string{trigger(onInsert, "INSERT", y.untouched()), trigger(onUpdate, "UPDATE", kept+" AND "+changed)}
}

// sqlite can't change a row before it is written: the trigger updates it afterwards.
func (y *syncer) sqlite() []string {
	var assign, key []string
	for _, a := range y.sets {
		assign = append(assign, y.q.name(a.column)+" = (SELECT "+y.text(a.from, a.to, "NEW")+"\n    "+y.relation("NEW")+")")
	}
	for _, k := range y.t.Key {
		key = append(key, y.q.name(k)+" = NEW."+y.q.name(k))
	}
	trigger := func(end, event, when string) string {
		return "CREATE TRIGGER " + y.q.qualified(y.t.Schema, y.name+end) + " AFTER " + event + " ON " + y.q.name(y.t.Name) + " FOR EACH ROW\n" +
			"WHEN " + when + "\nBEGIN\n  UPDATE " + y.q.name(y.t.Name) + " SET " + strings.Join(assign, ",\n    ") +
			"\n  WHERE " + strings.Join(key, " AND ") + " AND EXISTS (SELECT 1\n    " + y.relation("NEW") + ");\nEND"
	}
	kept, changed := y.differ("IS")
	return []string{trigger(onInsert, "INSERT", y.untouched()), trigger(onUpdate, "UPDATE", kept+" AND "+changed)}
}
