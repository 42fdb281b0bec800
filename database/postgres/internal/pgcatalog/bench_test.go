package pgcatalog_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// BenchmarkSnapshot reads a database of 10,000 tables of 8 columns, with a key, two indexes, a
// check, a foreign key, a comment and a grant each; "text" formats its SQL, "compare"
// finds no difference.
//
//	make test PKG=./database/postgres/internal/pgcatalog ARGS='-run=- -bench=Snapshot -benchtime=3x'
func BenchmarkSnapshot(b *testing.B) {
	url := testdb.Postgres(b)
	conn := connect(b, url)
	for from := 0; from < 10_000; from += 500 { // each table takes locks until its transaction ends
		var script strings.Builder
		for i := from; i < from+500; i++ {
			fmt.Fprintf(&script, `CREATE TABLE t%d (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, parent bigint REFERENCES t%d, name text NOT NULL DEFAULT '',
				at timestamptz DEFAULT now(), a integer CHECK (a > 0), b numeric(10, 2), c text[], d jsonb);
				CREATE INDEX ON t%[1]d (name); CREATE INDEX ON t%[1]d (at) WHERE a > 1; COMMENT ON TABLE t%[1]d IS 'number %[1]d'; GRANT SELECT ON t%[1]d TO pg_monitor;`, i, max(0, i-1))
		}
		mustExec(b, conn, script.String())
	}
	mustExec(b, conn, "ANALYZE")
	var s *catalog.Snapshot
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			s = snapshot(b, url, catalog.Options{})
		}
		b.ReportMetric(float64(len(s.Objects)), "objects")
	})
	if s == nil {
		s = snapshot(b, url, catalog.Options{})
	}
	b.Run("text", func(b *testing.B) {
		for b.Loop() {
			b.SetBytes(int64(len(s.Text())))
		}
	})
	b.Run("compare", func(b *testing.B) {
		other := *s
		for b.Loop() {
			if changes := catalog.Compare(s, &other); len(changes) > 0 {
				b.Fatalf("catalog.Compare(s, &other): len(changes) = %v, want at most %v", len(changes), 0)
			} else if got, want := s.Fingerprint(), other.Fingerprint(); got != want {
				b.Fatalf("catalog.Compare(s, &other): s.Fingerprint() = %v, want %v", got, want)
			}
		}
	})
}
