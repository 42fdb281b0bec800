package render

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
)

const (
	// liveEvery is the interval at which the live line is drawn. It is not drawn for shorter work,
	// so that fast migrations don't flicker.
	liveEvery = 100 * time.Millisecond
	// idleAfter is how long a command is silent on a terminal before it says what it does between
	// migrations.
	idleAfter = 500 * time.Millisecond
	// startAfter is how long a migration runs before a pipe gets a line about its start. Without it,
	// each of a thousand fast migrations would have two lines.
	startAfter = time.Second
	// remindEvery is the interval of the lines that a pipe gets about work in progress.
	remindEvery = 30 * time.Second
)

var spinner = []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")

// task is work in progress.
type task struct {
	what  string // "" for none
	since time.Time
	// In a pipe: the line that announces it, "" if none is due, and when it was last reported.
	start    string
	reported time.Time
}

// live shows the work in progress and its duration: on a terminal as the last line, in a pipe as a
// line every 30 seconds. The printer's mu guards it.
type live struct {
	p *Printer
	// now is the migration that runs or the lock that is waited for. base is what the command does
	// otherwise, such as connecting.
	now, base task
	// block returns the lines to show in place of the line of now; nil, or no lines, for that line.
	block   func(width int, now time.Time) []string
	lines   []string // on the screen
	without string   // the text of now when the block ends by itself
	frame   int
	stop    chan struct{} // nil: not ticking
	stopped chan struct{}
}

func (l *live) init(p *Printer) { l.p = p }

// on reports whether there is a live line.
func (l *live) on() bool { return l.p.opts.Err.Terminal && !l.p.silent() }

// show starts to show the work in progress.
func (l *live) show(what string) {
	now := time.Now()
	l.now, l.block = task{what: what, since: now, reported: now}, nil
	l.run()
}

// announce is like show, with a line for a pipe if the work takes longer than a moment.
func (l *live) announce(what, start string) {
	l.show(what)
	l.now.start = start
}

// update changes the text and keeps the start time.
func (l *live) update(what string) {
	if l.now.what == "" {
		l.show(what)
		return
	}
	l.now.what = what
}

// working sets what the command does when nothing else is in progress.
func (l *live) working(what string) {
	now := time.Now()
	if l.base.what == "" {
		l.base.since = now
	}
	l.base.what, l.base.reported = what, now
	l.run()
}

// run starts to report progress, unless that is done already or nothing is shown.
func (l *live) run() {
	if l.stop == nil && !l.p.silent() {
		l.stop, l.stopped = make(chan struct{}), make(chan struct{})
		go l.tick(l.stop, l.stopped)
	}
}

// hide removes the line of the migration in progress.
func (l *live) hide() {
	l.clear()
	l.now, l.block = task{}, nil
}

// rest removes the line, because the command does nothing any more or asks a question.
func (l *live) rest() {
	l.hide()
	l.base = task{}
}

// clear removes the line from the screen until it is drawn again.
func (l *live) clear() {
	switch {
	case len(l.lines) == 1:
		l.write("\r" + ansi.EraseEntireLine)
	case len(l.lines) > 1:
		l.write(l.home() + ansi.EraseScreenBelow)
	}
	l.lines = nil
}

func (l *live) tick(stop, stopped chan struct{}) {
	defer close(stopped)
	t := time.NewTicker(liveEvery)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
			l.p.mu.Lock()
			l.beat(time.Now())
			l.p.mu.Unlock()
		}
	}
}

// beat shows the progress at a time.
func (l *live) beat(now time.Time) {
	if l.block != nil && len(l.block(0, now)) == 0 {
		l.block, l.now.what = nil, l.without
	}
	work := &l.now
	if work.what == "" {
		work = &l.base
	}
	switch {
	case work.what == "":
	case !l.on():
		l.remind(work, now)
	case work == &l.now || now.Sub(work.since) >= idleAfter:
		l.draw(work, now)
	}
}

// remind writes a line into a pipe if one is due.
func (l *live) remind(work *task, now time.Time) {
	elapsed := now.Sub(work.since)
	if work.start != "" && elapsed >= startAfter {
		l.p.put(l.p.opts.Err, work.start+"\n")
		work.start = ""
	}
	if now.Sub(work.reported) >= remindEvery {
		work.reported = now
		l.p.put(l.p.opts.Err, fmt.Sprintf("%s  (%s)\n", clean(work.what), elapsed.Round(time.Second)))
	}
}

func (l *live) draw(work *task, now time.Time) {
	pg := l.p.page(l.p.opts.Err)
	if pg.width > 0 {
		pg.width-- // a line that fills the last column may wrap
	}
	l.frame++
	elapsed := fmt.Sprintf("%.1fs", now.Sub(work.since).Seconds())
	what, below := clean(work.what), []string(nil)
	if block := l.blockLines(work, pg.width, now); len(block) > 0 {
		what, below = block[0], block[1:]
	}
	text := fmt.Sprintf("%c %s  ", spinner[l.frame%len(spinner)], what)
	if room := pg.width - len(elapsed); pg.width > 0 && room > 0 {
		text = ansi.Truncate(text, room, "… ")
	}
	l.put(append([]string{printable(text + pg.faint(elapsed))}, below...))
}

// blockLines returns the lines of the block, as far as they fit the screen.
func (l *live) blockLines(work *task, width int, now time.Time) []string {
	if l.block == nil || work != &l.now {
		return nil
	}
	lines := l.block(width, now)
	for i, line := range lines {
		line = strings.TrimSuffix(line, "\n")
		if width > 0 {
			line = ansi.Truncate(line, width, "…")
		}
		if lines[i] = line; i > 0 {
			lines[i] = printable(line)
		}
	}
	most := maxBlock
	if height := l.p.opts.Err.Height; height != nil && height() > 0 {
		most = min(most, height()-1)
	}
	return lines[:min(len(lines), max(most, 1))]
}

// maxBlock is the maximum number of lines of a block.
const maxBlock = 24

// put draws lines over those that are on the screen. Each is overwritten before the rest of it is
// erased, so that what does not change does not flicker.
func (l *live) put(lines []string) {
	if len(lines) == 1 && len(l.lines) <= 1 {
		l.write("\r" + ansi.EraseEntireLine + lines[0])
	} else {
		var b strings.Builder
		b.WriteString(l.home())
		for i, line := range lines {
			if i > 0 {
				b.WriteString("\r\n")
			}
			b.WriteString(line + ansi.EraseLineRight)
		}
		l.write(b.String() + ansi.EraseScreenBelow)
	}
	l.lines = lines
}

// home returns the sequence that moves the cursor from the end of the lines to their beginning. If
// the terminal has become narrower, they take more rows than there are lines.
func (l *live) home() string {
	rows, width := 0, 0
	if w := l.p.opts.Err.Width; w != nil {
		width = w()
	}
	for _, line := range l.lines {
		rows++
		if n := ansi.StringWidth(line); width > 0 && n > width {
			rows += (n - 1) / width
		}
	}
	if rows <= 1 {
		return "\r"
	}
	return "\r" + ansi.CursorUp(rows-1)
}

func (l *live) write(s string) {
	if _, err := io.WriteString(l.p.opts.Err, s); err != nil {
		l.p.failed(err)
	}
}

// end removes the line and stops drawing it. The caller must not hold p.mu.
func (l *live) end() {
	l.p.mu.Lock()
	l.rest()
	stop, stopped := l.stop, l.stopped
	l.stop = nil
	l.p.mu.Unlock()
	if stop != nil {
		close(stop)
		<-stopped
	}
}
