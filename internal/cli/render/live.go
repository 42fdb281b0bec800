package render

import (
	"fmt"
	"io"
	"time"

	"github.com/charmbracelet/x/ansi"
)

// liveEvery is the interval at which the live line is drawn. It is not drawn for shorter work, so
// that fast migrations don't flicker.
const liveEvery = 100 * time.Millisecond

var spinner = []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")

// live is the last line on a terminal. It shows the work in progress and its duration. The
// printer's mu guards it.
type live struct {
	p       *Printer
	what    string // "" if nothing is in progress
	since   time.Time
	drawn   bool
	frame   int
	stop    chan struct{} // nil: not ticking
	stopped chan struct{}
}

func (l *live) init(p *Printer) { l.p = p }

func (l *live) on() bool {
	return l.p.opts.Err.Terminal && !l.p.opts.JSON && !l.p.opts.Quiet
}

// show starts to show the work in progress.
func (l *live) show(what string) {
	l.since = time.Now()
	l.update(what)
}

// update changes the text and keeps the start time.
func (l *live) update(what string) {
	l.what = what
	if l.on() && l.stop == nil {
		l.stop, l.stopped = make(chan struct{}), make(chan struct{})
		go l.tick(l.stop, l.stopped)
	}
}

// hide removes the line, because nothing is in progress.
func (l *live) hide() {
	l.clear()
	l.what = ""
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
			l.draw()
			l.p.mu.Unlock()
		}
	}
}

func (l *live) draw() {
	if l.what == "" {
		return
	}
	pg := l.p.page(l.p.opts.Err)
	if pg.width > 0 {
		pg.width-- // a line that fills the last column may wrap
	}
	l.frame++
	elapsed := fmt.Sprintf("%.1fs", time.Since(l.since).Seconds())
	text := fmt.Sprintf("%c %s  ", spinner[l.frame%len(spinner)], clean(l.what))
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
	l.hide()
	stop, stopped := l.stop, l.stopped
	l.stop = nil
	l.p.mu.Unlock()
	if stop != nil {
		close(stop)
		<-stopped
	}
}
