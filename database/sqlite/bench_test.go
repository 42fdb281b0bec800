package sqlite_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// fast avoids waiting for the disk, which would dominate otherwise.
const fast = "?_pragma=synchronous(0)"

func BenchmarkState1000(b *testing.B) {
	db := connect(b, "sqlite:"+filepath.Join(b.TempDir(), "app.db")+fast, database.Options{})
	tx := begin(b, db)
	for v := range int64(1000) {
		e := event(v)
		e.Name, e.UpText, e.DownText, e.HasDownText = fmt.Sprintf("create table number %d", v), strings.Repeat("up ", 200), "down", true
		e.DownChecksum = migration.Sum("y")
		must(b, tx.Record(bg, e))
	}
	must(b, errOf(tx.Commit(bg)))
	b.ReportAllocs()
	for b.Loop() {
		st, err := db.State(bg, "app")
		must(b, err)
		if st.Applied.Len() != 1000 {
			b.Fatal(st.Applied.Len())
		}
	}
}

// BenchmarkStatements runs a script of 5,000 statements.
func BenchmarkStatements(b *testing.B) {
	var s strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&s, "CREATE TABLE t%d (id INTEGER PRIMARY KEY, name TEXT NOT NULL);\n", i)
	}
	benchmarkScript(b, s.String())
}

// BenchmarkInserts runs 20 MB of INSERT statements.
func BenchmarkInserts(b *testing.B) {
	var s strings.Builder
	s.WriteString("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, about TEXT);\n")
	for i := 0; s.Len() < 20<<20; i++ {
		fmt.Fprintf(&s, "INSERT INTO t VALUES (%d, 'name of number %d', 'some more to make a line of 100 bytes');\n", i, i)
	}
	benchmarkScript(b, s.String())
}

func benchmarkScript(b *testing.B, script string) {
	db := connect(b, "sqlite:"+filepath.Join(b.TempDir(), "app.db")+fast, database.Options{})
	b.SetBytes(int64(len(script)))
	b.ReportAllocs()
	for b.Loop() {
		tx := begin(b, db)
		must(b, tx.Exec(bg, text(script)))
		must(b, tx.Rollback(bg))
	}
}

// BenchmarkTransactions applies 1,000 migrations, each in its own transaction.
func BenchmarkTransactions(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		db := connect(b, "sqlite:"+filepath.Join(b.TempDir(), "app.db")+fast, database.Options{})
		for v := range int64(1000) {
			apply(b, db, v, fmt.Sprintf("CREATE TABLE t%d (id INTEGER PRIMARY KEY, name TEXT NOT NULL);", v))
		}
		db.Close()
	}
}
