package sqltext

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

func benchmarkText(name string) string {
	var b strings.Builder
	for i := 0; b.Len() < 8<<20; i++ {
		switch name {
		case "inserts":
			fmt.Fprintf(&b, "INSERT INTO people (id, name, email, created_at) VALUES (%d, 'Ada %d', 'ada%d@example.com', '2024-02-03 04:05:06');\n", i, i, i)
		case "strings":
			fmt.Fprintf(&b, "INSERT INTO notes (id, body) VALUES (%d, '%s');\n", i, strings.Repeat("the quick brown fox; it''s here. ", 30))
		case "ddl":
			fmt.Fprintf(&b, "-- table %d\nCREATE TABLE app.t%d (\n\tid bigint PRIMARY KEY,\n\tname text NOT NULL DEFAULT 'x',\n\tprice numeric(10, 2) CHECK (price > 0)\n);\n", i, i)
		case "oneline":
			if i == 0 {
				b.WriteString("INSERT INTO people VALUES ")
			}
			fmt.Fprintf(&b, "(%d,'Ada %d','ada%d@example.com',NULL,12.50),", i, i, i)
		}
	}
	return b.String()
}

func BenchmarkScanner(b *testing.B) {
	for _, name := range []string{"inserts", "strings", "ddl", "oneline"} {
		text := benchmarkText(name)
		for _, d := range []Dialect{PostgreSQL, SQLite, MySQL} {
			b.Run(name+"/"+d.String(), func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				for b.Loop() {
					s := NewScanner(strings.NewReader(text), d, Options{Reserved: []string{"whimbrel_history", "whimbrel_journal"}})
					for {
						if _, err := s.Next(); err == io.EOF {
							break
						} else if err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		}
	}
}
