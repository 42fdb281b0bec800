package jobs_test

import (
	"context"
	"database/sql"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/riverqueue/river"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/examples/jobs"
)

func startSQLite(t *testing.T, opts jobs.SQLiteOptions) *jobs.Queue[*sql.Tx] {
	t.Helper()
	q, err := jobs.StartSQLite(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := q.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	return q
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "app.db")
	w := newTogether(2)
	config := working(w.work, river.QueueDefault)
	config.JobTimeout = -1
	options := jobs.SQLiteOptions{
		File: file, River: config, Limits: jobs.Limits{Queues: map[string]int{river.QueueDefault: 2}, Lease: time.Hour},
	}
	q := startSQLite(t, options)
	startSQLite(t, options)
	wantVersions(t, q, allVersions[1:])
	for range 20 {
		if _, err := q.River.Insert(t.Context(), task{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for {
		counts, err := q.Counts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if counts[river.QueueDefault]["completed"] == 20 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if w.max != 2 {
		t.Errorf("%d jobs worked at the same time, want 2", w.max)
	}
}

func TestTwentyProcessesStartAtOnceOnSQLite(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "app.db")
	var children []*exec.Cmd
	for range 20 {
		children = append(children, startChild(t, childOptions{File: file}))
	}
	for _, child := range children {
		if err := child.Wait(); err != nil {
			t.Errorf("a process failed: %v", err)
		}
	}
	wantVersions(t, startSQLite(t, jobs.SQLiteOptions{File: file}), allVersions[1:])
}

func TestRollbackOnSQLite(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "app.db")
	for _, target := range []int64{8, 5, 1, whimbrel.NilVersion} {
		q := startSQLite(t, jobs.SQLiteOptions{File: file})
		if err := q.Rollback(t.Context(), target); err != nil {
			t.Fatalf("to %d: %v", target, err)
		}
		wantVersions(t, q, allVersions[1:max(0, target)+1])
		if err := q.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func wantVersions(t *testing.T, q *jobs.Queue[*sql.Tx], applied []int64) {
	t.Helper()
	got, err := q.Migrations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(jobs.Migrations{Known: allVersions[1:], Applied: applied}, got); diff != "" {
		t.Errorf("migrations (-want +got):\n%s", diff)
	}
}

func TestStopAndTheHandleOfSQLite(t *testing.T) {
	t.Parallel()
	handle, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "app.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Close()
	q, err := jobs.StartSQLite(t.Context(), jobs.SQLiteOptions{DB: handle})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := handle.Ping(); err != nil {
		t.Errorf("the caller's handle after Stop: %v", err)
	}
	for name, opts := range map[string]jobs.SQLiteOptions{"neither": {}, "both": {DB: handle, File: "app.db"}} {
		if _, err := jobs.StartSQLite(t.Context(), opts); err == nil {
			t.Errorf("%s a handle and a file: no error", name)
		}
	}
}
