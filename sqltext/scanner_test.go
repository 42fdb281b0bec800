package sqltext

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// TestJoined reads texts made of fragments that are difficult for lexers, in every dialect.
func TestJoined(t *testing.T) {
	t.Parallel()
	atoms := append(strings.Fields("a e u E U& N ' \" ` [ ] $ $$ $a$ ( ) ; ;; -- # /* */ /*! /*M! \\ \\' \\. . : := , 1 @ BEGIN ATOMIC END CASE WHEN "+
		"THEN ELSE IF LOOP REPEAT UNTIL WHILE DO FOR DECLARE HANDLER CREATE OR REPLACE FUNCTION PROCEDURE TRIGGER EVENT TEMP ROW EACH NOT "+
		"COPY FROM STDIN DELIMITER // ALTER TYPE ADD VALUE SET COMMIT TO AND PRAGMA whimbrel_history é 🐦"),
		" ", "\n", "\r\n", "\t", "\ufeff", "\x00", "\xff", "\nDELIMITER ;;\n", "\n\\.\n", "COPY t FROM stdin;\n", "\\restrict a\n",
		"CREATE PROCEDURE p() BEGIN ", "CREATE FUNCTION f() BEGIN ATOMIC ", "CREATE TRIGGER t AFTER INSERT ON a FOR EACH ROW BEGIN ")
	rapid.Check(t, func(r *rapid.T) {
		d := rapid.SampledFrom([]Dialect{PostgreSQL, SQLite, MySQL}).Draw(r, "dialect")
		parts := rapid.SliceOfN(rapid.SampledFrom(atoms), 0, 40).Draw(r, "parts")
		checkText(t, strings.Join(parts, rapid.SampledFrom([]string{"", " "}).Draw(r, "between")), d)
	})
}

// TestChunks: readers that deliver little at a time change nothing. Texts longer
// than the first buffer make it grow and move.
func TestChunks(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&b, "INSERT INTO t VALUES (%d, 'it''s; é', $$;$$); -- é;\n", i)
	}
	fmt.Fprintf(&b, "SELECT '%s', /* %[1]s */ E'%[2]s', %[1]s;\n", strings.Repeat("é", 100_000), strings.Repeat(`\'`, 100_000))
	fmt.Fprintf(&b, "COPY t FROM stdin;\n%s%s\n%s\\.\nSELECT 1;", strings.Repeat("1\té\n", 50_000), strings.Repeat("é", 100_000), strings.Repeat("\\.x\n", 50_000))
	text := b.String()
	checkText(t, text, PostgreSQL)
	pieces, err := Split(text, PostgreSQL, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if pieces[len(pieces)-1].Index != 3002 {
		t.Fatalf("pieces[len(pieces)-1].Index = %v, want 3002", pieces[len(pieces)-1].Index)
	}
	for _, p := range pieces {
		if p.Kind == CopyData && len(p.Raw) > 64<<10 {
			t.Errorf("a piece of COPY data has %d bytes", len(p.Raw))
		}
	}
}

// repeated delivers a text n times.
type repeated struct {
	text string
	n    int
	rest string
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.rest == "" {
		if r.n == 0 {
			return 0, io.EOF
		}
		r.rest, r.n = r.text, r.n-1
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// scale makes a size smaller for runs that are to be quick.
func scale(n int) int {
	if testing.Short() || raceDetector {
		return n / 16
	}
	return n
}

// TestMemory checks that memory depends on the largest statement, not on the length of the text.
func TestMemory(t *testing.T) {
	statement := "INSERT INTO t VALUES (1, '" + strings.Repeat("x;", 500) + "');\n"
	for _, c := range []struct {
		name string
		r    io.Reader
	}{
		{"statements", &repeated{text: strings.Repeat(statement, 1000), n: scale(300)}},
		{"COPY data", io.MultiReader(strings.NewReader("COPY t FROM stdin;\n"), &repeated{text: strings.Repeat("1\tabc\n", 50_000), n: scale(1000)},
			strings.NewReader("\\.\n"))},
		{"one line of COPY data", io.MultiReader(strings.NewReader("COPY t FROM stdin;\n"), &repeated{text: strings.Repeat("abc", 100_000), n: scale(1000)},
			strings.NewReader("\n\\.\n"))},
	} {
		s := NewScanner(c.r, PostgreSQL, Options{})
		read, peak := 0, uint64(0)
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		before := m.HeapAlloc
		for i := 0; ; i++ {
			p, err := s.Next()
			if err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			read += len(p.Raw)
			if i%1000 == 0 {
				runtime.GC() // only what is still referenced counts, however busy the collector is
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapAlloc)
			}
		}
		if read < scale(256<<20) {
			t.Errorf("%s: only %d bytes were read", c.name, read)
		}
		if n := len(s.src.buf); n > 256<<10 {
			t.Errorf("%s: the buffer has grown to %d bytes", c.name, n)
		}
		if peak > before+4<<20 {
			t.Errorf("%s: the heap grew by %d bytes", c.name, peak-before)
		}
	}
}

// TestLongStatement reads a statement of 20 MB on one line, and the next one.
func TestLongStatement(t *testing.T) {
	t.Parallel()
	text := "INSERT INTO t VALUES " + strings.Repeat("(1, 'é;', \"x\"),", scale(1_200_000)) + "(2); SELECT 2"
	for _, d := range []Dialect{PostgreSQL, SQLite, MySQL} {
		pieces, err := Split(text, d, Options{})
		if err != nil {
			t.Fatalf("%v: %v", d, err)
		}
		if len(pieces) != 2 {
			t.Fatalf("%v: len(pieces) = %v, want 2", d, len(pieces))
		}
		if pieces[1].Text != "SELECT 2" {
			t.Fatalf("%v: pieces[1].Text = %q, want %q", d, pieces[1].Text, "SELECT 2")
		}
		at := strings.Index(text, "SELECT 2")
		if want := at + 1 - scale(1_200_000); pieces[1].Pos.Column != want {
			t.Errorf("%v: pieces[1].Pos.Column = %v, want %v", d, pieces[1].Pos.Column, want)
		} else if pieces[1].Pos.Offset != int64(at) {
			t.Errorf("%v: pieces[1].Pos.Offset = %v, want %v", d, pieces[1].Pos.Offset, int64(at))
		}
	}
}

// TestNotQuadratic: each of these took minutes if something were read again for
// every byte that comes.
func TestNotQuadratic(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"escapes":         "SELECT E'" + strings.Repeat(`\'`, scale(1<<17)) + "'",
		"continuations":   strings.Repeat("SELECT E'a' -- b\n", scale(1<<16)),
		"dollar tags":     "SELECT $a$" + strings.Repeat("$a", scale(1<<17)) + "$a$",
		"dollars":         strings.Repeat("$", scale(1<<16)) + "x",
		"comments":        "/*" + strings.Repeat("/*", scale(1<<17)) + strings.Repeat("*/", scale(1<<17)+1) + ";",
		"lone CRs":        strings.Repeat("-- a\r", scale(1<<16)),
		"terminators":     strings.Repeat(";", scale(1<<16)),
		"ends of data":    "COPY t FROM stdin;\n" + strings.Repeat("\\.x\n", scale(1<<17)) + "\\.\n",
		"versions":        strings.Repeat("/*!1 */ a ", scale(1<<16)),
		"a body of words": "CREATE FUNCTION f() BEGIN ATOMIC " + strings.Repeat("end ", scale(1<<16)) + "; END",
	} {
		for _, d := range []Dialect{PostgreSQL, SQLite, MySQL} {
			for _, r := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text))} {
				if _, err := collect(NewScanner(r, d, Options{})); err != nil && !errors.As(err, new(*Error)) {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
}

func TestReaderErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is on fire")
	s := NewScanner(io.MultiReader(strings.NewReader("SELECT 1; SELECT 'a"), iotest.ErrReader(broken)), PostgreSQL, Options{})
	if p, err := s.Next(); err != nil {
		t.Errorf("s.Next(): %v", err)
	} else if p.Text != "SELECT 1" {
		t.Errorf("s.Next(): p.Text = %q, want %q", p.Text, "SELECT 1")
	}
	for range 2 {
		if _, err := s.Next(); err != broken {
			t.Errorf("then: %v", err)
		}
	}
	if _, err := NewScanner(idle{}, PostgreSQL, Options{}).Next(); err != io.ErrNoProgress {
		t.Errorf("a reader that delivers nothing: %v", err)
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

// TestNoReadingAhead checks that a scanner returns a statement before it reads the next one, so
// that it can read from a pipe.
func TestNoReadingAhead(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	s := NewScanner(r, PostgreSQL, Options{})
	for _, text := range []string{"SELECT 'a';", "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1; END;", "\n\\restrict a\n"} {
		go io.WriteString(w, text)
		if p, err := s.Next(); err != nil {
			t.Errorf("s.Next(): %v", err)
		} else if p.Raw != text {
			t.Errorf("s.Next(): p.Raw = %v, want %v", p.Raw, text)
		}
	}
}

func TestAllStops(t *testing.T) {
	t.Parallel()
	s := NewScanner(strings.NewReader("SELECT 1; SELECT 2;"), SQLite, Options{})
	for p, err := range s.All() {
		if err != nil {
			t.Fatal(err)
		}
		if p.Text != "SELECT 1" {
			t.Errorf("p.Text = %q, want %q", p.Text, "SELECT 1")
		}
		break
	}
	if p, err := s.Next(); err != nil {
		t.Errorf("s.Next(): %v", err)
	} else if p.Text != "SELECT 2" {
		t.Errorf("s.Next(): p.Text = %q, want %q", p.Text, "SELECT 2")
	}
	if _, err := s.Next(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for d, want := range map[Dialect]string{PostgreSQL: "postgresql", SQLite: "sqlite", MySQL: "mysql", 0: "dialect(0)"} {
		if d.String() != want {
			t.Errorf("%s, want %s", d, want)
		}
	}
	p := Position{Line: 2, Column: 3}
	if p.String() != "2:3" {
		t.Error(p)
	}
	for tx, control := range map[Tx]bool{TxAny: false, TxBegin: true, TxOther: true, TxNever: false, TxNoEffect: false} {
		if tx.Control() != control {
			t.Errorf("Tx %d: Control is %v", tx, !control)
		}
	}
}
