package render

import (
	"fmt"
	"io"
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
	drawn     bool
	frame     int
	stop      chan struct{} // nil: not ticking
	stopped   chan struct{}
}

func (l *live) init(p *Printer) { l.p = p }

// on reports whether there is a live line.
func (l *live) on() bool { return l.p.opts.Err.Terminal && !l.p.silent() }

// show starts to show the work in progress.
func (l *live) show(what string) {
	now := time.Now()
	l.now = task{what: what, since: now, reported: now}
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
	l.now = task{}
}

// rest removes the line, because the command does nothing any more or asks a question.
func (l *live) rest() {
	l.hide()
	l.base = task{}
}

// clear removes the line from the screen until it is drawn again.
func (l *live) clear() {
	if l.drawn {
		l.write("\r" + ansi.EraseEntireLine)
		l.drawn = false
	}
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
	text := fmt.Sprintf("%c %s  ", spinner[l.frame%len(spinner)], clean(work.what))
	if room := pg.width - len(elapsed); pg.width > 0 && room > 0 {
		text = ansi.Truncate(text, room, "… ")
	}
	l.write("\r" + ansi.EraseEntireLine + printable(text+pg.faint(elapsed)))
	l.drawn = true
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
