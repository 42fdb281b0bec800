package render

import (
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// PlanBackfill is what a step does with a backfill.
type PlanBackfill struct {
	Table string   `json:"table"`
	Key   []string `json:"key"` // empty for the primary key of a table that may not exist yet
	// RowsEstimated is what the server estimates; null if it is not known.
	RowsEstimated *int64 `json:"rows_estimated"`
	Limits        Limits `json:"limits"`
	Check         string `json:"check"`
	Recheck       bool   `json:"recheck"`
	Sync          bool   `json:"sync"`
	// SyncSQL are the statements that create the triggers. It is empty if an earlier step may change
	// the table.
	SyncSQL  []string `json:"sync_sql"`
	Detached bool     `json:"detached"`
	Throttle []string `json:"throttle"`
	// Continues is how far a backfill is that the step continues; null for one that it starts.
	Continues *Backfill `json:"continues"`
}

// PlanAfter is a backfill that must be done before a step. Backfill is null if it is done, or if
// the same plan starts it.
type PlanAfter struct {
	Version  int64     `json:"version"`
	Name     string    `json:"name"`
	Backfill *Backfill `json:"backfill"`
}

func newPlanBackfill(s whimbrel.Step) *PlanBackfill {
	b := s.Backfill
	if b == nil {
		return nil
	}
	d := &PlanBackfill{
		Table: tableName(b.Table), Key: append([]string{}, b.Key...), Limits: newLimits(database.LimitsOf(b)), Check: b.Check, Recheck: b.Recheck,
		Sync: b.Sync, SyncSQL: append([]string{}, s.Sync...), Detached: s.Detached, Throttle: throttles(b.Throttle),
	}
	if t := s.Target; t != nil {
		d.Table, d.Key = tableName(t.Table), append([]string{}, t.Key...)
		if t.RowsEstimated > 0 {
			d.RowsEstimated = &t.RowsEstimated
		}
	}
	if c := s.Continued; c != nil {
		d.Continues = Pointer(NewBackfill(*c))
		d.Limits, d.Key, d.Table = d.Continues.Limits, d.Continues.Key, d.Continues.Table
	}
	return d
}

// throttles describes the limits of a backfill that make it wait.
func throttles(t migration.Throttle) []string {
	all := []string{}
	for _, part := range []struct {
		on   bool
		text string
	}{
		{t.Lag > 0, "max-lag " + t.Lag.String()},
		{t.SlotWAL > 0, fmt.Sprintf("max-slot-wal %d", t.SlotWAL)},
		{t.WALRate > 0, fmt.Sprintf("max-wal-rate %d", t.WALRate)},
		{t.Autovacuum, "wait-for-autovacuum"},
		{t.FlowControl > 0, fmt.Sprintf("max-flow-control %g", t.FlowControl)},
		{t.Query != "", "throttle " + t.Query},
	} {
		if part.on {
			all = append(all, part.text)
		}
	}
	return all
}

func newPlanAfter(all []whimbrel.Dependency) (list []PlanAfter) {
	for _, d := range all {
		after := PlanAfter{Version: d.Version, Name: d.Name}
		if d.Backfill != nil {
			after.Backfill = Pointer(NewBackfill(*d.Backfill))
		}
		list = append(list, after)
	}
	return list
}

// words are the cells of a step: its transaction, and what it does.
func (b *PlanBackfill) words() (transaction, does string) {
	switch {
	case b.Continues != nil:
		does = "continue"
	case b.Detached:
		does = "start"
	default:
		does = "fill"
	}
	return "batches", does
}

// lines explains a step that starts or continues a backfill.
func (b *PlanBackfill) lines(pg *page, s PlanStep) []string {
	key := "in the order of " + clean(strings.Join(b.Key, ", "))
	if len(b.Key) == 0 {
		key = "in the order of the primary key"
	}
	rows := "the rows"
	if b.RowsEstimated != nil {
		rows = "about " + rowsOf(*b.RowsEstimated)
	}
	words := fmt.Sprintf("%s: changes %s of %s in batches, %s: %s.", pg.which(s), rows, clean(b.Table), key, b.Limits.words())
	if c := b.Continues; c != nil {
		words = fmt.Sprintf("%s: continues the backfill of %s after %s.", pg.which(s), clean(b.Table), c.Progress())
	}
	if b.Detached {
		words += " The step only starts it; workers execute it."
	}
	all := []string{words}
	if len(b.Throttle) > 0 {
		all = append(all, pg.which(s)+": waits while a limit is exceeded: "+clean(strings.Join(b.Throttle, ", "))+".")
	}
	if b.Check != "" {
		all = append(all, pg.which(s)+": must end with 0 from: "+excerptOf(b.Check))
	}
	if b.Sync {
		words := pg.which(s) + ": a trigger keeps rows in step that are written meanwhile. It is dropped at the end"
		if len(b.SyncSQL) == 0 && b.Continues == nil {
			words += "; its SQL is shown when its table exists"
		}
		all = append(all, words+".")
	}
	return all
}

// writeSync writes the SQL that creates the triggers of backfills.
func (d *Plan) writeSync(pg *page) {
	for _, s := range d.Steps {
		if s.Backfill == nil || len(s.Backfill.SyncSQL) == 0 {
			continue
		}
		pg.line()
		pg.line(pg.faint("-- the trigger of " + pg.digits.Name(s.Version, s.Name)))
		for _, sql := range s.Backfill.SyncSQL {
			pg.raw(cleanLines(strings.TrimSuffix(sql, "\n")) + ";")
		}
		pg.line()
	}
}

// afterWords describes the backfills that must be done before a step, "" for none.
func (s PlanStep) afterWords(pg *page) string {
	var all []string
	for _, a := range s.After {
		words := pg.digits.Name(a.Version, a.Name)
		if b := a.Backfill; b != nil {
			words += " (" + b.State + ", " + b.done() + ")"
		}
		all = append(all, words)
	}
	if len(all) == 0 {
		return ""
	}
	return pg.which(s) + ": comes after the backfill " + listWords(all) + "."
}

func newLimits(l database.BackfillLimits) Limits {
	return Limits{
		Batch: l.Batch, Target: Millis(l.Target), Parallel: l.Parallel, Pause: Millis(l.Pause),
		Timeout: Millis(l.Timeout), Attempts: l.Attempts,
	}
}
