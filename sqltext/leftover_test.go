package sqltext

import "testing"

func TestLeftover(t *testing.T) {
	t.Parallel()
	const index, temporary, partition = "an invalid index", "an invalid temporary index", "a partition whose detachment is pending"
	for _, tt := range []struct {
		d          Dialect
		text, want string
	}{
		{PostgreSQL, "CREATE INDEX CONCURRENTLY i ON t (x)", index},
		{PostgreSQL, "/* fast */ create unique index concurrently if not exists i on t (x)", index},
		{PostgreSQL, "DROP INDEX CONCURRENTLY i", index},
		{PostgreSQL, "REINDEX TABLE CONCURRENTLY t", temporary},
		{PostgreSQL, "REINDEX (VERBOSE, CONCURRENTLY) TABLE t", temporary},
		{PostgreSQL, "ALTER TABLE t DETACH PARTITION p CONCURRENTLY", partition},
		{PostgreSQL, "CREATE INDEX i ON t (x)", ""},
		{PostgreSQL, `CREATE INDEX "concurrently" ON t (x)`, ""},
		{PostgreSQL, "DROP INDEX i", ""},
		{PostgreSQL, "REINDEX TABLE t", ""},
		{PostgreSQL, "ALTER TABLE t DETACH PARTITION p", ""},
		{PostgreSQL, "VACUUM", ""},
		{PostgreSQL, "", ""},
		{MySQL, "ALTER TABLE t ADD INDEX i (x)", ""},
		{SQLite, "CREATE INDEX concurrently ON t (x)", ""},
	} {
		if got := (Statement{Text: tt.text}).Leftover(tt.d); got != tt.want {
			t.Errorf("%s: %s leaves %q, want %q", tt.d, tt.text, got, tt.want)
		}
	}
}
