package sqlite_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
)

// A statement that succeeds allocates nothing.
func TestAllocationsOfStatements(t *testing.T) {
	db := connect(t, "sqlite:"+filepath.Join(t.TempDir(), "app.db"), database.Options{})
	tx := begin(t, db)
	allocations := func(statements int) float64 {
		script := text(strings.Repeat("SELECT 1;\n", statements))
		return testing.AllocsPerRun(3, func() { must(t, tx.Exec(bg, script)) })
	}
	const more = 1000
	if each := (allocations(more+100) - allocations(100)) / more; each > 0.1 {
		t.Errorf("each statement allocates %.1f times, want 0", each)
	}
	must(t, tx.Rollback(bg))
}
