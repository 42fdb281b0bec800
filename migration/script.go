package migration

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Script is SQL text or a Go function, with its origin. Create it with [Text], [Stream] or [Func].
// A Script does not change after it was added to a Set.
type Script struct {
	// File is the script's name in messages, usually the path of its file.
	File string
	// Line is the number of the script's first line if File contains more than one script; 0 means
	// 1.
	Line int
	// Checksum identifies the text that a database was migrated with.
	Checksum Checksum
	// Size is the length of the text in bytes; 0 for a function.
	Size int64
	// Replaces are the migrations that this up script replaces, in ascending order: the script is
	// then a squash.
	Replaces []Replaced
	// Backfill says that the up script changes the rows of a table in batches, and how; nil for any
	// other script.
	Backfill *Backfill
	// After are the versions of backfills that must be done before the script runs.
	After []int64
	// Problem is the reason why the script can't run, such as that it has no statement yet, or nil.
	// A Set accepts such a script, so that everything that doesn't run it works. Analyze returns
	// the Problem, and so does a plan that would run the script.
	Problem error
	Directives

	unread bool
	open   func() (io.ReadCloser, error) // nil for a text in memory
	same   func() (io.ReadCloser, error) // open, without the check that the text is the same
	text   string
	fn     any

	mu       sync.Mutex
	analysis *Analysis // the last one, and the reserved names it was made with
	reserved []string
}

// Text returns a script for a text in memory. It drops a leading byte-order mark.
func Text(file, text string) *Script {
	s := &Script{File: file, Checksum: Sum(text)}
	s.keep(text)
	return s
}

// Bytes is Text for the content of a file, which it copies. For text that is not UTF-8 or contains
// a NUL byte, it returns an [*sqltext.Error] with the position.
func Bytes(file string, text []byte) (*Script, error) {
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		c := &utf8Checker{file: file}
		if err := c.write(text); err != nil {
			return nil, err
		}
		return nil, c.end()
	}
	s := &Script{File: file, Checksum: sum(text)}
	s.keep(string(text))
	return s, nil
}

// keep stores the text in the script.
func (s *Script) keep(text string) {
	s.text = strings.TrimPrefix(text, byteOrderMark)
	s.Size = int64(len(s.text))
}

// KeepInMemory is the maximum size in bytes of a text that Stream keeps in memory.
const KeepInMemory = 512 << 10

var readBuffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// Stream returns a script for the text that open returns. It reads the text once, for the checksum.
// It does not keep a text of more than [KeepInMemory] bytes, but opens it again for each use. If
// the text has changed by then, reading it fails with [ErrChanged]. For text that is not UTF-8 or
// contains a NUL byte, Stream returns an [*sqltext.Error] with the position.
func Stream(file string, open func() (io.ReadCloser, error)) (*Script, error) {
	return StreamKeeping(file, KeepInMemory, open)
}

// StreamKeeping is Stream with another limit than KeepInMemory. A text with a Len method, which
// returns about how long it is, takes less memory.
func StreamKeeping(file string, keep int64, open func() (io.ReadCloser, error)) (*Script, error) {
	r, err := open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	buf := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(buf)
	var kept strings.Builder
	h, check := textHasher(newHasher()), &utf8Checker{file: file}
	if m, ok := r.(interface{ Len() int }); ok && int64(m.Len()) <= keep {
		kept.Grow(max(m.Len(), 0))
	} else if ok {
		h, keep = hasherFor(int64(m.Len())), -1
	}
	var size int64
	for {
		n, err := r.Read(*buf)
		p := (*buf)[:n]
		if cerr := check.write(p); cerr != nil {
			return nil, cerr
		}
		h.Write(p)
		if size += int64(n); size <= keep {
			kept.Write(p)
		} else {
			kept.Reset()
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
	}
	if err := check.end(); err != nil {
		return nil, err
	}
	s := &Script{File: file, Checksum: h.sum(), Size: size}
	if size <= keep {
		s.keep(kept.String())
		return s, nil
	}
	if check.bom {
		s.Size -= int64(len(byteOrderMark))
	}
	sum := s.Checksum
	s.open = func() (io.ReadCloser, error) {
		r, err := open()
		if err != nil {
			return nil, err
		}
		return newSameText(file, sum, size, r), nil
	}
	s.same = func() (io.ReadCloser, error) {
		r, err := open()
		if err != nil {
			return nil, err
		}
		return &unmarked{withoutMark(r), r}, nil
	}
	return s, nil
}

// Func returns a script for a Go function. fn must have the driver's function type; use the Func of
// the driver's package, which ensures that. A function has no text: the history and the checksum
// use id instead, so change id whenever the function's effect changes.
//
// The function can run more than once: after a lock timeout, a deadlock or a conflict its
// transaction is rolled back, and the engine calls it again in another one. What it does outside
// the transaction must be safe to repeat.
func Func(id string, fn any) *Script {
	return &Script{File: id, Checksum: Sum("go:" + id), fn: fn}
}

// Unread returns a script in place of a down script that is read when it is needed; see
// [Contents.ReadDowns]. Only its File is known.
func Unread(file string) *Script { return &Script{File: file, unread: true} }

// Unread reports whether the script has not been read: it has no checksum, and no use of its text
// succeeds.
func (s *Script) Unread() bool { return s != nil && s.unread }

func (s *Script) errUnread() error {
	return fmt.Errorf("%s has not been read; complete the set that it is from", s.File)
}

// Func returns the Go function, nil for SQL text.
func (s *Script) Func() any { return s.fn }

// Open returns the text without a byte-order mark.
func (s *Script) Open() (io.ReadCloser, error) {
	switch {
	case s.unread:
		return nil, s.errUnread()
	case s.open != nil:
		return s.open()
	case s.fn != nil || s.Checksum.IsZero(): // or it was not created as the package says
		return nil, fmt.Errorf("%s is a Go function, it has no text", s.File)
	}
	return io.NopCloser(strings.NewReader(s.text)), nil
}

// unchecked is Open, for a caller that checks itself whether the text is the same as before.
func (s *Script) unchecked() (io.ReadCloser, error) {
	if s.same != nil {
		return s.same()
	}
	return s.Open()
}

// Text returns the text if it has at most limit bytes.
func (s *Script) Text(limit int64) (text string, ok bool, err error) {
	if s.fn != nil || s.Size > limit {
		return "", false, nil
	}
	if s.unread {
		return "", false, s.errUnread()
	}
	if s.text != "" || s.Size == 0 {
		return s.text, true, nil
	}
	r, err := s.Open()
	if err != nil {
		return "", false, err
	}
	defer r.Close()
	var b strings.Builder
	b.Grow(int(s.Size))
	buf := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(buf)
	_, err = io.CopyBuffer(struct{ io.Writer }{&b}, r, *buf)
	return b.String(), err == nil, err
}

// ErrChanged means that a text differs from the one whose checksum was computed.
var ErrChanged = errors.New("the file has changed since it was first read")

// sameText reads a file without its byte-order mark. At the end of the file it fails if the
// checksum differs.
type sameText struct {
	text *bufio.Reader // of file, through h; not embedded: its WriteTo would pass the check by
	file io.Closer
	name string
	want Checksum
	h    textHasher
}

// newSameText limits the length to that of the same text with all its line ends as CRLF: the file
// might have become endless.
func newSameText(name string, want Checksum, size int64, file io.ReadCloser) *sameText {
	h := hasherFor(size)
	r := withoutMark(io.TeeReader(io.LimitReader(file, 2*size+int64(len(byteOrderMark))+1), h))
	return &sameText{text: r, file: file, name: name, want: want, h: h}
}

// withoutMark returns a text without its byte-order mark.
func withoutMark(text io.Reader) *bufio.Reader {
	r := bufio.NewReader(text)
	if head, _ := r.Peek(len(byteOrderMark)); string(head) == byteOrderMark {
		r.Discard(len(byteOrderMark)) // was just peeked, so it is there
	}
	return r
}

// unmarked reads a file without its byte-order mark.
type unmarked struct {
	*bufio.Reader
	file io.Closer
}

func (u *unmarked) Close() error { return u.file.Close() }

func (t *sameText) Read(p []byte) (int, error) {
	n, err := t.text.Read(p)
	if err == io.EOF && t.h.sum() != t.want {
		return n, fmt.Errorf("read %s: %w", t.name, ErrChanged)
	}
	return n, err
}

func (t *sameText) Close() error { return t.file.Close() }

// utf8Checker finds the first position of a text that is not UTF-8 or is NUL. A byte-order mark at
// the beginning does not count as a character.
type utf8Checker struct {
	file  string
	pos   sqltext.Position
	bom   bool
	begun bool
	part  []byte // an encoding that the last write cut in two
}

func (c *utf8Checker) write(p []byte) error {
	if c.pos.Line == 0 {
		c.pos = sqltext.Position{File: c.file, Line: 1, Column: 1}
	}
	if len(c.part) > 0 {
		p = append(c.part, p...)
		c.part = nil
	}
	p, c.part = cutRune(p)
	if utf8.Valid(p) && bytes.IndexByte(p, 0) < 0 {
		c.advance(p)
		return nil
	}
	for len(p) > 0 {
		r, n := utf8.DecodeRune(p)
		switch {
		case r == utf8.RuneError && n == 1:
			return c.fail(fmt.Sprintf("byte 0x%02x is not UTF-8; save the file as UTF-8", p[0]))
		case r == 0:
			return c.fail("a NUL byte; no database takes one in SQL text")
		}
		c.advance(p[:n])
		p = p[n:]
	}
	return nil
}

// cutRune removes an incomplete encoding from the end of p.
func cutRune(p []byte) (whole, part []byte) {
	for i := len(p) - 1; i >= 0 && i >= len(p)-utf8.UTFMax; i-- {
		if !utf8.RuneStart(p[i]) {
			continue
		}
		if !utf8.FullRune(p[i:]) {
			return p[:i], bytes.Clone(p[i:])
		}
		break
	}
	return p, nil
}

func (c *utf8Checker) advance(p []byte) {
	if !c.begun && len(p) > 0 {
		c.begun = true
		if c.bom = bytes.HasPrefix(p, []byte(byteOrderMark)); c.bom {
			p = p[len(byteOrderMark):]
		}
	}
	c.pos.Offset += int64(len(p))
	if i := bytes.LastIndexByte(p, '\n'); i >= 0 {
		c.pos.Line += bytes.Count(p, []byte{'\n'})
		c.pos.Column = 1
		p = p[i+1:]
	}
	c.pos.Column += utf8.RuneCount(p)
}

func (c *utf8Checker) end() error {
	if len(c.part) > 0 {
		return c.fail("the file ends inside a UTF-8 character; it is not UTF-8, or was cut off")
	}
	return nil
}

func (c *utf8Checker) fail(msg string) error { return &sqltext.Error{Pos: c.pos, Msg: msg} }
