package whimbrel

import (
	"fmt"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// continued returns the moves that continue backfills which the goal keeps. Nobody waits for one
// that is left to workers, or cancelled.
func (c *climb) continued(fills []database.Backfill) (moves []move) {
	for a := range c.applied.All() {
		if !a.Unfinished || c.rolledBack(a.Version) || !c.goal.continues(a.Version) {
			continue
		}
		i := slices.IndexFunc(fills, func(b database.Backfill) bool { return b.Version == a.Version })
		if i < 0 || fills[i].Detached || fills[i].State == database.BackfillCancelled {
			continue
		}
		mv := move{version: a.Version, name: a.Name, direction: database.Finish, from: FromHistory, applied: a, fill: &fills[i]}
		if m, ok := c.get(a.Version); ok && m.Up.Checksum == a.Checksum && a.EntryID == fills[i].EntryID {
			mv.from, mv.script, mv.up = FromSet, m.Up, m.Up
		}
		moves = append(moves, mv)
	}
	return moves
}

// continues reports whether the goal includes the rest of a backfill that was started.
func (g Goal) continues(version int64) bool {
	return g.reaches(version) || g.kind == goalSteps && g.steps > 0
}

// backfillOf returns the unfinished backfill of a version in a state, nil for none.
func backfillOf(st *database.State, version int64) *BackfillStatus {
	for _, b := range st.Backfills {
		if b.Version == version {
			s := newBackfillStatus(b, 0)
			return &s
		}
	}
	return nil
}

// firstChange reports whether none of the steps changes the schema: what follows them finds the
// schema as it is when the plan is made.
func firstChange(steps []Step) bool {
	return !slices.ContainsFunc(steps, func(s Step) bool { return s.Mode != InBatches && s.Direction != database.Mark })
}

// planAfter finds the backfills that a step comes after. Each must be applied, or come earlier in
// the plan.
func (m *Migrator) planAfter(st *database.State, p *Plan, index int) error {
	s := &p.Steps[index]
	if s.Script == nil || s.Direction == database.Down {
		return nil
	}
	after := s.Script.After
	for _, f := range s.move.forgets { // of a squash
		if a, ok := st.Applied.Get(f.Version); ok && a.Unfinished {
			after = append(slices.Clip(after), f.Version)
		}
	}
	if own, ok := st.Applied.Get(s.Version); ok && own.Unfinished && s.Direction == database.Mark && len(s.Script.Replaces) > 0 {
		after = append(slices.Clip(after), s.Version) // the newest of what a squash replaces
	}
	now := viewOf(m.set, st.Applied)
	for _, v := range after {
		d := Dependency{Version: v}
		earlier := slices.IndexFunc(p.Steps[:index], func(e Step) bool {
			return e.Version == v && e.Direction != database.Down || slices.Contains(e.Records(), v)
		})
		a, ok := st.Applied.Get(v)
		switch {
		case earlier >= 0:
			d.Name = p.Steps[earlier].Name
		case ok:
			d.Name, d.Backfill = a.Name, backfillOf(st, v)
		case !now.known(v):
			continue // it was replaced long ago
		default:
			pos := sqltext.Position{File: s.Script.File, Line: max(s.Script.Line, 1), Column: 1}
			return &sqltext.Error{Pos: pos, Msg: fmt.Sprintf("it comes after %d, which is neither applied nor pending before it", v)}
		}
		s.After = append(s.After, d)
	}
	return nil
}

// tooEarly warns of statements that expect all rows of a table to be changed, while a backfill of
// the table may not be done and the step does not come after it.
func (m *Migrator) tooEarly(st *database.State, steps []Step) (all []migration.Warning) {
	type open struct {
		version int64
		name    string
		table   string
	}
	var running []open
	for _, b := range st.Backfills {
		if b.Detached || b.State == database.BackfillCancelled {
			running = append(running, open{b.Version, b.Name, lastName(b.Table, m.db.Dialect())})
		}
	}
	for _, s := range steps {
		if s.Mode == InBatches {
			if s.Detached {
				running = append(running, open{s.Version, s.Name, lastName(s.Backfill.Table, m.db.Dialect())})
			}
			continue
		}
		for _, b := range running {
			if s.Direction == database.Down || s.Script == nil || s.Script.Func() != nil || slices.Contains(s.Script.After, b.version) {
				continue
			}
			pos, what := contracts(s.Script, b.table, m.db)
			if what == "" {
				continue
			}
			all = append(all, migration.Warning{
				File: pos.File, Line: pos.Line, Column: pos.Column,
				Msg: fmt.Sprintf("%s while the backfill %d %s of the table may not be done; write \"-- whimbrel: after %[2]d\" at the beginning of the file", what, b.version, b.name),
			})
		}
	}
	return all
}

// lastName returns the name of a table without its schema, as the database stores it.
func lastName(table string, d sqltext.Dialect) string {
	list := sqltext.List(table, d)
	return list.At(len(list) - 1).Name()
}

// contracts finds the first statement of a script that expects all rows of a table to be changed,
// and describes it; "" for none.
func contracts(s *migration.Script, table string, db database.Database) (pos sqltext.Position, what string) {
	a, err := s.Analyze(db.Dialect(), db.Tables())
	if err != nil {
		return pos, ""
	}
	for st, err := range a.All() {
		if err != nil {
			return pos, ""
		}
		if what := contractOf(sqltext.List(st.Text, db.Dialect()), table); what != "" {
			return st.Pos, what
		}
	}
	return pos, ""
}

// contractOf describes what a statement expects of a table, "" for nothing.
func contractOf(l sqltext.TokenList, table string) string {
	if !l.Is(0, "ALTER", "TABLE") && !l.Is(0, "DROP", "TABLE") {
		return ""
	}
	i := 2
	for _, skip := range [][]string{{"IF", "EXISTS"}, {"ONLY"}} {
		if l.Is(i, skip...) {
			i += len(skip)
		}
	}
	name := l.At(i).Name()
	for ; l.At(i + 1).Is("."); i += 2 {
		name = l.At(i + 2).Name()
	}
	if name != table {
		return ""
	}
	if l.Is(0, "DROP") {
		return "DROP TABLE"
	}
	for j := i + 1; j < len(l); j++ {
		for _, words := range []string{"SET NOT NULL", "DROP COLUMN", "VALIDATE CONSTRAINT", "ADD CONSTRAINT", "ADD CHECK", "ADD UNIQUE", "ADD PRIMARY KEY", "ADD FOREIGN KEY", "RENAME COLUMN"} {
			if l.Is(j, strings.Fields(words)...) {
				return words
			}
		}
	}
	return ""
}
