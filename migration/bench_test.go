package migration_test

import (
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// BenchmarkAnalyze is the cost of planning a script and of getting its statements for a driver.
func BenchmarkAnalyze(b *testing.B) {
	for name, text := range map[string]string{
		"inserts": strings.Repeat("INSERT INTO bench_rows (id, name) VALUES (1, 'the name of row 1');\n", 5000),
		"rows":    "INSERT INTO bench_rows VALUES " + strings.Repeat("(1, 'the name of row 1'), ", 50_000) + "(2, '');\n",
		"small":   "CREATE TABLE t (id bigint PRIMARY KEY, name text NOT NULL);\nCREATE INDEX i ON t (name);\n",
	} {
		for _, d := range []sqltext.Dialect{sqltext.PostgreSQL, sqltext.SQLite, sqltext.MySQL} {
			b.Run(name+"/"+d.String(), func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				b.ReportAllocs()
				n := 0
				for b.Loop() {
					a, err := migration.Text("x.sql", text).Analyze(d, []string{"whimbrel_history", "whimbrel_journal"})
					if err != nil {
						b.Fatal(err)
					}
					for range a.Body() {
						n++
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(max(n, 1)), "ns/statement")
			})
		}
	}
}
