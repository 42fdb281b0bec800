package source

import (
	"bytes"
	"strings"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// A skim reads a file once, in pieces of any size, and collects what the formats need: the sections
// that marker lines begin, whether a section has a statement, and directives in comments. It holds
// one line in memory.
//
// It reads quotes, dollar quotes and line comments as PostgreSQL does, which is close enough to all
// dialects here. Block comments nest only in PostgreSQL, so for these it needs the dialect; see
// newPart.
type skim struct {
	*skimmed
	formats func(Format) bool // whose marker lines are heeded
	dialect sqltext.Dialect   // 0: not known

	rest    []byte // of the text, without its end of line
	indent  int    // the white space at the beginning of the line, in bytes
	counted int    // the bytes of the line that are counted in runes
	runes   int
	line    int       // the number of the present line
	offset  int64     // of the line, without the byte-order mark
	inkEnd  int64     // after the last byte before the line that is not white space
	lexers  []lexer   // of the present part
	unused  []skimmed // for the next files
}

// skimmed is what a skim has found in a file. There is one for each file of a folder.
type skimmed struct {
	parts     []part        // parts[0] is the text before the first section
	marks     []mark        // the lines that are markers of a tool, sections and others
	misspelt  []misspelling // lines that are nearly markers of a tool
	tooMany   int           // the line of the first marker that is not kept; 0: all are
	firstLine string        // if it is a comment, at most lineLimit bytes of it
	bom       bool
	liquibase bool // the first line is that of a changelog of Liquibase

	first [1]part // of most files, the only one
}

// part is the text between two marker lines that begin sections.
type part struct {
	mark       *mark // the line that opens it; nil for parts[0]
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
	body bool   // it follows a statement
}

// mark is a line that another tool reads.
type mark struct {
	place
	tool Format
	word string // "up", "down", or another word in lower case; see markOf
	args string // what follows
	part int    // the part that contains it, or that it opens
}

// section reports whether the mark opens a section.
func (m mark) section() bool {
	return m.word == wordUp || m.word == wordDown || m.tool == Liquibase && m.word == liquibaseChangeset
}

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
	s := &skim{formats: formats, dialect: d}
	s.begin()
	return s
}

// begin prepares the skim for another file. It keeps the memory that no file needs any more.
func (s *skim) begin() {
	if len(s.unused) == 0 {
		s.unused = make([]skimmed, 16)
	}
	*s = skim{skimmed: &s.unused[0], unused: s.unused[1:], formats: s.formats, dialect: s.dialect, rest: s.rest[:0], lexers: s.lexers}
	s.parts = s.first[:0]
	s.newPart(part{line: 1})
}

// newPart begins a part. If the dialect is unknown, two lexers read it: one in which comments nest,
// and one in which they don't.
func (s *skim) newPart(p part) {
	s.parts = append(s.parts, p)
	s.lexers = append(s.lexers[:0], lexer{nests: s.dialect == sqltext.PostgreSQL || s.dialect == 0})
	if s.dialect == 0 {
		s.lexers = append(s.lexers, lexer{})
	}
}

// endPart stores the findings of the current part, which ends after the last ink. If its dialect is
// unknown, comments nest unless one of them would then not end.
func (s *skim) endPart() {
	read := &s.lexers[0]
	if read.in == inBlock {
		read = &s.lexers[len(s.lexers)-1]
	}
	p := &s.parts[len(s.parts)-1]
	p.reading, p.end = read.reading, max(p.start, s.inkEnd)
}

const byteOrderMark = "\ufeff"

// Write takes the next piece.
func (s *skim) Write(p []byte) (int, error) {
	n := len(p)
	for {
		end := bytes.IndexByte(p, '\n') + 1
		switch {
		case end == 0:
			s.rest = append(s.rest, p...)
			return n, nil
		case len(s.rest) == 0:
			s.next(p[:end])
		default:
			s.rest = append(s.rest, p[:end]...)
			s.next(s.rest)
			s.rest = s.rest[:0]
		}
		p = p[end:]
	}
}

// next takes a line, with its end.
func (s *skim) next(p []byte) {
	s.line++
	head := p[:min(len(p), lineLimit)]
	if s.line == 1 {
		p, s.bom = bytes.CutPrefix(p, []byte(byteOrderMark))
		head = p[:min(len(p), lineLimit)]
		if bytes.HasPrefix(bytes.TrimSpace(head), []byte("--")) {
			s.firstLine = strings.TrimRight(string(head), "\r\n")
		}
	}
	from, to := ink(p)
	s.indent, s.counted, s.runes = from, 0, 0
	for i := range s.lexers {
		s.lexers[i].next(s, p)
	}
	if bytes.HasPrefix(head[min(from, len(head)):], []byte("--")) {
		s.marker(head, s.offset+int64(len(p)))
	}
	if to > 0 {
		s.inkEnd = s.offset + int64(to)
	}
	s.offset += int64(len(p))
}

const blanks = " \t\r\n\v\f"

// ink returns where a line begins and ends without blanks; end is 0 if there is nothing else. For
// each line, bytes.Trim would build a table.
func ink(p []byte) (start, end int) {
	blank := func(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }
	for start < len(p) && blank(p[start]) {
		start++
	}
	for end = len(p); end > start && blank(p[end-1]); {
		end--
	}
	if start == len(p) {
		return start, 0
	}
	return start, end
}

// place returns where p[i] is; p is the present line. It counts on from the last place.
func (s *skim) place(p []byte, i int) place {
	if i < s.counted {
		s.counted, s.runes = 0, 0
	}
	s.runes += runes(p[s.counted:i])
	s.counted = i
	return place{s.line, s.runes + 1}
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

// marker checks whether a line is a marker. end is the offset of the next line.
func (s *skim) marker(line []byte, end int64) {
	m, ok := markOf(string(line))
	if s.formats(Liquibase) && (s.liquibase || s.inkEnd == 0) {
		if l, is := liquibaseMark(string(line)); is && (s.liquibase || l.word == liquibaseHeader) {
			m, ok, s.liquibase = l, true, true
		}
	}
	if !ok || !s.formats(m.tool) {
		s.noteMisspelt(line)
		return
	}
	if len(s.marks) >= maxKept {
		s.tooMany = s.line
		return
	}
	m.line, m.part = s.line, len(s.parts)-1
	m.column = 1 + bytes.IndexByte(line, '-')
	if m.section() {
		m.part++
		s.endPart()
		opens := m
		s.newPart(part{mark: &opens, start: end, line: s.line + 1})
	}
	s.marks = append(s.marks, m)
}

// finish is called after the last piece.
func (s *skim) finish() {
	if len(s.rest) > 0 {
		s.next(s.rest)
	}
	for i := range s.lexers {
		if l := &s.lexers[i]; l.in == inBlock { // splitting the text reports that it is not closed
			l.note(l.at)
		}
	}
	s.endPart()
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
	if m, ok := sqlMigrateMark(text); ok {
		return m, true
	}
	return dbmateMark(text)
}
