package source

import (
	"bytes"
	"strings"
)

// A skim goes once over a file, in whatever pieces it is written to it, and keeps
// what the formats need to know: where the sections are that marker lines open,
// whether a section has a statement at all, and its comments that are directives.
//
// It knows no dialect. It follows quotes, dollar quotes and comments as PostgreSQL
// has them, which is near enough to all dialects for what it is used for.
type skim struct {
	formats func(Format) bool // whose marker lines are heeded

	parts     []part // parts[0] is what stands before the first section
	marks     []mark // the lines that are markers of a tool, sections and others
	firstLine string // at most lineLimit bytes of it
	bom       bool

	// The place of the next byte; offset counts without the byte-order mark.
	line, column int
	offset       int64
	begun        bool
	head         []byte // the first bytes, until it is known whether they are a byte-order mark
	inkEnd       int64  // behind the last byte that is not white space

	// The line at hand.
	lineStart     int64
	lineInk       int64 // inkEnd as it was at lineStart
	lineText      []byte
	lineIsComment bool // nothing but white space so far, then "-"
	lineBlank     bool

	lex lexer
}

// part is a stretch of a file between two marker lines that open sections.
type part struct {
	mark       mark  // the line that opens it; the zero mark for parts[0]
	start, end int64 // without the marker lines; end is behind the last ink
	line       int   // of start

	statement  place // the first
	braces     place // the first "{{" that is not in a literal or a comment
	directives []directive
}

func (p *part) empty() bool { return p.statement.line == 0 }

type place struct{ line, column int }

// directive is a comment that begins with "whimbrel:".
type directive struct {
	place
	text string // behind the colon
	body bool   // it stands behind a statement
}

// mark is a line that another tool reads.
type mark struct {
	place
	tool Format
	word string // "up", "down", or another word in lower case; see markOf
	args string // what follows
	part int    // the part that it stands in, or opens
}

// section reports whether the mark opens a section.
func (m mark) section() bool { return m.word == wordUp || m.word == wordDown }

// The words that open sections.
const (
	wordUp   = "up"
	wordDown = "down"
)

// lineLimit is how much of a line is kept to see whether it is a marker.
const lineLimit = 512

func newSkim(formats func(Format) bool) *skim {
	return &skim{formats: formats, line: 1, column: 1, parts: []part{{line: 1}}, lineBlank: true}
}

func (s *skim) part() *part { return &s.parts[len(s.parts)-1] }

const byteOrderMark = "\ufeff"

// Write takes the next piece.
func (s *skim) Write(p []byte) (int, error) {
	n := len(p)
	if !s.begun {
		s.head = append(s.head, p...)
		if len(s.head) < len(byteOrderMark) {
			return n, nil
		}
		p = s.begin()
	}
	for _, c := range p {
		s.step(c)
	}
	return n, nil
}

// begin takes the byte-order mark off the first bytes.
func (s *skim) begin() []byte {
	p := bytes.TrimPrefix(s.head, []byte(byteOrderMark))
	s.bom = len(p) < len(s.head)
	s.begun, s.head = true, nil
	return p
}

func (s *skim) step(c byte) {
	s.lex.step(s, c)
	switch c {
	case '\n':
		s.offset++
		s.endLine()
		s.line++
		s.column = 1
		s.lineStart, s.lineInk = s.offset, s.inkEnd
		s.lineText, s.lineIsComment, s.lineBlank = s.lineText[:0], false, true
		return
	case ' ', '\t', '\r', '\v', '\f':
	default:
		s.inkEnd = s.offset + 1
		if s.lineBlank {
			s.lineBlank, s.lineIsComment = false, c == '-'
		}
	}
	if (s.lineIsComment || s.line == 1) && len(s.lineText) < lineLimit {
		s.lineText = append(s.lineText, c)
	}
	s.offset++
	if c&0xc0 != 0x80 {
		s.column++
	}
}

// endLine sees whether the line just ended is a marker.
func (s *skim) endLine() {
	if s.line == 1 {
		s.firstLine = strings.TrimSuffix(string(s.lineText), "\r")
	}
	if !s.lineIsComment {
		return
	}
	m, ok := markOf(string(s.lineText))
	if !ok || !s.formats(m.tool) {
		return
	}
	m.line, m.column, m.part = s.line, 1, len(s.parts)-1
	if m.section() {
		m.part++
		before := s.part()
		before.end = max(before.start, s.lineInk)
		s.parts = append(s.parts, part{mark: m, start: s.offset, line: s.line + 1})
		s.lex = lexer{}
	}
	s.marks = append(s.marks, m)
}

// finish is called after the last piece.
func (s *skim) finish() {
	if !s.begun {
		for _, c := range s.begin() {
			s.step(c)
		}
	}
	s.lex.finish(s)
	if s.offset > s.lineStart {
		s.endLine()
	}
	last := s.part()
	last.end = max(last.start, s.inkEnd)
}

// comment keeps a comment of the SQL text if it is meant for Whimbrel.
func (s *skim) comment(text string, at place) {
	const word = "whimbrel"
	text = strings.TrimSpace(text)
	if len(text) < len(word) || !strings.EqualFold(text[:len(word)], word) {
		return
	}
	rest, ok := strings.CutPrefix(strings.TrimSpace(text[len(word):]), ":")
	if !ok {
		return
	}
	p := s.part()
	p.directives = append(p.directives, directive{place: at, text: strings.TrimSpace(rest), body: !p.empty()})
}

// markOf tells which tool a comment line is a marker of.
func markOf(line string) (mark, bool) {
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "----") {
		return ternMark(line)
	}
	text := strings.TrimSpace(strings.TrimPrefix(line, "--"))
	if m, ok := gooseMark(text); ok {
		return m, true
	}
	return dbmateMark(text)
}
