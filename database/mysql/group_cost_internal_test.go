package mysql

import (
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Recognising a statement of many rows does not allocate for each of them.
func TestRowsOfManyRowsAllocatesLittle(t *testing.T) {
	st := sqltext.Statement{Text: "INSERT INTO a (b, c) VALUES " + strings.Repeat("(1, 'x'), ", 5000) + "(2, 'y')"}
	if _, ok := rowsOf(st); !ok {
		t.Fatal("the statement is not recognised")
	}
	if n := testing.AllocsPerRun(10, func() { rowsOf(st) }); n > 30 {
		t.Errorf("a statement of 5,000 rows costs %v allocations", n)
	}
}
