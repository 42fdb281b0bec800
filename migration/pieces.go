package migration

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"slices"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// pieces are the places of a script's pieces in its text, and what is known of them. With them a
// script is cut into statements only once, by Analyze. They take as much memory as a text that is
// kept may take; a script with more pieces is cut again for each use.
type pieces struct {
	size    int64 // of the script
	all     []place
	special []special
	seed    maphash.Seed // of the sums; only for a text that is not in memory
	summed  bool
}

// place is one piece. It has no pointers.
type place struct {
	sum        uint64 // of the piece
	size       uint32 // of the piece
	from, to   uint32 // the statement in it
	start, pos lineColumn
	kind       sqltext.Kind
	tx         sqltext.Tx
	keys       sqltext.ForeignKeys
	session    bool
}

type lineColumn struct{ line, column uint32 }

// special are the facts that few statements have.
type special struct {
	index int // in pieces.all
	facts sqltext.Statement
}

const (
	maxPieces   = KeepInMemory / 40 // how many places take KeepInMemory bytes
	firstPieces = 256               // after which the size of all is known better
)

// newPieces returns no pieces yet, for a script.
func newPieces(s *Script) *pieces {
	const likely = 64 // bytes of a piece
	p := &pieces{size: s.Size, all: make([]place, 0, min(s.Size/likely+1, firstPieces))}
	if s.text == "" {
		p.seed, p.summed = maphash.MakeSeed(), true
	}
	return p
}

// add adds a piece. It reports whether the pieces can be kept.
func (p *pieces) add(st sqltext.Statement) bool {
	if len(p.all) == maxPieces || len(st.Raw) > math.MaxInt32 || st.Pos.Line > math.MaxInt32 || max(st.Pos.Column, st.Start.Column) > math.MaxInt32 {
		return false
	}
	from := int(st.Pos.Offset - st.Start.Offset)
	at := place{
		size: uint32(len(st.Raw)), from: uint32(from), to: uint32(from + len(st.Text)),
		start: lineColumn{uint32(st.Start.Line), uint32(st.Start.Column)}, pos: lineColumn{uint32(st.Pos.Line), uint32(st.Pos.Column)},
		kind: st.Kind, tx: st.Tx, keys: st.ForeignKeys, session: st.Session,
	}
	if p.summed {
		at.sum = maphash.String(p.seed, st.Raw)
	}
	if st.Why != "" || st.OnlyInTx != "" || st.Mode != 0 || st.EnumType != "" {
		facts := st
		facts.Raw, facts.Text, facts.Reserved = "", "", ""
		p.special = append(p.special, special{len(p.all), facts})
	}
	if len(p.all) == cap(p.all) { // those to come are probably as long
		read := max(st.Start.Offset+int64(len(st.Raw)), 1)
		likely := max(p.size-read, 0) * int64(len(p.all)+1) / read // the text may have grown
		p.all = slices.Grow(p.all, int(min(likely*9/8+16, int64(maxPieces-len(p.all)))))
	}
	p.all = append(p.all, at)
	return true
}

// reader returns the pieces again.
func (p *pieces) reader(s *Script) (*pieceReader, error) {
	r := &pieceReader{pieces: p, file: s.File, special: p.special}
	if !p.summed {
		r.text = &inMemory{s.text}
		return r, nil
	}
	text, err := s.unchecked()
	if err != nil {
		return nil, err
	}
	r.text = &streamed{r: text, file: s.File}
	return r, nil
}

// pieceReader returns the pieces of a text in order.
type pieceReader struct {
	*pieces
	file    string
	text    textReader
	next    int       // in all
	special []special // those from next on
	offset  int64
	index   int
}

// textReader returns the next bytes of a text as a string. end returns an error if the text has
// more.
type textReader interface {
	take(n int) (string, error)
	end() error
	close()
}

func (r *pieceReader) close() { r.text.close() }

func (r *pieceReader) Next() (st sqltext.Statement, err error) {
	if r.next == len(r.all) {
		if err := r.text.end(); err != nil {
			return st, err
		}
		return st, io.EOF
	}
	at := &r.all[r.next]
	if st.Raw, err = r.text.take(int(at.size)); err != nil {
		return sqltext.Statement{}, err
	}
	if r.summed && maphash.String(r.seed, st.Raw) != at.sum {
		return sqltext.Statement{}, changed(r.file)
	}
	if len(r.special) > 0 && r.special[0].index == r.next {
		raw := st.Raw
		st, r.special = r.special[0].facts, r.special[1:]
		st.Raw = raw
	}
	st.Text = st.Raw[at.from:at.to]
	st.Start = sqltext.Position{File: r.file, Offset: r.offset, Line: int(at.start.line), Column: int(at.start.column)}
	st.Pos = sqltext.Position{File: r.file, Offset: r.offset + int64(at.from), Line: int(at.pos.line), Column: int(at.pos.column)}
	st.Index, st.Kind, st.Tx, st.ForeignKeys, st.Session = r.index, at.kind, at.tx, at.keys, at.session
	if st.Kind == sqltext.SQL || st.Kind == sqltext.CopyIn {
		r.index++
	}
	r.next++
	r.offset += int64(at.size)
	return st, nil
}

// inMemory is a text in memory.
type inMemory struct{ rest string }

func (t *inMemory) take(n int) (text string, err error) {
	text, t.rest = t.rest[:n], t.rest[n:]
	return text, nil
}

func (t *inMemory) end() error { return nil }

func (t *inMemory) close() {}

// streamed is a text that is read again. It must be the same as before.
type streamed struct {
	r    io.ReadCloser
	file string
	buf  []byte
	left string // of what was read
}

// readAhead is how much text is read, and becomes a string, at once.
const readAhead = 32 << 10

func (t *streamed) take(n int) (string, error) {
	if n > len(t.left) {
		if err := t.more(n); err != nil {
			return "", err
		}
	}
	text := t.left[:n]
	t.left = t.left[n:]
	return text, nil
}

// more makes left at least n bytes long.
func (t *streamed) more(n int) error {
	held := len(t.left)
	t.buf = append(slices.Grow(t.buf[:0], max(n, readAhead)), t.left...)
	read, err := io.ReadAtLeast(t.r, t.buf[held:max(n, readAhead)], n-held)
	t.left = string(t.buf[:held+read])
	if errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF {
		return changed(t.file) // it has become shorter
	}
	return err
}

func (t *streamed) end() error {
	if t.left != "" {
		return changed(t.file)
	}
	n, err := io.ReadFull(t.r, make([]byte, 1))
	switch {
	case n > 0:
		return changed(t.file)
	case err == io.EOF:
		return nil
	}
	return err
}

func (t *streamed) close() { t.r.Close() }

func changed(file string) error { return fmt.Errorf("read %s: %w", file, ErrChanged) }
