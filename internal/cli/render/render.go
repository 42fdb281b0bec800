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

	"github.com/whimbrel-db/whimbrel/migration"
)

// Stream is an output, and what is known of it.
type Stream struct {
	io.Writer
	// Terminal says that a line can be drawn again, Color that colours are wanted.
	Terminal, Color bool
	// Width is the number of columns, asked for each time: 0 means unbounded.
	Width func() int
}

// Options of a Printer.
type Options struct {
	Out, Err Stream
	// JSON shows documents and failures as JSON on Out, and nothing else.
	JSON bool
	// Quiet shows failures only. With JSON it has no effect.
	Quiet bool
}

// Document is what a command answers.
type Document interface {
	// write writes the document as text.
	write(p *page)
}

// Printer shows what a command does and answers. It may be used by several
// goroutines.
type Printer struct {
	opts   Options
	digits Digits

	mu       sync.Mutex // of all that follows, and of the streams
	writeErr error
	progress progress
	live     live
}

// New returns a printer. Close ends it.
func New(opts Options) *Printer {
	p := &Printer{opts: opts}
	p.live.init(p)
	return p
}

// JSON reports whether the answer is a JSON document.
func (p *Printer) JSON() bool { return p.opts.JSON }

// Close ends the live line and returns the first error of writing to a stream. A
// reader that has gone away is none.
func (p *Printer) Close() error {
	p.live.end()
	p.mu.Lock()
	defer p.mu.Unlock()
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
	p.put(p.opts.Out, page.String())
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
	p.put(p.opts.Out, b.String())
}

// put writes text to a stream, above the live line. mu is held.
func (p *Printer) put(s Stream, text string) {
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
