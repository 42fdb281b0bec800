package migration_test

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// various is a text with every kind of piece, and with the facts that few statements have.
const various = `-- a comment
BEGIN ISOLATION LEVEL SERIALIZABLE;
  CREATE TABLE "ü" (x text DEFAULT 'ä;'); ;
CREATE INDEX CONCURRENTLY i ON t (x);	/* after it */ SET LOCAL a.b = 1;
ALTER TYPE mood ADD VALUE 'glad'; ALTER TYPE mood RENAME VALUE 'a' TO 'b';
\restrict x
COPY t FROM stdin;
1	a
2	b
\.
INSERT INTO whimbrel_history VALUES (1);
CREATE TEMP TABLE y (z int) ON COMMIT DROP;
PRAGMA foreign_keys = off; UPDATE t SET x = 'ö
'; COMMIT
-- the end`

// cut returns the pieces as the scanner finds them.
func cut(t *testing.T, s *migration.Script, d sqltext.Dialect) (all []sqltext.Statement) {
	t.Helper()
	r, err := s.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for st, err := range sqltext.NewScanner(r, d, sqltext.Options{File: s.File, Line: s.Line}).All() {
		if err != nil {
			t.Fatal(err)
		}
		if st.Kind != sqltext.Client && st.Kind != sqltext.Empty {
			all = append(all, st)
		}
	}
	return all
}

func collect(t *testing.T, a *migration.Analysis) (all []sqltext.Statement) {
	t.Helper()
	for st, err := range a.All() {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, st)
	}
	return all
}

// TestAnalysisKeepsThePieces checks that the statements which Analyze has found are those that the
// scanner finds, whether the text is in memory, read again, or has too many statements to keep.
func TestAnalysisKeepsThePieces(t *testing.T) {
	t.Parallel()
	long := various + strings.Repeat("\n;INSERT INTO t VALUES ('"+strings.Repeat("é", 50_000)+"')", 4)
	for name, text := range map[string]string{
		"short": various, "empty": "", "long": long, "many": strings.Repeat("SELECT 1;\nSELECT 'é';", 10_000),
	} {
		for _, d := range []sqltext.Dialect{sqltext.PostgreSQL, sqltext.SQLite} {
			if d == sqltext.SQLite {
				text = strings.ReplaceAll(text, "\\", "-- ")
			}
			streamed, err := migration.StreamKeeping("x.sql", 0, (&opener{data: []byte("\ufeff" + text)}).open)
			if err != nil {
				t.Fatal(err)
			}
			for how, s := range map[string]*migration.Script{"in memory": migration.Text("x.sql", text), "streamed": streamed} {
				t.Run(fmt.Sprintf("%s/%s/%s", name, d, how), func(t *testing.T) {
					s.Line = 7
					a, err := s.Analyze(d, []string{"whimbrel_history"})
					if err != nil {
						t.Fatal(err)
					}
					want := cut(t, s, d)
					for range 2 {
						if got := collect(t, a); !reflect.DeepEqual(got, want) {
							t.Errorf("All returns\n%+v, want\n%+v", got, want)
						}
					}
				})
			}
		}
	}
}

// TestStatementsAreCutOnce: once a script is analyzed, its statements take nothing but the strings
// that are read.
func TestStatementsAreCutOnce(t *testing.T) {
	const n = 5000
	text := strings.Repeat("INSERT INTO t (a, b) VALUES (1, 'the name of a row');\n", n)
	o := &opener{data: []byte(text)}
	streamed, err := migration.Stream("x.sql", o.open)
	if err != nil {
		t.Fatal(err)
	}
	for how, c := range map[string]struct {
		script *migration.Script
		most   float64
	}{
		"in memory": {migration.Text("x.sql", text), 10},
		"streamed":  {streamed, 20 + 2*float64(len(text)>>15)}, // a string, and at most one growth, for each 32 KiB
	} {
		a, err := c.script.Analyze(sqltext.PostgreSQL, nil)
		if err != nil {
			t.Fatal(err)
		}
		allocs := testing.AllocsPerRun(5, func() {
			statements := 0
			for _, err := range a.All() {
				if err != nil {
					t.Fatal(err)
				}
				statements++
			}
			if statements != n {
				t.Fatalf("%d statements", statements)
			}
		})
		if allocs > c.most {
			t.Errorf("%s: %d statements take %v allocations, want at most %v", how, n, allocs, c.most)
		}
	}
}

// TestChangedTextIsNotReturned: a statement that differs from the one that was analyzed is an error
// in its place, and so is a text with another end.
func TestChangedTextIsNotReturned(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("SELECT 1;\n", 5000) + strings.Repeat("SELECT '"+strings.Repeat("x", 300_000)+"';\n", 2)
	for name, c := range map[string]struct {
		changed string
		good    int // statements that come first
	}{
		"the first":      {strings.Replace(text, "1", "2", 1), 0},
		"the last":       {text[:len(text)-10] + "y" + text[len(text)-9:], 5001},
		"cut elsewhere":  {strings.Replace(text, "1;", "1 ", 1), 0},
		"longer":         {text + "SELECT 2;", 5002},
		"shorter":        {text[:len(text)-20], 5001},
		"shorter by two": {text[:25], 2},
		"nothing":        {"", 0},
	} {
		o := &opener{data: []byte(text)}
		s, err := migration.Stream("x.sql", o.open)
		if err != nil {
			t.Fatal(err)
		}
		a, err := s.Analyze(sqltext.PostgreSQL, nil)
		if err != nil {
			t.Fatal(err)
		}
		o.data = []byte(c.changed)
		good := 0
		for _, err = range a.All() {
			if err == nil {
				good++
			}
		}
		if !errors.Is(err, migration.ErrChanged) || !strings.Contains(err.Error(), "x.sql") {
			t.Errorf("%s: got %v, want %v", name, err, migration.ErrChanged)
		}
		if good != c.good {
			t.Errorf("%s: %d statements before the error, want %d", name, good, c.good)
		}
	}
	broken := errors.New("the disk is on fire")
	first := true
	s, err := migration.StreamKeeping("x.sql", 0, func() (io.ReadCloser, error) {
		if first {
			return io.NopCloser(strings.NewReader("SELECT 1; SELECT 2")), nil
		}
		return nil, broken
	})
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.Analyze(sqltext.PostgreSQL, nil)
	if err != nil {
		t.Fatal(err)
	}
	first = false
	for _, err := range a.All() {
		if err != broken {
			t.Errorf("got %v, want %v", err, broken)
		}
	}
}

// TestAnalyzeOfATextThatGrows: a file can become longer after its checksum was computed.
func TestAnalyzeOfATextThatGrows(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"SELECT 1;\n", strings.Repeat("\n", 40) + "SELECT 1;\n"} {
		for _, n := range []int{20, 60, 1000, 10_000} {
			o := &opener{data: []byte(strings.Repeat(line, n))}
			s, err := migration.StreamKeeping("x.sql", 0, o.open)
			if err != nil {
				t.Fatal(err)
			}
			o.data = []byte(strings.Repeat(line, n*19/10))
			if _, err := s.Analyze(sqltext.PostgreSQL, nil); !errors.Is(err, migration.ErrChanged) {
				t.Errorf("%d statements: Analyze returns %v, want %v", n, err, migration.ErrChanged)
			}
		}
	}
}

// TestAnalyzeIsLinear: twice as many statements take twice as many allocations, at most.
func TestAnalyzeIsLinear(t *testing.T) {
	allocations := func(n int) float64 {
		text := strings.Repeat("INSERT INTO t VALUES ('x');\nCREATE TABLE t (x int);\nUPDATE t SET x = 1;\n", n)
		return testing.AllocsPerRun(3, func() {
			if _, err := migration.Text("x.sql", text).Analyze(sqltext.SQLite, []string{"whimbrel_history"}); err != nil {
				t.Fatal(err)
			}
		})
	}
	if small, large := allocations(1000), allocations(2000); large > small+20 {
		t.Errorf("3,000 statements take %v allocations, 6,000 take %v", small, large)
	}
}

// TestAnalyzeOfLongStatementsTakesLittle: the places of a few long statements take no more memory
// than they need.
func TestAnalyzeOfLongStatementsTakesLittle(t *testing.T) {
	text := strings.Repeat("INSERT INTO t VALUES ('"+strings.Repeat("x", 50_000)+"');\n", 8)
	script := migration.Text("x.sql", text)
	got := allocated(func() {
		if _, err := script.Analyze(sqltext.PostgreSQL, nil); err != nil {
			t.Fatal(err)
		}
	})
	if most := uint64(len(text) + 64<<10); got > most { // a copy of the text, and little else
		t.Errorf("a text of %d bytes takes %d bytes, want at most %d", len(text), got, most)
	}
}
