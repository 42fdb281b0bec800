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

// Script is SQL text, or a Go function, with the place it came from. It is made
// by [Text], [Stream] or [Func] and does not change after it was handed to a Set.
type Script struct {
	// File is the script's name in messages: the path of its file.
	File string
	// Line is the number of the script's first line in File, where the file
	// holds more than one script; 0 means 1.
	Line int
	// Checksum tells whether the script is what a database was migrated with.
	Checksum Checksum
	// Size is the length of the text in bytes; 0 for a function.
	Size int64
	// Replaces are the migrations that this up script takes the place of, in ascending
	// order: it is then a squash.
	Replaces []Replaced
	// Problem is what keeps the script from being run, such as that it has no statement yet; nil for
	// nothing. A Set takes such a script, so that what doesn't run it works: Analyze returns the Problem, and
	// so does a plan that would run the script.
	Problem error
	Directives

	open func() (io.ReadCloser, error)
	text string
	fn   any

	mu       sync.Mutex
	analysis *Analysis // the last one, and the reserved names it was made with
	reserved []string
}

// Text returns the script of a text that is in memory. A leading byte-order mark
// is dropped.
func Text(file, text string) *Script {
	s := &Script{File: file, Checksum: Sum(text)}
	s.keep(text)
	return s
}

// keep makes text what the script opens.
func (s *Script) keep(text string) {
	s.text = strings.TrimPrefix(text, byteOrderMark)
	s.Size = int64(len(s.text))
	s.open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s.text)), nil }
}

// KeepInMemory is the size up to which Stream keeps a text in memory.
const KeepInMemory = 256 << 10

var readBuffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// Stream returns the script that open gives, which it reads once, for the
// checksum. A text of more than [KeepInMemory] bytes is not kept: it is opened
// again whenever it is needed, and must then be the same, else reading it ends in
// [ErrChanged]. Text that is not UTF-8, or has a NUL byte, is a *[sqltext.Error]
// with its place.
func Stream(file string, open func() (io.ReadCloser, error)) (*Script, error) {
	return StreamKeeping(file, KeepInMemory, open)
}

// StreamKeeping is Stream, and keeps a text of at most that many bytes in memory.
func StreamKeeping(file string, keep int64, open func() (io.ReadCloser, error)) (*Script, error) {
	r, err := open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	buf := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(buf)
	var kept strings.Builder
	h, check := newHasher(), &utf8Checker{file: file}
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
	return s, nil
}

// Func returns the script of a Go function. fn must be of the type that the
// driver takes; the drivers have a Func of their own that says so, use that. A
// function has no text: id stands for it in the history and in the checksum, so
// it must change when what the function does changes.
func Func(id string, fn any) *Script {
	return &Script{File: id, Checksum: Sum("go:" + id), fn: fn}
}

// Func returns the function that Func was given, nil for SQL text.
func (s *Script) Func() any { return s.fn }

// Open returns the text, without a byte-order mark.
func (s *Script) Open() (io.ReadCloser, error) {
	if s.open == nil {
		return nil, fmt.Errorf("%s is a Go function, it has no text", s.File)
	}
	return s.open()
}

// reader is Open for a text that is in memory too, whose length can be told.
func (s *Script) reader() (io.Reader, error) {
	if s.text != "" {
		return strings.NewReader(s.text), nil
	}
	return s.Open()
}

// Text returns the text when it has at most limit bytes.
func (s *Script) Text(limit int64) (text string, ok bool, err error) {
	if s.fn != nil || s.Size > limit {
		return "", false, nil
	}
	if s.text != "" || s.Size == 0 {
		return s.text, true, nil
	}
	r, err := s.Open()
	if err != nil {
		return "", false, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return string(b), err == nil, err
}

// ErrChanged is the error of reading a text that is not what it was when its
// checksum was taken.
var ErrChanged = errors.New("the file has changed since it was first read")

// sameText passes a file on, without its byte-order mark, and fails at its end
// when it is not the text whose checksum it was given.
type sameText struct {
	text *bufio.Reader // of file, through h; not embedded: its WriteTo would pass the check by
	file io.Closer
	name string
	want Checksum
	h    *hasher
}

// newSameText reads no more than the same text can have, should all its line ends have become CRLF: the file might have
// become endless.
func newSameText(name string, want Checksum, size int64, file io.ReadCloser) *sameText {
	h := newHasher()
	r := bufio.NewReader(io.TeeReader(io.LimitReader(file, 2*size+int64(len(byteOrderMark))+1), h))
	if head, _ := r.Peek(len(byteOrderMark)); string(head) == byteOrderMark {
		r.Discard(len(byteOrderMark)) // was just peeked, so it is there
	}
	return &sameText{text: r, file: file, name: name, want: want, h: h}
}

func (t *sameText) Read(p []byte) (int, error) {
	n, err := t.text.Read(p)
	if err == io.EOF && t.h.sum() != t.want {
		return n, fmt.Errorf("read %s: %w", t.name, ErrChanged)
	}
	return n, err
}

func (t *sameText) Close() error { return t.file.Close() }

// utf8Checker finds the first place of a text that is not UTF-8 or is NUL. A
// byte-order mark at the beginning takes no place, as it is not part of the text.
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

// cutRune takes the beginning of an encoding that is not complete off p's end.
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
