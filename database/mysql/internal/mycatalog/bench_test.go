package mycatalog_test

import (
	"fmt"
	"testing"

	"github.com/whimbrel-db/whimbrel/database/mysql/internal/mycatalog"
)

// BenchmarkSnapshot reads a database of 1,000 tables of 8 columns, with a key, two indexes, a
// check, a foreign key and a comment each, and 100 views and functions; "text" creates its SQL.
//
//	make test PKG=./database/mysql/internal/mycatalog ARGS='-run=- -bench=Snapshot -benchtime=3x'
func BenchmarkSnapshot(b *testing.B) {
	conn, _ := connect(b)
	for i := range 1000 {
		run(b, conn, fmt.Sprintf(`CREATE TABLE t%d (id bigint AUTO_INCREMENT PRIMARY KEY, parent bigint, name varchar(100) NOT NULL DEFAULT '',
			at timestamp DEFAULT current_timestamp(), a int CHECK (a > 0), b decimal(10, 2), c text, d json, KEY (name), KEY (at, a), CONSTRAINT fk%[1]d FOREIGN KEY (parent) REFERENCES t%d (id)) COMMENT 'number %[1]d'`, i, max(0, i-1)))
	}
	for i := range 100 {
		run(b, conn, fmt.Sprintf("CREATE VIEW v%d AS SELECT * FROM t%[1]d; CREATE FUNCTION f%[1]d(a int) RETURNS int RETURN a + %[1]d", i))
	}
	s := snapshot(b, conn)
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			s = snapshot(b, conn)
		}
		b.ReportMetric(float64(len(s.Objects)), "objects")
	})
	b.Run("text", func(b *testing.B) {
		for b.Loop() {
			b.SetBytes(int64(len(s.Text())))
		}
	})
	b.Run("drops", func(b *testing.B) {
		for b.Loop() {
			if drops, err := mycatalog.DropAll(b.Context(), conn, nil); err != nil {
				b.Fatalf("mycatalog.DropAll(b.Context(), conn, nil): %v", err)
			} else if len(drops) != 1200 {
				b.Fatalf("mycatalog.DropAll(b.Context(), conn, nil): len(drops) = %v, want 1200", len(drops))
			}
		}
	})
}
