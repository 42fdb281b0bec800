package jobs_test

import (
	"path/filepath"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	_ "github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/examples/jobs"
)

func TestLibraryBesideAnApplication(t *testing.T) {
	t.Parallel()
	db, err := database.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "app.db"), database.Options{App: "example"})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for range 2 { // the second time nothing is pending
		q, err := jobs.New(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		defer q.Uninstall(t.Context())
	}
	st, err := db.State(t.Context(), "example.com/jobs")
	if err != nil {
		t.Fatal(err)
	}
	version, interrupted := st.Version()
	if version != 2 {
		t.Errorf("the version is %d, want 2", version)
	}
	if interrupted {
		t.Error("a run is interrupted")
	}
}
