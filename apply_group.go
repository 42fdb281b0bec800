package whimbrel

import (
	"context"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// After a group that took groupQuick at most, the groups that are not formed yet become groupGrowth
// times as large.
const (
	groupQuick  = 50 * time.Millisecond
	groupGrowth = 4
)

// groupSize is the most statements of a group, and the most bytes of their texts unless it is one
// statement.
type groupSize struct{ statements, bytes int }

// The first group of a script has at most groupStart, and each at most groupLimit.
var (
	groupStart = groupSize{64, 256 << 10}
	groupLimit = groupSize{1024, 1 << 20}
)

// groupFailures is how many groups of a script may fail before the rest is executed one by one.
const groupFailures = 3

// grouper forms groups: consecutive statements of a script that are executed in one transaction.
type grouper struct {
	run   database.Grouper // nil if it has none, or no more
	most  groupSize
	slow  bool // the last group was
	fails int
}

func grouperOf(r database.Run) grouper {
	g, _ := r.(database.Grouper)
	return grouper{run: g, most: groupStart}
}

// next returns the limits of the group after the present one.
func (g *grouper) next() groupSize {
	if g.slow {
		return g.most
	}
	return groupSize{min(groupGrowth*g.most.statements, groupLimit.statements), min(groupGrowth*g.most.bytes, groupLimit.bytes)}
}

// ended adapts to the end of a group: groups grow, so that little is executed twice if one fails.
func (g *grouper) ended(done bool, took time.Duration) {
	if done {
		g.most, g.slow = g.next(), took > groupQuick
		return
	}
	g.most = groupStart
	if g.fails++; g.fails == groupFailures {
		g.run = nil
	}
}

// group is consecutive statements that are executed together, or one that is not.
type group struct {
	all   []sqltext.Statement
	first string             // the first of them as it is shown
	sum   migration.Checksum // of all statements up to the last of these
}

// group takes the statements that are executed together with st from those that follow it; nil if
// there are none. A script's first statement is executed alone, and so is the first after an
// interruption.
func (x *runner) group(st sqltext.Statement, following *lookahead) *group {
	g := x.groups
	if g.run == nil || x.seen <= x.from || x.tx.Open() || len(x.tx.Next) > 0 || !g.run.Groups(st) {
		return nil
	}
	if group := x.form(st, following, g.most, x.sum); len(group.all) > 1 {
		return group
	}
	return nil
}

// form takes statements that can be in a group with st, up to its limits. sum is the checksum of
// those before it.
func (x *runner) form(st sqltext.Statement, following *lookahead, most groupSize, sum migration.Checksum) *group {
	all, size := []sqltext.Statement{st}, len(st.Text)
	bytes := min(most.bytes, x.groups.run.GroupBytes())
	for len(all) < most.statements {
		st, ok := following.peek()
		if !ok || !counts(st) || size+len(st.Text) > bytes || !x.groups.run.Groups(st) {
			break
		}
		following.next()
		all, size = append(all, st), size+len(st.Text)
	}
	g := &group{all: all, sum: sum}
	for i, st := range all {
		shown := x.m.masked(x.step.Script, st.Text)
		if g.sum = database.NextSum(g.sum, shown); i == 0 {
			g.first = shown
		}
	}
	return g
}

// formNext forms the next group while the database executes the present one, and returns when that
// has ended, too.
func (x *runner) formNext(following *lookahead, sum migration.Checksum, execute func()) (next *group) {
	most, formed := x.groups.next(), make(chan struct{})
	go func() {
		defer close(formed)
		if st, ok := following.peek(); ok && counts(st) && x.groups.run.Groups(st) {
			following.next()
			next = x.form(st, following, most, sum)
		}
	}()
	execute()
	<-formed
	return next
}

// executeGroup executes statements together, or one by one if that fails: then the run stops at the
// same place, and with the same error, as without groups. It returns the next group.
func (x *runner) executeGroup(ctx context.Context, g *group, following *lookahead) (next *group, err error) {
	if len(g.all) == 1 || x.groups.run == nil {
		return nil, x.oneByOne(ctx, g.all)
	}
	seen, sum := x.seen, x.sum
	x.retry.start()
	x.seen++
	x.m.observe(x.starts(g.all[0], g.first, len(g.all)))
	x.seen, x.sum = seen+len(g.all), g.sum
	done, ended, begun := x.mark(), false, time.Now()
	if err = x.catchUp(ctx); err == nil {
		next = x.formNext(following, g.sum, func() { ended, err = x.groups.run.ExecGroup(ctx, x.step.Script, g.all, &done) })
	}
	if ended {
		x.wrote(&done)
		x.retry.committed()
		x.groups.ended(true, time.Since(begun))
		return next, nil
	}
	x.groups.ended(false, 0)
	x.seen, x.sum = seen, sum
	if err != nil {
		x.count(g.all[0])
		return nil, x.stopped(ctx, g.all[0], err)
	}
	return next, x.oneByOne(ctx, g.all)
}

// oneByOne executes the statements of a group by themselves.
func (x *runner) oneByOne(ctx context.Context, all []sqltext.Statement) error {
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
