package sqltext

import "testing"

func TestEquivalent(t *testing.T) {
	t.Parallel()
	tests := []struct {
		d    Dialect
		a, b string
		want bool
	}{
		{PostgreSQL, "CREATE TABLE t (x);", "-- a table\ncreate", false},
		{PostgreSQL, "CREATE TABLE t (x);", "-- a table\nCREATE  TABLE t ( /* one /* nested */ */ x ) ;\n", true},
		{PostgreSQL, "SELECT 1; SELECT 2", "SELECT 1;\n\n; SELECT 2;", true},
		{PostgreSQL, "SELECT 'a  b'", "SELECT 'a b'", false},
		{PostgreSQL, "SELECT $$ -- x\n$$", "SELECT $$ $$", false},
		{PostgreSQL, `SELECT "a b"`, `SELECT "a  b"`, false},
		{PostgreSQL, "SELECT ab", "SELECT a b", false},
		{PostgreSQL, "SELECT 1", "SELECT 1; SELECT 2", false},
		{PostgreSQL, "COPY t FROM stdin;\na\n\\.\n", "COPY  t FROM stdin;\na\n\\.\n", true},
		{PostgreSQL, "COPY t FROM stdin;\na\n\\.\n", "COPY t FROM stdin;\nb\n\\.\n", false},
		{PostgreSQL, "SELECT '", "SELECT  '", false},
		{PostgreSQL, "SELECT '", "SELECT '", true},
		{SQLite, "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END;", "CREATE TRIGGER r AFTER INSERT ON t\nBEGIN\n  SELECT 1; -- one\nEND;", true},
		{SQLite, "SELECT [a b]", "SELECT [a  b]", false},
		{MySQL, "SELECT 1 # one\n", "SELECT 1", true},
		{MySQL, "SELECT 1 /*!40101 +1 */", "SELECT 1", false},
		{MySQL, "SELECT `a`, \"b c\"", "SELECT `a` , \"b c\"", true},
		{MySQL, "DELIMITER //\nCREATE PROCEDURE p() BEGIN SELECT 1; END//\nDELIMITER ;\n", "DELIMITER //\nCREATE PROCEDURE p()\nBEGIN SELECT 1; /* x */ END//\nDELIMITER ;\n", true},
	}
	for _, tt := range tests {
		if got := Equivalent(tt.a, tt.b, tt.d); got != tt.want {
			t.Errorf("%v: Equivalent(%q, %q) is %v", tt.d, tt.a, tt.b, got)
		}
		if got := Equivalent(tt.b, tt.a, tt.d); got != tt.want {
			t.Errorf("%v: it is not symmetric for %q and %q", tt.d, tt.a, tt.b)
		}
	}
}
