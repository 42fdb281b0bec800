package source

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// sized is a file on disk whose length was read before its text.
type sized struct {
	io.Reader
	size  int64
	reads int
	open  bool
}

func (s *sized) Read(p []byte) (int, error) { s.reads++; return s.Reader.Read(p) }
func (s *sized) Close() error               { s.open = false; return nil }
func (s *sized) sizeOnDisk() int64          { return s.size }

// A file on disk is read once if it has the length that the system says. If it has changed, or the
// system does not know its length, it is read to its end.
func TestAFileIsReadOnce(t *testing.T) {
	t.Parallel()
	const text = "SELECT 1;"
	for what, tt := range map[string]struct {
		r         io.Reader
		size      int64
		reads     int
		want, end string
	}{
		"as long as the system says": {strings.NewReader(text), 9, 1, text, ""},
		"longer meanwhile":           {strings.NewReader(text), 4, 2, text, ""},
		"shorter meanwhile":          {strings.NewReader(text), 12, 2, text, ""},
		"of unknown length":          {strings.NewReader(text), 0, 2, text, ""},
		"in pieces":                  {iotest.OneByteReader(strings.NewReader(text)), 9, 9, text, ""},
		"empty":                      {strings.NewReader(""), 0, 1, "", ""},
		"too long":                   {strings.NewReader(strings.Repeat("x", 20)), 20, 1, strings.Repeat("x", 16), "xxxx"},
		"as long as the buffer":      {strings.NewReader(strings.Repeat("x", 16)), 16, 1, strings.Repeat("x", 16), ""},
	} {
		f := &sized{Reader: tt.r, size: tt.size, open: true}
		got, rest, err := beginning(f, "x.sql", make([]byte, 16), 0)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if string(got) != tt.want {
			t.Errorf("%s: the text is %q, want %q", what, got, tt.want)
		}
		if f.reads != tt.reads {
			t.Errorf("%s: %d reads, want %d", what, f.reads, tt.reads)
		}
		if f.open != (rest != nil) {
			t.Errorf("%s: the file is open: %v, and there is a rest: %v", what, f.open, rest != nil)
		}
		if rest != nil {
			if end, err := io.ReadAll(rest); err != nil || string(end) != tt.end {
				t.Errorf("%s: the rest is %q (error %v), want %q", what, end, err, tt.end)
			}
		}
	}
	boom := errors.New("boom")
	f := &sized{Reader: iotest.ErrReader(boom), open: true}
	if _, _, err := beginning(f, "x.sql", make([]byte, 16), 0); !errors.Is(err, boom) || f.open {
		t.Errorf("after an error of Read: %v, open: %v", err, f.open)
	}
}
