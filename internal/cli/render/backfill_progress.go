package render

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
)

// filling is the backfill that is in progress, executed by this process or waited for.
type filling struct {
	Backfill
	held  []string // what holds it back now
	waits bool
	said  string // the signals of the last line in a pipe
	rows  int64  // that were done when their number was last seen to grow
	moved time.Time
}

// stalledAfter is for how long no batch is committed before a backfill counts as stalled.
const stalledAfter = 3 * time.Second

// stalled says for whom the backfill waits if no batch was committed for a while: for a worker, or
// for one that has the rows and may be dead. It returns "" if the backfill moves.
func (f *filling) stalled(now time.Time) string {
	if f.State == string(database.BackfillPaused) {
		return "it is paused"
	}
	if now.Sub(f.moved) < stalledAfter || len(f.held) > 0 || f.State != string(database.BackfillRunning) {
		return ""
	}
	if f.waits && f.idle() {
		return "no worker executes it"
	}
	for _, l := range f.Lanes {
		if l.State == laneWorks {
			return fmt.Sprintf("no batch for %s: worker %s has the rows; its lease ends in %s", span(now.Sub(f.moved)), oneLine(l.Worker), span(l.until))
		}
	}
	return ""
}

// backfillProgress shows how far a backfill is. p.mu is held.
func (p *Printer) backfillProgress(b whimbrel.BackfillStatus, waits bool) {
	f := p.filling(b)
	f.waits = waits
	if b.State == database.BackfillDone && waits {
		p.waited(f)
	}
	if b.State == database.BackfillDone || p.progress.stopping {
		return
	}
	p.showFilling(f)
}

// waited says that a backfill is done for which the call has waited. p.mu is held.
func (p *Printer) waited(f *filling) {
	p.progress.filling = nil
	p.live.hide()
	if p.silent() {
		return
	}
	pg := p.page(p.opts.Out)
	pg.hanging(pg.good("fill")+" "+p.digits.Name(f.Version, f.Name)+"  "+pg.faint("done, "+rowsOf(f.RowsDone)), len("fill "))
	p.put(p.opts.Out, pg.String())
}

// filling returns the backfill in progress with its new state.
func (p *Printer) filling(b whimbrel.BackfillStatus) *filling {
	f := p.progress.filling
	if f == nil || f.Version != b.Version || f.Set != b.Set {
		f = &filling{}
		p.progress.filling = f
	}
	f.Backfill = NewBackfill(b)
	if now := time.Now(); f.moved.IsZero() || b.RowsDone != f.rows { // what held it back does so no more
		f.rows, f.moved, f.held = b.RowsDone, now, nil
	}
	if b.ThrottledBy != "" && b.State == database.BackfillWaiting && len(f.held) == 0 {
		f.held = []string{oneLine(b.ThrottledBy)}
	}
	return f
}

// backfillWaiting shows what holds a backfill back. p.mu is held.
func (p *Printer) backfillWaiting(e whimbrel.BackfillWaiting) {
	f := p.filling(e.Backfill)
	f.held = nil
	var names []string
	for _, s := range e.Signals {
		f.held = append(f.held, signalText(s))
		names = append(names, s.Name)
	}
	if p.silent() || p.progress.stopping {
		return
	}
	p.showFilling(f)
	if key := strings.Join(names, ","); key != f.said && !p.live.on() {
		f.said = key
		p.put(p.opts.Err, f.line(p.digits)+"\n")
		p.live.now.reported, p.live.now.start = time.Now(), ""
	}
}

// signalText describes a signal that holds a backfill back.
func signalText(s database.Signal) string {
	switch {
	case s.Err != nil:
		return fmt.Sprintf("%s can't be measured: %s", s.Name, oneLine(s.Err.Error()))
	case s.Text != "":
		return oneLine(s.Text)
	}
	return s.Name
}

// backfillRetrying says that rows failed and are tried again. p.mu is held.
func (p *Printer) backfillRetrying(e whimbrel.BackfillRetrying) {
	if p.silent() {
		return
	}
	pg := p.page(p.opts.Err)
	rows := "rows"
	if e.First != nil && e.Last != nil {
		rows = "the rows " + keyText(e.First) + " to " + keyText(e.Last)
		if slices.Equal(e.First, e.Last) {
			rows = "the row " + keyText(e.First)
		}
	}
	pg.hanging(fmt.Sprintf("fill %s  %s failed, attempt %d in %s: %s", p.digits.Name(e.Version, e.Name), rows, e.Attempt, span(e.Pause), oneLine(e.Err.Error())), len("fill "))
	p.put(p.opts.Err, pg.String())
}

// showFilling shows a backfill: on a terminal as a bar, in a pipe as a line every 30 seconds.
func (p *Printer) showFilling(f *filling) {
	words := f.line(p.digits)
	if p.live.now.what == "" {
		p.live.announce(words, f.does(p.digits)+" …")
	}
	p.live.update(words)
	p.live.block = p.fillBlock
}

// does says what the process does with the backfill.
func (f *filling) does(d Digits) string {
	if f.waits {
		return "waiting for the backfill " + d.Name(f.Version, f.Name)
	}
	return "fill " + d.Name(f.Version, f.Name)
}

// line describes a backfill in one line.
func (f *filling) line(d Digits) string {
	words := f.does(d) + ": " + f.Progress()
	stalled := f.stalled(time.Now())
	switch speed := f.speedWords(); {
	case len(f.held) > 0:
		words += "; held back: " + strings.Join(f.held, "; ")
	case stalled != "":
		words += "; " + stalled
	case speed != "":
		words += ", " + speed
	}
	return words
}

// fillBlock returns the lines of the live block of a backfill.
func (p *Printer) fillBlock(width int, now time.Time) []string {
	f := p.progress.filling
	if f == nil {
		return nil
	}
	pg := &page{palette: palette{on: p.opts.Err.Color}, digits: p.digits, width: width}
	name := f.does(p.digits) + "  "
	numbers, stalled := f.numbers(), f.stalled(now)
	if stalled != "" || len(f.held) > 0 {
		numbers = f.done()
	}
	const (
		others = len("⠙   999.9s") // on the first line
		widest = 30
	)
	room := widest
	if width > 0 {
		room = min(room, width-textWidth(name+numbers)-others)
	}
	switch {
	case f.Percent == nil:
		pg.raw(name + numbers)
	case room >= 10:
		pg.raw(name + bar(*f.Percent, room) + "  " + numbers)
	default: // the name is too long
		pg.raw(strings.TrimRight(name, " "))
		pg.raw("    " + bar(*f.Percent, max(min(widest, width-textWidth(numbers)-6), 1)) + "  " + numbers)
	}
	if stalled != "" {
		pg.hanging("    "+pg.warn(stalled), 6)
	}
	for _, held := range f.held {
		pg.hanging("    "+pg.warn("held back: ")+held, 6)
	}
	return slices.Collect(strings.Lines(pg.String()))
}

// numbers are the percentage, the speed and the time left, as far as they are known.
func (f *filling) numbers() string {
	var all []string
	for _, part := range []string{f.done(), suffixed(f.rate(), " rows/s"), suffixed(f.left(), " left")} {
		if part != "" {
			all = append(all, part)
		}
	}
	return strings.Join(all, "  ")
}

func suffixed(text, suffix string) string {
	if text == "" {
		return ""
	}
	return text + suffix
}

// bar draws a percentage as a bar of a width.
func bar(percent float64, width int) string {
	n := min(int(percent/100*float64(width)+0.5), width)
	return strings.Repeat("█", n) + strings.Repeat("░", width-n)
}

// isFilling reports whether a step starts or continues a backfill.
func isFilling(d database.Direction) bool { return d == database.Start || d == database.Finish }

// filled says how many rows a backfill changed, at the end of its step.
func (p *Printer) filled(s whimbrel.Step) string {
	f := p.progress.filling
	p.progress.filling = nil
	if f == nil || f.Version != s.Version {
		return ""
	}
	return ", " + rowsOf(f.RowsDone)
}
