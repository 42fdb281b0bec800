package postgres

import (
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// TestChunkKeepsPlaces: a chunk finds each statement again, with its place, index and text,
// although it keeps only the text of the message.
func TestChunkKeepsPlaces(t *testing.T) {
	text := "SELECT 'ä';\n  /* ö */ INSERT INTO a VALUES ('ü'\n); -- end\n\nSELECT 3"
	all, err := sqltext.Split(text, sqltext.PostgreSQL, sqltext.Options{File: "f.sql", Line: 10})
	if err != nil {
		t.Fatal(err)
	}
	k := newChunk(0)
	k.begin("SET LOCAL application_name = 'x'")
	for _, st := range all {
		k.add(st)
	}
	for i, want := range all {
		got := k.statement(k.text(), i)
		if got.Raw != want.Raw || got.Text != want.Text || got.Start != want.Start || got.Pos != want.Pos || got.Index != want.Index {
			t.Errorf("statement %d is %+v, want %+v", i, got, want)
		}
	}
	if got := (&sent{chunk: k, message: true}).list(); len(got) != len(all) || got[1].st.Text != all[1].Text {
		t.Errorf("the watcher gets %+v", got)
	}
}

// TestChunksTakeFewAllocations: the statements of a chunk take no memory of their own.
func TestChunksTakeFewAllocations(t *testing.T) {
	all, err := sqltext.Split(strings.Repeat("INSERT INTO a VALUES (1, 'the name of a row');\n", 5000), sqltext.PostgreSQL, sqltext.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(5, func() {
		k := newChunk(chunkBytes)
		for _, st := range all {
			k.add(st)
		}
	}); n > 30 {
		t.Errorf("a chunk of %d statements takes %v allocations", len(all), n)
	}
}

func TestHasDollarNumber(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "$": false, "$1": true, "SELECT $$a$$, $9": true, "$a$ x $a$": false, "a$": false, "$$1": true,
	} {
		if got := hasDollarNumber(text); got != want {
			t.Errorf("hasDollarNumber(%q) = %v", text, got)
		}
	}
}

// BenchmarkLimiter is what each statement of a long script costs before it is sent.
func BenchmarkLimiter(b *testing.B) {
	for name, text := range map[string]string{
		"INSERT": "INSERT INTO people (id, name) VALUES (1, 'Ada')", "CREATE": "CREATE TABLE t (x int, y text NOT NULL DEFAULT 'x')",
		"long": "INSERT INTO people VALUES " + strings.Repeat("(1, 'Ada'), ", 1000),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var l limiter
			for b.Loop() {
				l.before(sqltext.Statement{Text: text}, 0)
			}
		})
	}
}
