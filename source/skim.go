package source

import (
	"bytes"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// A skim reads a file once, in pieces of any size, and collects what the formats need: the sections
// that marker lines begin, whether a section has a statement, and directives in comments.
//
// It reads quotes, dollar quotes and line comments as PostgreSQL does, which is close enough to all
// dialects here. Block comments nest only in PostgreSQL, so for these it needs the dialect; see
// newLexer.
type skim struct {
	formats func(Format) bool // whose marker lines are heeded
	dialect sqltext.Dialect   // 0: not known

	parts     []part        // parts[0] is what stands before the first section
	marks     []mark        // the lines that are markers of a tool, sections and others
	misspelt  []misspelling // lines that are nearly markers of a tool
	tooMany   int           // the line of the first marker that is not kept; 0: all are
	firstLine string        // at most lineLimit bytes of it
	bom       bool

	begun  bool
	head   []byte // the first bytes, until it is known whether they are a byte-order mark
	offset int64  // of the next byte, without the byte-order mark
	inkEnd int64  // behind the last line's last byte that is not white space

	// The line at hand, which may come in several pieces.
	line      int
	lineStart int64
	before    int    // its characters before the present piece
	ink       int64  // inkEnd, had the line ended here
	lineText  []byte // at most lineLimit bytes, of lines that may be markers
	isText    bool   // it has ink, and does not begin with "--"

	lex   lexer
	plain *lexer // reads on from where it began to matter whether comments nest; nil: it has not, or the dialect tells

	forkedAt int // where in the present piece plain began; -1: in an earlier one
}

// part is the text between two marker lines that begin sections.
type part struct {
	mark       mark  // the line that opens it; the zero mark for parts[0]
	start, end int64 // without the marker lines; end is behind the last ink
	line       int   // of start

	reading
}

// reading is what a lexer has found in a part.
type reading struct {
	statement  place // the first
	braces     place // the first "{{" that is not in a literal or a comment
	directives []directive
	misspelt   []misspelling
}

func (r *reading) empty() bool { return r.statement.line == 0 }

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

// maxKept is how many markers of a file, and how many directives of a part of it, are kept.
const maxKept = 100_000

// lineLimit is how much of a line is kept to see whether it is a marker.
const lineLimit = 512

func newSkim(formats func(Format) bool, d sqltext.Dialect) *skim {
	s := &skim{formats: formats, dialect: d, line: 1, parts: []part{{line: 1}}}
	s.lex = s.newLexer()
	return s
}

// newLexer begins a part. If the dialect is unknown, comments nest, and skim.plain reads the part
// as if they did not.
func (s *skim) newLexer() lexer {
	return lexer{nests: s.dialect == sqltext.PostgreSQL || s.dialect == 0}
}

// fork begins the other reading of a part, after a "/*" within a block comment that ends at byte i
// of the current piece.
func (s *skim) fork(i int) {
	if s.dialect != 0 || s.plain != nil {
		return
	}
	other := s.lex
	other.nests, other.sign, s.forkedAt = false, '*', i
	other.tag, other.text = bytes.Clone(other.tag), bytes.Clone(other.text)
	other.directives = slices.Clone(other.directives)
	s.plain = &other
}

// endPart stores the findings of the current part. If its dialect is unknown, comments nest unless
// one of them would then not be closed.
func (s *skim) endPart() {
	read := &s.lex
	if s.plain != nil && read.in == inBlock {
		read = s.plain
	}
	s.part().reading = read.reading
	s.plain = nil
}

func (s *skim) part() *part { return &s.parts[len(s.parts)-1] }

const byteOrderMark = "\ufeff"

// Write takes the next piece.
func (s *skim) Write(p []byte) (int, error) {
	n := len(p)
	if !s.begun {
		if len(s.head) > 0 || n < len(byteOrderMark) {
			p = append(s.head, p...)
		}
		s.head = p
		if len(p) < len(byteOrderMark) {
			return n, nil
		}
		p = s.begin()
	}
	s.write(p)
	return n, nil
}

// begin removes the byte-order mark from the first bytes.
func (s *skim) begin() []byte {
	p := bytes.TrimPrefix(s.head, []byte(byteOrderMark))
	s.bom = len(p) < len(s.head)
	s.begun, s.head = true, nil
	return p
}

func (s *skim) write(p []byte) {
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n') + 1
		whole := end > 0
		if !whole {
			end = len(p)
		}
		s.piece(p[:end])
		if whole {
			s.endLine()
			s.line++
			s.lineStart, s.inkEnd = s.offset, s.ink
			s.before, s.lineText, s.isText = 0, s.lineText[:0], false
		}
		p = p[end:]
	}
}

// piece takes a line, or a piece of one.
func (s *skim) piece(p []byte) {
	s.forkedAt = -1
	s.lex.run(s, p, 0)
	if s.plain != nil {
		s.plain.run(s, p, s.forkedAt+1)
	}
	if room := lineLimit - len(s.lineText); room > 0 && (!s.isText || s.line == 1) {
		s.lineText = append(s.lineText, p[:min(room, len(p))]...)
		if ink := bytes.TrimLeft(s.lineText, blanks); len(ink) > 0 {
			s.isText = ink[0] != '-' || len(ink) > 1 && ink[1] != '-'
		}
	}
	if ink := bytes.TrimRight(p, blanks); len(ink) > 0 {
		s.ink = s.offset + int64(len(ink))
	}
	s.offset += int64(len(p))
	if p[len(p)-1] != '\n' {
		s.before += runes(p) // the line goes on
	}
}

const blanks = " \t\r\n\v\f"

// place returns where p[i] is; p is the present piece.
func (s *skim) place(p []byte, i int) place {
	return place{s.line, s.before + runes(p[:i]) + 1}
}

// blankBefore reports whether only white space precedes p[i] on its line.
func (s *skim) blankBefore(p []byte, i int) bool {
	return s.ink <= s.lineStart && len(bytes.TrimLeft(p[:i], blanks)) == 0
}

// runes counts the characters that begin in p.
func runes(p []byte) int {
	n := 0
	for _, c := range p {
		if c&0xc0 != 0x80 {
			n++
		}
	}
	return n
}

// endLine checks whether the line that has ended is a marker.
func (s *skim) endLine() {
	if s.line == 1 {
		s.firstLine = strings.TrimRight(string(s.lineText), "\r\n")
	}
	if s.isText || len(s.lineText) == 0 {
		return
	}
	m, ok := markOf(string(s.lineText))
	if !ok {
		s.noteMisspelt(s.lineText)
		return
	}
	if !s.formats(m.tool) {
		return
	}
	if len(s.marks) >= maxKept {
		s.tooMany = s.line
		return
	}
	m.line, m.part = s.line, len(s.parts)-1
	m.column = 1 + bytes.IndexByte(s.lineText, '-')
	if m.section() {
		m.part++
		s.endPart()
		before := s.part()
		before.end = max(before.start, s.inkEnd)
		s.parts = append(s.parts, part{mark: m, start: s.offset, line: s.line + 1})
		s.lex = s.newLexer()
	}
	s.marks = append(s.marks, m)
}

// finish is called after the last piece.
func (s *skim) finish() {
	if !s.begun {
		s.write(s.begin())
	}
	s.lex.finish()
	if s.plain != nil {
		s.plain.finish()
	}
	if s.offset > s.lineStart {
		s.endLine()
	}
	s.endPart()
	last := s.part()
	last.end = max(last.start, s.ink)
}

// comment stores a comment that is a directive of Whimbrel.
func (r *reading) comment(text []byte, at place) {
	const word = "whimbrel"
	text = bytes.TrimSpace(text)
	if len(text) < len(word) || !bytes.EqualFold(text[:len(word)], []byte(word)) {
		r.noteMisspelt(text, at)
		return
	}
	rest, ok := bytes.CutPrefix(bytes.TrimSpace(text[len(word):]), []byte(":"))
	if !ok {
		r.noteMisspelt(text, at)
		return
	}
	if len(r.directives) < maxKept {
		r.directives = append(r.directives, directive{place: at, text: string(bytes.TrimSpace(rest)), body: !r.empty()})
	}
}

// markOf returns the marker of another tool that a comment line is.
func markOf(line string) (mark, bool) {
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "--") {
		return mark{}, false
	}
	if strings.HasPrefix(line, "----") {
		return ternMark(line)
	}
	text := strings.TrimSpace(strings.TrimPrefix(line, "--"))
	if m, ok := gooseMark(text); ok {
		return m, true
	}
	return dbmateMark(text)
}
