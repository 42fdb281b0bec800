package whimbrel

import (
	"context"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// The applier tells a run of one step first, and never of more than aheadLimit steps, aheadCalls
// calls and aheadBytes of text. The number of steps follows aheadQuick: a slow statement never has
// much behind it.
const (
	aheadLimit = 32
	aheadCalls = 96
	aheadBytes = 96 << 10
	aheadQuick = 100 * time.Millisecond
)

// ahead is what runs were told of the steps that follow.
type ahead struct {
	pace
	next  int       // the first step that the run was not told of
	told  time.Time // when it was told last
	steps int       // of how many
}

// tellAhead tells a run what it will be called for: to execute the statements of a step and of
// some that follow, and to record each. Nothing else comes between these calls.
func (a *applier) tellAhead(ctx context.Context, g guarded, index int) error {
	run, ok := g.run.(database.RunSequencer)
	if !ok || index < a.ahead.next || g.opts.Terminate != nil {
		return nil
	}
	if a.ahead.steps > 0 {
		a.ahead.sent(a.ahead.steps, time.Since(a.ahead.told), aheadLimit, aheadQuick)
	}
	a.ahead.most = max(a.ahead.most, 1)
	var all []database.Call
	var ends []int // the number of calls up to the end of each step
	size, versions := 0, map[int64]bool{}
	for i := index; i < len(a.plan.Steps) && len(ends) < a.ahead.most && len(all) < aheadCalls && size < aheadBytes; i++ {
		calls, n := a.calls(i)
		if v := a.plan.Steps[i].Version; len(calls) == 0 || versions[v] || size > 0 && size+n > aheadBytes {
			break
		} else {
			versions[v] = true
		}
		size += n
		all = append(all, calls...)
		ends = append(ends, len(all))
	}
	a.ahead.told, a.ahead.steps = time.Now(), max(len(ends), 1)
	if len(all) < 2 {
		return nil
	}
	n, err := run.Ahead(ctx, all)
	a.ahead.next = index
	for start := 0; start < n; a.ahead.next++ { // it was told of this step, or of a part
		start = ends[a.ahead.next-index]
	}
	if n < len(all) {
		a.ahead.most = max(1, a.ahead.next-index)
	}
	return err
}

// calls returns the calls of a run for a step, and the length of their statements. There are none
// if the step may need others.
func (a *applier) calls(index int) (all []database.Call, size int) {
	s := a.plan.Steps[index]
	if s.Mode != OutsideTransaction || !a.left[index] || s.Version == NilVersion || s.metadata != nil || s.entryCount() != 1 ||
		len(s.move.ends) > 0 || len(s.After) > 0 {
		return nil, 0
	}
	an, err := s.Script.Analyze(a.m.db.Dialect(), a.m.db.Tables())
	if err != nil {
		return nil, 0
	}
	x := &runner{m: a.m, step: s}
	for st, err := range an.All() {
		if err != nil || st.Kind != sqltext.SQL || st.Tx != sqltext.TxNever || st.Mode != 0 || st.Session || len(all) == aheadCalls {
			return nil, 0
		}
		j := x.mark()
		j.Begun = x.count(st)
		size += len(st.Text)
		all = append(all, database.Call{Script: s.Script, Statement: st, Journal: j})
	}
	entries, err := a.entries(s, time.Now())
	if err != nil || len(all) == 0 {
		return nil, 0
	}
	return append(all, database.Call{Script: s.Script, Entry: &entries[0]}), size + len(entries[0].UpText) + len(entries[0].DownText)
}
