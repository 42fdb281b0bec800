package sqlite_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/databasetest"
)

func TestCreator(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	databasetest.RunCreator(t, "sqlite:"+filepath.ToSlash(filepath.Join(dir, "[a]*.db")))
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range left {
		t.Errorf("%s is left", f.Name())
	}
}

// A file that is no database is not removed, and no folder is created.
func TestDropRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "letter.txt")
	if err := os.WriteFile(file, []byte("Dear Ann, this is a letter and no database at all, however long it may become.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if dropped, err := database.Drop(t.Context(), "sqlite:"+filepath.ToSlash(file), database.DropOptions{Force: true}); err == nil || dropped {
		t.Errorf("dropped a letter: %v, %v", dropped, err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	for _, url := range []string{"sqlite::memory:", "sqlite:" + filepath.ToSlash(filepath.Join(dir, "nosuch", "app.db"))} {
		if created, err := database.Create(t.Context(), url, database.Options{}); err == nil || created {
			t.Errorf("%s: created: %v, %v", url, created, err)
		}
	}
}
