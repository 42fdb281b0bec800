package migration

import (
	"io"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// SkipOnScratch is a directive for one statement, in a comment before it: "-- whimbrel:
// skip-on-scratch". When a proof runs the script in a scratch database, it omits the statement.
// Everywhere else the statement runs.
const SkipOnScratch = "skip-on-scratch"

// SkippedOnScratch reports whether a comment before the statement has the directive SkipOnScratch.
// A comment on the last line of the previous statement belongs to that statement.
func SkippedOnScratch(st sqltext.Statement, d sqltext.Dialect) bool {
	return slices.ContainsFunc(st.Comments(d), func(comment string) bool {
		tool, directive, ok := strings.Cut(comment, ":")
		return ok && strings.EqualFold(strings.TrimSpace(tool), "whimbrel") && strings.EqualFold(strings.TrimSpace(directive), SkipOnScratch)
	})
}

// Without returns the script without the statements that leave chooses. It replaces them with
// spaces, so all other positions stay the same. The checksum remains that of the whole script.
func (s *Script) Without(d sqltext.Dialect, leave func(sqltext.Statement) bool) *Script {
	if s.fn != nil {
		return s
	}
	return &Script{
		File: s.File, Line: s.Line, Checksum: s.Checksum, Size: s.Size, Replaces: s.Replaces, Directives: s.Directives,
		Backfill: s.Backfill, After: s.After,
		open: func() (io.ReadCloser, error) {
			text, err := s.Open()
			if err != nil {
				return nil, err
			}
			opts := sqltext.Options{File: s.File, Line: s.Line}
			return &rest{scanner: sqltext.NewScanner(text, d, opts), leave: leave, text: text}, nil
		},
	}
}

// OnScratch returns the script as a scratch database runs it. A backfill executes its batches at
// once: no application uses the database, and no worker takes the batches. What its check counts
// may not exist there. Nothing waits for another migration, which may be in another set.
func (s *Script) OnScratch() *Script {
	if s.Backfill == nil && len(s.After) == 0 {
		return s
	}
	c := &Script{
		File: s.File, Line: s.Line, Checksum: s.Checksum, Size: s.Size, Replaces: s.Replaces, Problem: s.Problem, Directives: s.Directives,
		unread: s.unread, open: s.open, same: s.same, text: s.text, fn: s.fn,
	}
	if b := s.Backfill; b != nil {
		c.Backfill = &Backfill{Table: b.Table, Key: b.Key, Batch: b.Batch, Target: b.Target, Timeout: b.Timeout}
	}
	return c
}

// rest is the text of a script without some statements.
type rest struct {
	scanner *sqltext.Scanner
	leave   func(sqltext.Statement) bool
	text    io.Closer
	left    string // of the last piece
	copying bool   // the data that follow are those of a statement that is left out
}

func (r *rest) Read(p []byte) (int, error) {
	for r.left == "" {
		st, err := r.scanner.Next()
		if err != nil {
			return 0, err
		}
		r.left = st.Raw
		switch st.Kind {
		case sqltext.SQL, sqltext.CopyIn:
			r.copying = r.leave(st)
			if r.copying {
				n := st.Pos.Offset - st.Start.Offset
				r.left = st.Raw[:n] + blank(st.Raw[n:])
			}
		case sqltext.CopyData, sqltext.CopyEnd:
			if r.copying {
				r.left = blank(st.Raw)
			}
		}
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

func (r *rest) Close() error { return r.text.Close() }

// blank replaces each character that is not white space with a space.
func blank(text string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '\n', '\r', '\t':
			return r
		}
		return ' '
	}, text)
}

// With returns a copy of the set in which change has replaced the scripts. It calls change for each
// script of the migrations, the originals of squashes, the baselines and the repeatables. change
// must keep the checksum and the directives.
func (s *Set) With(change func(*Script) *Script) *Set {
	n := *s
	for _, list := range []*[]Migration{&n.all, &n.originals, &n.baselines} {
		*list = slices.Clone(*list)
		for i := range *list {
			m := &(*list)[i]
			m.Up = change(m.Up)
			if m.Down != nil {
				m.Down = change(m.Down)
			}
		}
	}
	n.repeatables = slices.Clone(n.repeatables)
	for i := range n.repeatables {
		n.repeatables[i].Script = change(n.repeatables[i].Script)
	}
	return &n
}
