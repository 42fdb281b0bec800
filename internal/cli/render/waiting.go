package render

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
)

// waiting is a wait for locks of other sessions, from the first report to the end of the step.
type waiting struct {
	step     whimbrel.Step // Script is nil if the call has no steps
	blockage database.Blockage
	seen     time.Time     // when the blockage was reported; zero for never
	blocked  bool          // the statement waits now, as far as is known
	after    time.Duration // how long a statement waits until that is reported
	until    time.Time     // when the block disappears, unless there is news

	attempt int       // the present one or, in a pause, the next; 0 for the first
	next    time.Time // when it begins
	last    time.Time // when the last one may begin
	retries int
	said    string                    // the blockers of the last line
	of      whimbrel.StatementStarted // the statement of a run that waits; zero for none
}

const (
	// shownRetries is the number of retries that have a line each in a pipe. After that the line of
	// every 30 seconds says which attempt it is.
	shownRetries = 3
	// usualTimeout is the default lock timeout.
	usualTimeout = 2 * time.Second
)

// statementWaiting shows which sessions block a statement: on a terminal under the migration, in a
// pipe once for each change.
func (p *Printer) statementWaiting(e whimbrel.StatementWaiting) {
	if p.silent() || p.progress.stopping {
		return
	}
	e.Blockage = p.told(e.Blockage)
	now, w := time.Now(), p.wait()
	if b := e.Blockage; !w.blocked || b.Waited < w.blockage.Waited { // a new wait
		w.after = max(b.Waited, 100*time.Millisecond)
	}
	w.blockage, w.seen, w.blocked, w.of = e.Blockage, now, true, p.progress.statement
	w.until = now.Add(max(w.after/2, time.Second) + 500*time.Millisecond) // twice the interval of the reports
	words := p.waits() + " " + blockedLine(e.Blockage, now)
	if key := p.waits() + sameBlockers(e.Blockage); key != w.said && !p.live.on() {
		w.said = key
		p.put(p.opts.Err, words+"\n")
		p.live.now.reported, p.live.now.start = now, ""
	}
	if w.attempt > 0 {
		words += fmt.Sprintf("; attempt %d", w.attempt)
	}
	p.showWait(words)
}

// wait returns the present wait.
func (p *Printer) wait() *waiting {
	if p.progress.wait == nil {
		p.progress.wait = &waiting{after: usualTimeout}
		if running := p.progress.running; len(running) > 0 {
			p.progress.wait.step = running[len(running)-1]
		}
	}
	return p.progress.wait
}

// waits names the statement that waits.
func (p *Printer) waits() string {
	if st := p.progress.statement; st.SQL != "" {
		return fmt.Sprintf("%s, %s,", p.which(st.Step), statementOf(st.Index+1, st.Of))
	}
	if running := p.progress.running; len(running) == 1 {
		return p.which(running[0])
	}
	return "a statement"
}

// showWait shows the block on a terminal, and words every 30 seconds in a pipe.
func (p *Printer) showWait(words string) {
	if p.live.block == nil {
		p.live.without = p.live.now.what
	}
	p.live.update(words)
	p.live.block = p.waitBlock
}

// retrying shows that another attempt follows.
func (p *Printer) retrying(e whimbrel.Retrying) {
	pr := &p.progress
	if e.Left <= 0 && e.Pause <= 0 { // not because of a lock
		pr.running, pr.statement = nil, whimbrel.StatementStarted{}
		return
	}
	if p.silent() || pr.stopping {
		pr.running = nil
		return
	}
	now, w := time.Now(), p.wait()
	if pr.statement.SQL != "" {
		w.of = pr.statement
	}
	if len(e.Blockage.Blockers) > 0 {
		w.blockage = p.told(e.Blockage)
	}
	var failed *database.StatementError
	if w.blockage.SQL == "" && errors.As(e.Err, &failed) {
		w.blockage.SQL = failed.Statement
	}
	w.blocked, w.attempt, w.next, w.last = false, e.Attempt, now.Add(e.Pause), now.Add(e.Left)
	w.until = w.next.Add(w.after + 2*time.Second)
	w.retries++
	name := "a statement"
	if e.Step.Script != nil { // of several in one transaction, it is this one
		w.step = e.Step
	}
	if w.step.Script != nil {
		name = p.stepWords(w.step) + " "
	}
	words := fmt.Sprintf("%s was blocked; attempt %d in %s, %s left", name, w.attempt, cmp.Or(took(e.Pause), "0s"), span(e.Left))
	said := !p.live.on() && w.retries <= shownRetries
	if said {
		p.put(p.opts.Err, words+"\n")
	}
	if e.Statement == 0 {
		pr.running, pr.statement = nil, whimbrel.StatementStarted{}
	}
	p.showWait(words)
	if said {
		p.live.now.reported, p.live.now.start = now, ""
	}
}

// waitBlock returns the lines of the live block: the first replaces the live line. It returns
// nothing if the wait has ended.
func (p *Printer) waitBlock(width int, now time.Time) []string {
	w := p.progress.wait
	if w == nil || now.After(w.until) {
		return nil
	}
	pg := &page{palette: palette{on: p.opts.Err.Color}, digits: p.digits, width: width}
	name := "a statement"
	if w.step.Script != nil {
		name = p.stepWords(w.step)
	}
	pause := w.next.Sub(now)
	switch {
	case w.blocked:
		pg.raw(name + "  waits for a lock")
	case pause > 0:
		pg.raw(name + "  was blocked, and pauses")
	default:
		pg.raw(name + "  tries again")
	}
	b := w.blockage
	if b.SQL != "" {
		pg.raw(ansi.Truncate("    "+oneLine(b.SQL), max(width, 20), "…"))
	}
	pg.hanging("    "+strings.Join(w.words(now), "; "), 6)
	pg.blockers(b, 4, now)
	if b.Hidden != "" {
		pg.hanging("    "+pg.faint(oneLine(b.Hidden)), 6)
	}
	if w.attempt > 0 {
		words := fmt.Sprintf("attempt %d", w.attempt)
		if pause > 0 {
			words += fmt.Sprintf(" in %.1fs", pause.Seconds())
		}
		pg.hanging("    "+pg.faint(fmt.Sprintf("%s; no more retries after %s", words, span(w.last.Sub(now)))), 6)
	}
	return slices.Collect(strings.Lines(pg.String()))
}

// words describes the lock and for how long the statement waits.
func (w *waiting) words(now time.Time) (all []string) {
	lock := lockOf(w.blockage)
	switch {
	case w.seen.IsZero():
		all = append(all, "the sessions that block it are not known")
	case w.blocked && lock != "":
		all = append(all, fmt.Sprintf("waiting %s for %s", span(w.blockage.Waited+now.Sub(w.seen)), lock))
	case w.blocked:
		all = append(all, "waiting "+span(w.blockage.Waited+now.Sub(w.seen)))
	case lock != "":
		all = append(all, "needs "+lock)
	default:
		all = append(all, "last blocked by:")
	}
	if behind := queued(w.blockage); behind != "" && w.blocked {
		all = append(all, behind)
	}
	if len(w.blockage.Blockers) > 0 && (lock != "" || w.blocked) {
		all[len(all)-1] += "; blocked by:"
	}
	return all
}

// terminated says that a session was ended. p.mu is held.
func (p *Printer) terminated(e whimbrel.Terminated) {
	p.progress.ended = append(p.progress.ended, newEnded(e))
	if p.silent() {
		return
	}
	pg := p.page(p.opts.Err)
	of := ""
	if e.Step.Script != nil {
		of = ", which blocked " + p.which(e.Step)
	}
	pg.line(pg.warn("terminated:"), " ", whoBlocks(e.Blocker, time.Now()), of)
	if text := doing(e.Blocker); text != "" {
		pg.line("  ", text)
	}
	p.put(p.opts.Err, pg.String())
}

// Ended is a session that was terminated because it blocked a migration.
type Ended struct {
	Version int64   `json:"version"` // the migration
	Name    string  `json:"name"`
	Session Blocker `json:"session"`
}

func newEnded(e whimbrel.Terminated) Ended {
	return Ended{Version: e.Step.Version, Name: e.Step.Name, Session: newBlocker(e.Blocker)}
}

// Retried is a step that was tried again because of a lock.
type Retried struct {
	Version  int64  `json:"version"`
	Name     string `json:"name"`
	Retries  int    `json:"retries"`
	LockWait Millis `json:"lock_wait_ms"`
}

func (p *Printer) noteRetries(e whimbrel.StepDone) {
	if e.Retries == 0 || e.Skipped {
		return
	}
	p.progress.retried = append(p.progress.retried, Retried{e.Step.Version, e.Step.Name, e.Retries, Millis(e.LockWait)})
}

// afterRetries says how often a step was tried again, and how long that took.
func afterRetries(n int, d time.Duration) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", after %s in %s", countRetries(n), took(d))
}

func countRetries(n int) string {
	if n == 1 {
		return "1 retry"
	}
	return fmt.Sprintf("%d retries", n)
}

// ends reports whether the statement that waited is done: the run executes a later one.
func (w *waiting) ends(now whimbrel.StatementStarted) bool {
	if w.of.SQL == "" {
		return w.retries == 0
	}
	was := w.of
	return now.Index > was.Index || was.Step.Version != now.Step.Version || was.Step.Name != now.Step.Name
}
