package whimbrel

import (
	"context"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// A group has at most groupLimit statements, and at most groupBytes of text unless it is one
// statement. The first of a script has groupStart.
const (
	groupStart = 32
	groupLimit = 512
	groupBytes = 256 << 10
)

// groupFailures is how many groups of a script may fail before the rest is executed one by one.
const groupFailures = 3

// grouper forms groups: consecutive statements of a script that are executed in one transaction.
type grouper struct {
	run   database.Grouper // nil if it has none, or no more
	most  int
	fails int
}

func grouperOf(r database.Run) grouper {
	g, _ := r.(database.Grouper)
	return grouper{run: g, most: groupStart}
}

// ended adapts to the end of a group: groups grow, so that little is executed twice if one fails.
func (g *grouper) ended(done bool) {
	if done {
		g.most = min(2*g.most, groupLimit)
		return
	}
	g.most = groupStart
	if g.fails++; g.fails == groupFailures {
		g.run = nil
	}
}

// group takes the statements that are executed together with st from those that follow it; nil if
// there are none. A script's first statement is executed alone, and so is the first after an
// interruption.
func (x *runner) group(st sqltext.Statement, following *lookahead) []sqltext.Statement {
	g := x.groups
	if g.run == nil || x.seen <= x.from || x.tx.Open() || len(x.tx.Next) > 0 || !g.run.Groups(st) {
		return nil
	}
	all, size := []sqltext.Statement{st}, len(st.Text)
	for len(all) < g.most {
		st, ok := following.peek()
		if !ok || !counts(st) || size+len(st.Text) > groupBytes || !g.run.Groups(st) {
			break
		}
		following.next()
		all, size = append(all, st), size+len(st.Text)
	}
	if len(all) == 1 {
		return nil
	}
	return all
}

// executeGroup executes statements together, or one by one if that fails: then the run stops at the
// same place, and with the same error, as without groups.
func (x *runner) executeGroup(ctx context.Context, all []sqltext.Statement) error {
	seen, sum := x.seen, x.sum
	x.retry.start()
	x.m.observe(x.starts(all[0], x.count(all[0]), len(all)))
	for _, st := range all[1:] {
		x.count(st)
	}
	done, ended := x.mark(), false
	err := x.catchUp(ctx)
	if err == nil {
		ended, err = x.groups.run.ExecGroup(ctx, x.step.Script, all, &done)
	}
	if ended {
		x.wrote(&done)
		x.retry.committed()
		x.groups.ended(true)
		return nil
	}
	x.groups.ended(false)
	x.seen, x.sum = seen, sum
	if err != nil {
		x.count(all[0])
		return x.stopped(ctx, all[0], err)
	}
	for _, st := range all {
		if err := x.statement(ctx, st, nil); err != nil {
			return err
		}
	}
	return nil
}

// lookahead is a sequence of statements of which the next can be seen before it is taken.
type lookahead struct {
	pull  func() (sqltext.Statement, error, bool)
	ahead bool
	st    sqltext.Statement
	err   error
	ok    bool
}

func (l *lookahead) next() (sqltext.Statement, error, bool) {
	if l.ahead {
		l.ahead = false
		return l.st, l.err, l.ok
	}
	return l.pull()
}

// peek returns the next statement; false if there is none.
func (l *lookahead) peek() (sqltext.Statement, bool) {
	if !l.ahead {
		l.st, l.err, l.ok = l.pull()
		l.ahead = true
	}
	return l.st, l.ok && l.err == nil
}
