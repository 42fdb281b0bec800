package render

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// maxName is the maximum width to which names are padded.
const maxName = 40

// progress is the state of the plan that is being applied.
type progress struct {
	names      int             // the widest name
	running    []whimbrel.Step // started and not done
	waiting    bool            // for the lock; this was printed
	wait       *waiting        // for other sessions; nil for none
	stopping   bool            // the work is being cancelled
	retried    []Retried
	ended      []Ended
	terminates bool // blockers, after some time

	statement whimbrel.StatementStarted // the running statement of a run; zero for none
	filling   *filling                  // the backfill in progress; nil for none
}

// Observe shows an event. It is meant for whimbrel.Options.Observe.
func (p *Printer) Observe(_ context.Context, e whimbrel.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pr := &p.progress
	switch e.(type) {
	case whimbrel.Planned, whimbrel.Failed: // a plan may still be refused
	default:
		p.begun()
	}
	switch e := e.(type) {
	case whimbrel.Planned:
		for _, s := range e.Plan.Steps {
			pr.names = min(max(pr.names, len(s.Name)), maxName)
			if places := secretPlaces(s); len(places) > 0 && !p.silent() {
				pg := p.page(p.opts.Err)
				pg.line("warning: ", clean(keepsSecret(places)))
				p.put(p.opts.Err, pg.String())
			}
		}
	case whimbrel.DownRefused:
		p.downRefused(e)
	case whimbrel.LockWaiting:
		p.lockWaiting(e)
	case whimbrel.StepStarted:
		pr.waiting = false
		pr.running = append(pr.running, e.Step)
		p.stepStarted(e.Step)
	case whimbrel.Resumed:
		p.say(e.Step, resumesAt(e.From, e.Of))
	case whimbrel.CleanedUp:
		p.say(e.Step, fmt.Sprintf("cleaning up after the interrupted statement (%s): %s", oneLine(e.Why), oneLine(e.SQL)))
	case whimbrel.StatementWaiting:
		p.statementWaiting(e)
	case whimbrel.StatementStarted:
		p.statementStarted(e)
		p.live.update(fmt.Sprintf("%s  statement %d of %d: %s", p.stepWords(e.Step), e.Index+1, e.Of, excerptOf(e.SQL)))
	case whimbrel.Retrying:
		p.retrying(e)
	case whimbrel.BackfillProgress:
		p.backfillProgress(e.Backfill, e.Waits)
	case whimbrel.BackfillWaiting:
		p.backfillWaiting(e)
	case whimbrel.BackfillRetrying:
		p.backfillRetrying(e)
	case whimbrel.Terminated:
		p.terminated(e)
	case whimbrel.StepDone:
		p.stepDone(e)
	case whimbrel.Failed:
		pr.running, pr.statement, pr.wait, pr.filling = nil, whimbrel.StatementStarted{}, nil, nil
		p.live.hide()
	}
}

// header is the first line of a command that writes, until it is printed.
type header struct {
	words string // "" for none
	to    Stream
}

// Begin sets the first line of a command that writes: what it does, and to which database. The line
// is printed when the work begins or ends, and not at all if the command is refused before that. If
// the answer is data for another program, the line goes to stderr.
func (p *Printer) Begin(words string, data bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.silent() {
		return
	}
	p.live.working(strings.ToLower(words[:1]) + words[1:])
	p.header = header{words, p.opts.Out}
	if data {
		p.header.to = p.opts.Err
	}
}

// begun prints the first line of a command that writes, if that is still due. p.mu is held.
func (p *Printer) begun() {
	if h := p.header; h.words != "" {
		p.header = header{}
		pg := p.page(h.to)
		pg.line(pg.wrap(clean(h.words)))
		p.put(h.to, pg.String())
	}
}

// Working shows what the command does while no migration runs, such as connecting.
func (p *Printer) Working(words string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live.working(words)
}

// stepStarted shows the steps in progress: several, if they share a transaction. p.mu is held.
func (p *Printer) stepStarted(last whimbrel.Step) {
	words := p.stepWords(last)
	all := p.progress.running
	if w := p.progress.wait; w != nil && len(all) == 1 { // the time counts from the first attempt
		w.step = last
		p.live.update(words)
		return
	}
	if len(all) == 1 {
		p.live.announce(words, words+" …")
		return
	}
	words = fmt.Sprintf("%s to %s: %s in one transaction", p.stepWords(all[0]), p.which(last), count(len(all), "migration"))
	p.live.update(words)
	if p.live.now.start != "" {
		p.live.now.start = words + " …"
	}
}

// silent reports whether progress is not shown.
func (p *Printer) silent() bool { return p.opts.Quiet || p.opts.JSON }

// say writes a line about a running step. p.mu is held.
func (p *Printer) say(s whimbrel.Step, words string) {
	if !p.silent() {
		pg := p.page(p.opts.Out)
		pg.hanging(p.stepWords(s)+"  "+words, len("down "))
		p.put(p.opts.Out, pg.String())
	}
}

// statementStarted notes the statement of a run. If it is the one that was blocked, its wait has
// not ended.
func (p *Printer) statementStarted(e whimbrel.StatementStarted) {
	pr := &p.progress
	pr.statement = e
	if w := pr.wait; w != nil && w.ends(e) {
		pr.wait, p.live.block = nil, nil
	}
}

func (p *Printer) stepWords(s whimbrel.Step) string {
	return fmt.Sprintf("%-4s %s %s", stepWord(s.Direction), p.digits.Step(s.Version), clean(s.Name))
}

// stepWord describes a step in at most four letters.
func stepWord(d database.Direction) string {
	switch d {
	case database.Baseline:
		return "base"
	case database.Repeat:
		return "run"
	case database.Start, database.Finish:
		return "fill"
	}
	return string(d)
}

func (p *Printer) stepDone(e whimbrel.StepDone) {
	pr := &p.progress
	for len(pr.running) > 0 { // steps that started earlier are done, too
		first := pr.running[0]
		pr.running = pr.running[1:]
		if first.Version == e.Step.Version && first.Direction == e.Step.Direction && first.Name == e.Step.Name {
			break
		}
	}
	if len(pr.running) == 0 {
		p.live.hide()
	}
	pr.statement, pr.wait = whimbrel.StatementStarted{}, nil
	p.live.block = nil
	p.noteRetries(e)
	if p.silent() {
		return
	}
	pg := p.page(p.opts.Out)
	word, end := stepWord(e.Step.Direction), fmt.Sprintf("%6s", took(e.Duration))+afterRetries(e.Retries, e.LockWait)
	colour := pg.good
	switch {
	case e.Skipped:
		word, end, colour = "skip", "another process did it", pg.faint
	case e.Step.Direction == database.Down:
		colour = pg.warn
	case e.Step.Direction == database.Mark:
		end = "recorded, not run"
	case e.Step.Detached:
		end = "started; workers execute it"
	case isFilling(e.Step.Direction):
		end += p.filled(e.Step)
	}
	version, name := p.digits.Step(e.Step.Version), clean(e.Step.Name)
	before := len("down ") + len(version) + 1
	names := pr.names
	if pg.width > 0 {
		names = min(names, pg.width-before-len("  123.4ms"))
	}
	pad := strings.Repeat(" ", max(names-len(name), 0))
	pg.hanging(colour(fmt.Sprintf("%-4s", word))+" "+version+" "+name+pad+"  "+pg.faint(end), len("down "))
	p.put(p.opts.Out, pg.String())
}

// lockWaiting shows which process holds the lock: in a pipe, only once.
func (p *Printer) lockWaiting(e whimbrel.LockWaiting) {
	words := fmt.Sprintf("waiting for the migration lock of set %q", e.Set)
	if holder := oneLine(e.Holder.String()); holder != "" {
		words += ", held by " + holder
	}
	first := !p.progress.waiting
	p.progress.waiting = true
	if first && !p.silent() && !p.live.on() {
		p.put(p.opts.Err, words+"\n")
	}
	if first {
		p.live.show(words)
	}
	p.live.update(words)
	p.live.block = func(width int, _ time.Time) []string {
		const others = len("⠙   9999.9s") // on the first line
		return strings.SplitAfter(Hang(clean(words), width-others, 4), "\n")
	}
}

// Notice shows a notice from the server. It is meant for database.Options.Notice.
func (p *Printer) Notice(n database.Notice) {
	if p.opts.JSON || p.opts.Quiet {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	pg := p.page(p.opts.Err)
	step := ""
	if len(p.progress.running) == 1 { // else its step is unknown
		step = pg.faint(" (" + p.which(p.progress.running[0]) + ")")
	}
	pg.line(pg.warn(cmp.Or(n.Severity, "NOTICE")+":"), " ", cleanLines(n.Message), step)
	for _, more := range []string{n.Detail, n.Hint} {
		if more != "" {
			pg.line("  ", cleanLines(more))
		}
	}
	p.put(p.opts.Err, pg.String())
}

// Warn shows warnings about a folder. It prints nothing with JSON, which is one document.
func (p *Printer) Warn(all []migration.Warning) {
	if p.opts.JSON || p.opts.Quiet || len(all) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	pg := p.page(p.opts.Err)
	for _, w := range all[:min(len(all), maxWarnings)] {
		pg.line(pg.warn(clean(Problem{File: w.File, Line: w.Line, Column: w.Column}.place())+": warning:"), " ", clean(w.Msg))
	}
	if more := len(all) - maxWarnings; more > 0 {
		pg.line(fmt.Sprintf("and %d more warnings", more))
	}
	p.put(p.opts.Err, pg.String())
}

// maxWarnings is the maximum number of warnings that are shown.
const maxWarnings = 20
