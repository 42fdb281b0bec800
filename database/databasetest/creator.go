package databasetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// RunCreator tests the driver of a URL as a [database.Creator]. The URL must name a database that
// does not exist. When RunCreator returns, it does not exist again.
func RunCreator(t *testing.T, url string) {
	t.Helper()
	ctx, opts := t.Context(), database.Options{}
	fail := func(what string, got bool, err error, want bool) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if got != want {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	defer func() { _, _ = database.Drop(ctx, url, database.DropOptions{Force: true}) }() // if the test fails

	dropped, err := database.Drop(ctx, url, database.DropOptions{})
	fail("dropped a database that does not exist", dropped, err, false)

	// One of several processes creates it.
	const processes = 4
	var all sync.WaitGroup
	var mu sync.Mutex
	creators := 0
	for range processes {
		all.Go(func() {
			created, err := database.Create(ctx, url, opts)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("Create: %v", err)
			}
			if created {
				creators++
			}
		})
	}
	all.Wait()
	if creators != 1 {
		t.Errorf("%d of %d processes created the database, want 1", creators, processes)
	}
	created, err := database.Create(ctx, url, opts)
	fail("created a database that exists", created, err, false)

	use(t, url)
	created, err = database.Create(ctx, url, opts)
	fail("created a database with a history", created, err, false)
	use(t, url) // Create changed nothing

	dropped, err = database.Drop(ctx, url, database.DropOptions{})
	fail("dropped the database", dropped, err, true)
	dropped, err = database.Drop(ctx, url, database.DropOptions{})
	fail("dropped the database a second time", dropped, err, false)

	created, err = database.Create(ctx, url, opts)
	fail("created the database again", created, err, true)
	occupied(t, url)
}

// use opens the database and takes its migration lock, which creates Whimbrel's tables.
func use(t *testing.T, url string) {
	t.Helper()
	db, err := database.Open(t.Context(), url, database.Options{})
	if err != nil {
		t.Fatalf("Open of a database that was created: %v", err)
	}
	defer db.Close()
	rollback(t, begin(t, db))
}

func rollback(t *testing.T, tx database.Tx) {
	t.Helper()
	if err := tx.Rollback(t.Context()); err != nil {
		t.Errorf("Rollback: %v", err)
	}
}

func begin(t *testing.T, db database.Database) database.Tx {
	t.Helper()
	tx, _, err := db.Begin(t.Context(), migration.DefaultSet, database.LockOptions{Timeout: time.Minute})
	if err != nil {
		t.Fatalf("Begin: %v", err)
	}
	return tx
}

// occupied checks that a database with a client is dropped only by force.
func occupied(t *testing.T, url string) {
	t.Helper()
	db, err := database.Open(t.Context(), url, database.Options{})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	tx := begin(t, db)
	dropped, err := database.Drop(t.Context(), url, database.DropOptions{})
	var e *database.OccupiedError
	if !errors.As(err, &e) {
		t.Errorf("Drop with a client: got %v, want an *OccupiedError", err)
	}
	if dropped {
		t.Error("Drop with a client: dropped the database")
	}

	if dropped, err := database.Drop(t.Context(), url, database.DropOptions{Force: true}); !dropped || err != nil {
		t.Errorf("Drop by force: got %v, %v", dropped, err)
	}
	_ = tx.Rollback(context.WithoutCancel(t.Context())) // its session is gone
	db.Close()
}
