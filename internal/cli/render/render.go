// Package render prints the progress and the answer of a command: as plain lines in a pipe, with
// colours and a live line on a terminal, or as one JSON document.
//
// The answer of a command is a [Document], which is encoded as JSON or written as text. Progress
// arrives as the engine's events, in [Printer.Observe].
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
	"github.com/whimbrel-db/whimbrel/source"
)

// Stream is an output and its properties.
type Stream struct {
	io.Writer
	// Terminal reports that lines can be redrawn, Color that colours are used.
	Terminal, Color bool
	// Width and Height return the present size in columns and lines. 0 means unbounded or unknown.
	Width, Height func() int
}

// Options are the options of a Printer.
type Options struct {
	Out, Err Stream
	// JSON prints one document or failure as JSON to Out, and nothing else.
	JSON bool
	// Quiet prints failures only. It has no effect with JSON.
	Quiet bool
	// Page shows a text that is longer than the terminal in a pager, at the end. It returns false
	// if it failed. If Page is nil, long texts are written like others.
	Page func(text string) bool
}

// Document is the answer of a command.
type Document interface {
	// write writes the document as text.
	write(p *page)
}

// pageable is a document that is shown in a pager if it is longer than the screen.
type pageable interface{ pageable() }

// Printer prints the progress and the answer of a command. Several goroutines may use it.
type Printer struct {
	opts   Options
	digits Digits
	aim    aim

	mu       sync.Mutex // guards the fields below and the streams
	answered bool       // with JSON: the document was printed
	writeErr error
	progress progress
	live     live
	header   header
	long     string // shown in the pager at the end
}

// New returns a printer. The caller must close it.
func New(opts Options) *Printer {
	p := &Printer{opts: opts}
	p.live.init(p)
	return p
}

// Close removes the live line, shows long texts in the pager, and returns the first error of
// writing to a stream. A closed pipe is not an error.
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

// Show prints a document.
func (p *Printer) Show(d Document) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live.rest()
	p.begun()
	if o, ok := d.(*Overview); ok {
		o.Next = p.aim.at(o.Next)
	}
	if r, ok := d.(*Result); ok {
		p.addWaits(r)
	}
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

// exact is a document that may be data for another program. In a pipe or a file it is written
// unchanged.
type exact interface{ exact() bool }

// overflows reports whether a text and a line for the prompt don't fit the screen of a terminal.
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

// encode writes JSON to Out. p.mu is held.
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

// put writes text to a stream, above the live line. p.mu is held.
func (p *Printer) put(s Stream, text string) { p.write(s, printable(text)) }

// write is like put, but does not escape control characters.
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

// page collects text for a stream.
type page struct {
	strings.Builder
	palette
	width  int // 0: unbounded
	digits Digits
	aim    aim
}

func (p *Printer) page(s Stream) *page {
	pg := &page{palette: palette{on: s.Color}, digits: p.digits, aim: p.aim}
	if s.Terminal && s.Width != nil {
		pg.width = s.Width()
	}
	return pg
}

// note writes a line to stderr. p.mu is held.
func (p *Printer) note(text string) {
	pg := p.page(p.opts.Err)
	pg.line(text)
	p.put(p.opts.Err, pg.String())
}

// line writes a line that consists of the parts. If it is too wide for the page, it continues on
// lines that are indented a little more, if it is indented.
func (pg *page) line(parts ...string) {
	for line := range strings.SplitSeq(strings.Join(parts, ""), "\n") {
		indent := len(line) - len(strings.TrimLeft(line, " "))
		if indent > 0 {
			indent += 2
		}
		pg.hanging(line, indent)
	}
}

// raw writes a line as it is: SQL, a command to copy, or a line that fits the page.
func (pg *page) raw(parts ...string) {
	for _, s := range parts {
		pg.WriteString(s)
	}
	pg.WriteByte('\n')
}

// Digits is how versions are written: the number of digits to which they are padded with zeros, or
// Dotted.
type Digits int

// Dotted writes versions as Flyway does, such as 1.2.
const Dotted Digits = -1

// DigitsOf returns how the file names of a set write versions.
func DigitsOf(set *migration.Set) Digits {
	if source.IsDotted(set) {
		return Dotted
	}
	return Digits(set.Digits())
}

// SetDigits writes versions like the file names of a set.
func (p *Printer) SetDigits(set *migration.Set) { p.SetDigitsOf(DigitsOf(set)) }

// SetDigitsOf writes versions with a number of digits, if it is not 0.
func (p *Printer) SetDigitsOf(digits Digits) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if digits != 0 {
		p.digits = digits
	}
}

// Digits returns the number of digits to which versions are padded.
func (p *Printer) Digits() Digits {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.digits
}

func (*History) pageable()  {}
func (*Status) pageable()   {}
func (*Plan) pageable()     {}
func (*Snapshot) pageable() {}
func (*Drift) pageable()    {}
func (*Proved) pageable()   {}
