package migration_test

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// opener opens the same bytes again and again, and counts.
type opener struct {
	data   []byte
	opened int
	closed int
	wrap   func(io.Reader) io.Reader
}

func (o *opener) open() (io.ReadCloser, error) {
	o.opened++
	var r io.Reader = bytes.NewReader(o.data)
	if o.wrap != nil {
		r = o.wrap(r)
	}
	return struct {
		io.Reader
		io.Closer
	}{r, closer(func() { o.closed++ })}, nil
}

type closer func()

func (c closer) Close() error { c(); return nil }

func read(t *testing.T, s *migration.Script) string {
	t.Helper()
	r, err := s.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestText(t *testing.T) {
	t.Parallel()
	s := migration.Text("1_a.up.sql", "\ufeffSELECT 1;\r\n")
	if s.File != "1_a.up.sql" {
		t.Errorf("s.File = %q, want %q", s.File, "1_a.up.sql")
	}
	if s.Size != 11 {
		t.Errorf("s.Size = %v, want 11", s.Size)
	}
	if s.Checksum != migration.Sum("SELECT 1;\n") {
		t.Errorf("s.Checksum = %v, want %v", s.Checksum, migration.Sum("SELECT 1;\n"))
	}
	if s.Func() != nil {
		t.Errorf("s.Func() = %+v, want nil", s.Func())
	}
	if got := read(t, s); got != "SELECT 1;\r\n" {
		t.Errorf("what runs is %q", got)
	}
	if text, ok, err := s.Text(10); ok {
		t.Error("ok = true, want false")
	} else if err != nil {
		t.Error(err)
	} else if text != "" {
		t.Errorf("text = %q, want %q", text, "")
	}
	if text, ok, err := s.Text(11); !ok {
		t.Error("ok = false, want true")
	} else if err != nil {
		t.Error(err)
	} else if text != "SELECT 1;\r\n" {
		t.Errorf("text = %q, want %q", text, "SELECT 1;\r\n")
	}
}

// sized is a text that says about how long it is.
type sized struct {
	io.ReadCloser
	size int
}

func (s sized) Len() int { return s.size }

// TestStreamTakesTheMemoryOfTheText: a text that says how long it is takes no more memory than
// that, and it may be wrong.
func TestStreamTakesTheMemoryOfTheText(t *testing.T) {
	text := strings.Repeat("SELECT 1;\n", 30_000)
	stream := func(size int) {
		s, err := migration.Stream("x.sql", func() (io.ReadCloser, error) {
			r, err := (&opener{data: []byte(text)}).open()
			return sized{r, size}, err
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, ok, err := s.Text(migration.KeepInMemory); got != text || !ok || err != nil {
			t.Errorf("size %d: the text has %d bytes, and the error is %v", size, len(got), err)
		}
	}
	for _, wrong := range []int{-1, 0, 1, len(text) / 2, 2 * len(text), migration.KeepInMemory + 1} {
		stream(wrong)
	}
	// the opener's copy, the text, and a buffer for reading
	if got, most := allocated(func() { stream(len(text)) }), uint64(2*len(text)+128<<10); got > most {
		t.Errorf("a text of %d bytes takes %d bytes, want at most %d", len(text), got, most)
	}
}

// TestStreamOfALongTextTakesLittle: of a text that says that it is too long to keep, nothing is
// kept while it is read.
func TestStreamOfALongTextTakesLittle(t *testing.T) {
	text := []byte(strings.Repeat("SELECT 1;\n", 4*migration.KeepInMemory/10))
	got := allocated(func() {
		if _, err := migration.Stream("x.sql", func() (io.ReadCloser, error) {
			return sized{io.NopCloser(bytes.NewReader(text)), len(text)}, nil
		}); err != nil {
			t.Fatal(err)
		}
	})
	if most := uint64(2 * migration.KeepInMemory); got > most {
		t.Errorf("a text of %d bytes takes %d bytes, want at most %d", len(text), got, most)
	}
}

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestStreamKeepsSmallTexts(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "\ufeff", "\ufeffSELECT 'ü';\r\n", strings.Repeat("x", migration.KeepInMemory)} {
		o := &opener{data: []byte(text)}
		s, err := migration.Stream("x.sql", o.open)
		if err != nil {
			t.Fatal(err)
		}
		want := migration.Text("x.sql", text)
		if got, want := read(t, s), read(t, want); got != want {
			t.Errorf("%.20q…: read(t, s) = %v, want %v", text, got, want)
		}
		if s.Checksum != want.Checksum {
			t.Errorf("%.20q…: s.Checksum = %v, want %v", text, s.Checksum, want.Checksum)
		}
		if s.Size != want.Size {
			t.Errorf("%.20q…: s.Size = %v, want %v", text, s.Size, want.Size)
		}
		if o.opened != 1 {
			t.Errorf("%.20q…: o.opened = %v, want 1", text, o.opened)
		}
		if o.closed != 1 {
			t.Errorf("%.20q…: o.closed = %v, want 1", text, o.closed)
		}
	}
}

func TestStreamOpensLargeTextsAgain(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("INSERT INTO ports VALUES ('Ærø');\r\n", migration.KeepInMemory/30)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"as they come":             nil,
		"half of what is asked":    iotest.HalfReader,
		"the end with the data":    iotest.DataErrReader,
		"one byte after the other": iotest.OneByteReader,
	} {
		o := &opener{data: []byte("\ufeff" + text), wrap: wrap}
		s, err := migration.Stream("x.sql", o.open)
		if err != nil {
			t.Fatal(err)
		}
		if s.Checksum != migration.Sum(text) {
			t.Errorf("%s: s.Checksum = %v, want %v", name, s.Checksum, migration.Sum(text))
		}
		if s.Size != int64(len(text)) {
			t.Errorf("%s: s.Size = %v, want %v", name, s.Size, int64(len(text)))
		}
		if read(t, s) != text {
			t.Errorf("%s: another text", name)
		}
		if got, ok, err := s.Text(1 << 30); !ok {
			t.Errorf("%s: ok = false, want true", name)
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got != text {
			t.Errorf("%s: got %v, want %v", name, got, text)
		}
		if o.opened != 3 {
			t.Errorf("%s: o.opened = %v, want 3", name, o.opened)
		}
		if o.closed != 3 {
			t.Errorf("%s: o.closed = %v, want 3", name, o.closed)
		}
	}
}

func TestStreamNoticesAChange(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("SELECT 1;\n", migration.KeepInMemory/5)
	for name, changed := range map[string]string{
		"another byte":     strings.Replace(text, "1", "2", 1),
		"longer":           text + "SELECT 2;\n",
		"shorter":          text[:len(text)/2],
		"nothing any more": "",
	} {
		o := &opener{data: []byte(text)}
		s, err := migration.Stream("x.sql", o.open)
		if err != nil {
			t.Fatal(err)
		}
		o.data = []byte(changed)
		for how, read := range map[string]func(io.Reader) error{
			"read":   func(r io.Reader) error { _, err := io.ReadAll(r); return err },
			"copied": func(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err },
		} {
			r, err := s.Open()
			if err != nil {
				t.Fatal(err)
			}
			if err := read(r); !errors.Is(err, migration.ErrChanged) {
				t.Errorf("%s, %s: got %v, want %v", name, how, err, migration.ErrChanged)
			} else if !strings.Contains(err.Error(), "x.sql") {
				t.Errorf("%s, %s: err.Error() = %q, want a text containing %q", name, how, err.Error(), "x.sql")
			}
			r.Close()
		}
	}
	first := true
	endless, err := migration.Stream("x.sql", func() (io.ReadCloser, error) {
		if first {
			first = false
			return io.NopCloser(strings.NewReader(text)), nil
		}
		return io.NopCloser(forever{}), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := endless.Text(1 << 30); !errors.Is(err, migration.ErrChanged) {
		t.Errorf("endless: got %v", err)
	}
	o := &opener{data: []byte(text)}
	s, err := migration.Stream("x.sql", o.open)
	if err != nil {
		t.Fatal(err)
	}
	o.data = []byte(strings.ReplaceAll("\ufeff"+text, "\n", "\r\n"))
	if got := read(t, s); len(got) < len(text) {
		t.Error("line ends and a byte-order mark are no change")
	}
}

// forever is a file without an end.
type forever struct{}

func (forever) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestStreamErrors(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	if _, err := migration.Stream("x", func() (io.ReadCloser, error) { return nil, boom }); !errors.Is(err, boom) {
		t.Errorf("opening: got %v", err)
	}
	if _, err := migration.Stream("x.sql", func() (io.ReadCloser, error) { return io.NopCloser(iotest.ErrReader(boom)), nil }); !errors.Is(err, boom) {
		t.Errorf("got %v, want %v", err, boom)
	} else if !strings.Contains(err.Error(), "x.sql") {
		t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), "x.sql")
	}
}

func TestStreamRequiresUTF8(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("SELECT 'Ærø';\n", 10000)
	for _, c := range []struct {
		name, text string
		want       string
	}{
		{"Latin-1", "SELECT\n'ü \xfc'", "x.sql:2:4: byte 0xfc is not UTF-8; save the file as UTF-8"},
		{"UTF-16", "\xff\xfeS\x00", "x.sql:1:1: byte 0xff is not UTF-8; save the file as UTF-8"},
		{"a byte-order mark takes no column", "\ufeffa\xfcb", "x.sql:1:2: byte 0xfc is not UTF-8; save the file as UTF-8"},
		{"CRLF", "a\r\n\x80", "x.sql:2:1: byte 0x80 is not UTF-8; save the file as UTF-8"},
		{"NUL", "a\nb\x00", "x.sql:2:2: a NUL byte; no database takes one in SQL text"},
		{"cut off", "a\xc3", "x.sql:1:2: the file ends inside a UTF-8 character; it is not UTF-8, or was cut off"},
		{"far below", long + "a\xc3(", "x.sql:10001:2: byte 0xc3 is not UTF-8; save the file as UTF-8"},
	} {
		for _, wrap := range []func(io.Reader) io.Reader{nil, iotest.OneByteReader, iotest.HalfReader} {
			o := &opener{data: []byte(c.text), wrap: wrap}
			_, err := migration.Stream("x.sql", o.open)
			var place *sqltext.Error
			if !errors.As(err, &place) {
				t.Fatalf("%s: got %v, want a %T", c.name, err, place)
			}
			if err.Error() != c.want {
				t.Errorf("%s: err.Error() = %q, want %q", c.name, err.Error(), c.want)
			}
			if o.closed != 1 {
				t.Errorf("%s: closed %d times", c.name, o.closed)
			}
		}
	}
	o := &opener{data: []byte("SELECT 1;\n'\xfc"), wrap: nil}
	_, err := migration.Stream("x.sql", o.open)
	if e := (*sqltext.Error)(nil); !errors.As(err, &e) {
		t.Errorf("got %v, want a %T", err, e)
	} else if e.Pos != (sqltext.Position{File: "x.sql", Offset: 11, Line: 2, Column: 2}) {
		t.Errorf("e.Pos = %v, want %v", e.Pos, (sqltext.Position{File: "x.sql", Offset: 11, Line: 2, Column: 2}))
	}
}

func TestFunc(t *testing.T) {
	t.Parallel()
	s := migration.Func("backfill-1", func() {})
	if s.Func() == nil {
		t.Fatal("s.Func() is nil")
	}
	if s.File != "backfill-1" {
		t.Errorf("s.File = %q, want %q", s.File, "backfill-1")
	}
	if s.Size != 0 {
		t.Errorf("s.Size = %v, want 0", s.Size)
	}
	if s.Checksum == migration.Func("backfill-2", func() {}).Checksum {
		t.Error("s.Checksum is migration.Func(\"backfill-2\", func() {}).Checksum")
	}
	if s.Checksum == migration.Sum("backfill-1") {
		t.Error("s.Checksum is migration.Sum(\"backfill-1\")")
	}
	if _, err := s.Open(); err == nil {
		t.Error("got no error")
	} else if err.Error() != "backfill-1 is a Go function, it has no text" {
		t.Errorf("err.Error() = %q, want %q", err.Error(), "backfill-1 is a Go function, it has no text")
	}
	if text, ok, err := s.Text(100); text != "" {
		t.Errorf("text = %q, want %q", text, "")
	} else if ok {
		t.Error("ok = true, want false")
	} else if err != nil {
		t.Error(err)
	}
	a, err := s.Analyze(sqltext.PostgreSQL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a.Statements != 0 {
		t.Errorf("a.Statements = %v, want 0", a.Statements)
	}
	for range a.All() {
		t.Error("a function has a statement")
	}
}
