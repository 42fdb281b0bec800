// Package render shows what a command does and answers: as plain lines in a pipe,
// with colours and a live line on a terminal, or as one JSON document.
//
// A command's answer is a [Document]: JSON encodes it, text writes it. What happens
// on the way comes as the engine's events, to [Printer.Observe].
package render

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"syscall"

	"github.com/charmbracelet/x/ansi"

	"github.com/whimbrel-db/whimbrel/migration"
)

// Stream is an output, and what is known of it.
type Stream struct {
	io.Writer
	// Terminal says that a line can be drawn again, Color that colours are wanted.
	Terminal, Color bool
	// Width is the number of columns, asked for each time: 0 means unbounded. Height is
	// that of lines: 0 means that nobody knows.
	Width, Height func() int
}

// Options of a Printer.
type Options struct {
	Out, Err Stream
	// JSON shows documents and failures as JSON on Out, and nothing else.
	JSON bool
	// Quiet shows failures only. With JSON it has no effect.
	Quiet bool
	// Page shows a text that is longer than the terminal, once everything else is done; false
	// means that it could not. Nil: long texts are written as any.
	Page func(text string) bool
}

// Document is what a command answers.
type Document interface {
	// write writes the document as text.
	write(p *page)
}

// pageable is a document that is read rather than glanced at: where it is longer than the
// screen it is shown page by page.
type pageable interface{ pageable() }

// Printer shows what a command does and answers. It may be used by several
// goroutines.
type Printer struct {
	opts   Options
	digits Digits

	mu       sync.Mutex // of all that follows, and of the streams
	answered bool       // with JSON: of which there is one document
	writeErr error
	progress progress
	live     live
	long     string // is shown page by page, at the end
}

// New returns a printer. Close ends it.
func New(opts Options) *Printer {
	p := &Printer{opts: opts}
	p.live.init(p)
	return p
}

// JSON reports whether the answer is a JSON document.
func (p *Printer) JSON() bool { return p.opts.JSON }

// Close ends the live line, shows what is long page by page, and returns the first error of writing to a stream. A
// reader that has gone away is none.
func (p *Printer) Close() error {
	p.live.end()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.long != "" && !p.opts.Page(printable(p.long)) {
		p.put(p.opts.Out, p.long)
	}
	p.long = ""
	return p.writeErr
}

// Show answers with a document.
func (p *Printer) Show(d Document) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.opts.JSON {
		p.encode(d)
		return
	}
	if p.opts.Quiet {
		return
	}
	page := p.page(p.opts.Out)
	d.write(page)
	if _, ok := d.(pageable); ok && p.opts.Page != nil && p.opts.Out.overflows(page.String()) {
		p.long += page.String()
		return
	}
	if e, ok := d.(exact); ok && e.exact() && !p.opts.Out.Terminal {
		p.write(p.opts.Out, page.String())
		return
	}
	p.put(p.opts.Out, page.String())
}

// exact is a document that may be data for another program: in a pipe or a file it is written as it is.
type exact interface{ exact() bool }

// overflows reports whether a text does not fit a terminal's screen, with a line for the
// prompt that comes after it.
func (s Stream) overflows(text string) bool {
	if !s.Terminal || s.Height == nil {
		return false
	}
	height, width := s.Height(), 0
	if s.Width != nil {
		width = s.Width()
	}
	lines := 1
	for line := range strings.Lines(text) {
		lines++
		if n := ansi.StringWidth(line); width > 0 && n > width {
			lines += (n - 1) / width
		}
	}
	return height > 0 && lines > height
}

// encode writes JSON to Out. mu is held.
func (p *Printer) encode(v any) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		p.failed(err)
		return
	}
	if !p.answered {
		p.write(p.opts.Out, escaped(b.String()))
	}
	p.answered = true
}

// put writes text to a stream, above the live line. mu is held.
func (p *Printer) put(s Stream, text string) { p.write(s, printable(text)) }

// write is put for a text that is fit to be shown, or must not be changed.
func (p *Printer) write(s Stream, text string) {
	if text == "" {
		return
	}
	p.live.clear()
	if _, err := io.WriteString(s, text); err != nil {
		p.failed(err)
	}
}

func (p *Printer) failed(err error) {
	if p.writeErr == nil && !errors.Is(err, syscall.EPIPE) {
		p.writeErr = err
	}
}

// page is text in the making, for one stream.
type page struct {
	strings.Builder
	palette
	width  int // 0: unbounded
	digits Digits
}

func (p *Printer) page(s Stream) *page {
	pg := &page{palette: palette{on: s.Color}, digits: p.digits}
	if s.Terminal && s.Width != nil {
		pg.width = s.Width()
	}
	return pg
}

// line writes the parts one after the other, and ends the line.
func (pg *page) line(parts ...string) {
	for _, s := range parts {
		pg.WriteString(s)
	}
	pg.WriteByte('\n')
}

// Digits is the number of digits to which versions are filled up with zeros.
type Digits int

// SetDigits makes versions look as in the names of a set's files.
func (p *Printer) SetDigits(set *migration.Set) {
	for _, m := range set.All() {
		name := m.Up.File[strings.LastIndexByte(m.Up.File, '/')+1:]
		n := len(name) - len(strings.TrimLeft(name, "0123456789"))
		if n > 1 && name[0] == '0' {
			p.digits = Digits(n)
			return
		}
	}
}

func (*History) pageable()  {}
func (*Status) pageable()   {}
func (*Plan) pageable()     {}
func (*Snapshot) pageable() {}
func (*Drift) pageable()    {}
func (*Proved) pageable()   {}
