package sqlite

import (
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
)

// Filling in the tables' names is a part of each start.
func TestAllocationsOfTheStatements(t *testing.T) {
	names := database.Options{}.TableNames()
	if n := testing.AllocsPerRun(10, func() { newStatements(names) }); n > 90 {
		t.Errorf("the statements take %v allocations, want at most 90", n)
	}
}
