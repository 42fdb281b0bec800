package sqltext

import (
	"io"
	"runtime"
	"strings"
	"testing"
)

// statementsOf returns n statements of each common kind.
func statementsOf(n int) string {
	return strings.Repeat("INSERT INTO app.people (id, name) VALUES (1, 'Ada''s');\n-- a table\nCREATE TABLE app.t (\n\tx int NOT NULL,\n\tnumeric text DEFAULT 'x'\n);\n"+
		"ALTER TABLE app.t ADD COLUMN y numeric(10, 2);\nUPDATE t SET x = 1 WHERE y IS NULL;\nDROP TABLE IF EXISTS t;\nDELETE FROM t;\nCREATE UNIQUE INDEX i ON t (x);\n", n)
}

func scanAll(t testing.TB, s *Scanner) (n int) {
	for {
		_, err := s.Next()
		if err == io.EOF {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
}

// TestStatementsTakeNoAllocations: scanning and classifying allocates for the scanner, and for the
// text that a reader returns, but nothing for each statement or token. MySQL's DDL has a reason
// for messages, which is a string.
func TestStatementsTakeNoAllocations(t *testing.T) {
	opts := Options{Reserved: []string{"whimbrel_history", "whimbrel_journal"}}
	for _, d := range []Dialect{PostgreSQL, SQLite, MySQL} {
		for how, scanner := range map[string]func(text string) *Scanner{
			"text":   func(text string) *Scanner { return NewTextScanner(text, d, opts) },
			"reader": func(text string) *Scanner { return NewScanner(strings.NewReader(text), d, opts) },
		} {
			small, large := statementsOf(500), statementsOf(1000)
			allocations := func(text string) float64 {
				return testing.AllocsPerRun(3, func() { scanAll(t, scanner(text)) })
			}
			more := allocations(large) - allocations(small)
			allowed := 10.0
			if how == "reader" {
				allowed += 1.5 * float64(len(large)-len(small)) / blockSize
			}
			if d == MySQL {
				allowed += 4 * 500
			}
			if more > allowed {
				t.Errorf("%s, %s: 3,500 more statements take %v more allocations, want at most %v", d, how, more, allowed)
			}
		}
	}
}

// TestMemoryIsLinear: a text twice as long takes at most about twice as much memory, whatever it
// is made of.
func TestMemoryIsLinear(t *testing.T) {
	texts := map[string]func(n int) string{
		"statements":    func(n int) string { return statementsOf(n / 100) },
		"a comment":     func(n int) string { return "/*" + strings.Repeat("comment\n", n) + "*/ SELECT 1" },
		"line comments": func(n int) string { return strings.Repeat("-- comment\n", n) + "SELECT 1" },
		"a string":      func(n int) string { return "SELECT '" + strings.Repeat("it''s; ", n) + "'" },
		"rows":          func(n int) string { return "INSERT INTO t VALUES " + strings.Repeat("(1, 'a', NULL), ", n) + "(2)" },
		"nesting":       func(n int) string { return "SELECT " + strings.Repeat("(", n) + "1" + strings.Repeat(")", n) },
		"dollar quotes": func(n int) string { return "SELECT $a$" + strings.Repeat("$b$ x ", n) + "$a$" },
		"names":         func(n int) string { return "SELECT " + strings.Repeat(`"a""b", whimbrel, `, n) + "1" },
		"words":         func(n int) string { return "CREATE VIEW v AS SELECT " + strings.Repeat("a, ", n) + "1" },
	}
	for name, text := range texts {
		for _, d := range []Dialect{PostgreSQL, SQLite, MySQL} {
			allocated := func(n int) uint64 {
				var before, after runtime.MemStats
				reader := NewScanner(strings.NewReader(text(n)), d, Options{Reserved: []string{"whimbrel"}})
				runtime.ReadMemStats(&before)
				for { // an error is as good: "$a$" is no quote in every dialect
					if _, err := reader.Next(); err != nil {
						break
					}
				}
				runtime.ReadMemStats(&after)
				return after.TotalAlloc - before.TotalAlloc
			}
			allocated(1) // what is allocated once
			if small, large := allocated(30_000), allocated(60_000); large > 3*small+1<<16 {
				t.Errorf("%s, %s: a text takes %d bytes, and %d if it is twice as long", d, name, small, large)
			}
		}
	}
}

// BenchmarkStatements is the cost of statements of every common kind; see also BenchmarkScanner.
func BenchmarkStatements(b *testing.B) {
	text := statementsOf(2000)
	for _, d := range []Dialect{PostgreSQL, SQLite, MySQL} {
		b.Run(d.String(), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n += scanAll(b, NewTextScanner(text, d, Options{Reserved: []string{"whimbrel_history", "whimbrel_journal"}}))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/statement")
		})
	}
}
