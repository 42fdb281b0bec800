package backfill_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"testing/fstest"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/backfill"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	_ "github.com/whimbrel-db/whimbrel/database/sqlite"
)

// Up starts the backfill and returns. Work executes it, here until it is done.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "whimbrel")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	url := "sqlite:" + filepath.ToSlash(filepath.Join(dir, "app.db"))
	db, err := database.Open(ctx, url, database.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	files := fstest.MapFS{
		"1_users.up.sql": {Data: []byte("CREATE TABLE users (id integer PRIMARY KEY, name text, email text); INSERT INTO users (name) VALUES ('ada'), ('bob');")},
		"2_email.backfill.sql": {Data: []byte(`-- whimbrel: backfill users
-- whimbrel: detach
UPDATE users SET email = name || '@example.com' WHERE id BETWEEN :first AND :last;`)},
	}
	if _, err := whimbrel.Up(ctx, db, files); err != nil {
		log.Fatal(err)
	}
	err = backfill.Work(ctx, url, backfill.WorkOptions{
		Config: backfill.Config{Hooks: backfill.Hooks{
			After: func(_ context.Context, b database.Backfill) error {
				fmt.Println(b.Name, b.State, b.RowsDone)
				return nil
			},
		}},
		Until: backfill.Done,
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// email done 2
}

// A program that uses River for its own jobs executes backfills in the same client.
func ExampleRegister() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	db := postgres.NewPool(pool, database.Options{})
	defer db.Close()
	if _, err := backfill.MigrateRiver(ctx, db, backfill.RiverOptions{}); err != nil {
		log.Fatal(err)
	}
	workers := river.NewWorkers()
	periodic, err := backfill.Register(workers, backfill.Config{Database: db})
	if err != nil {
		log.Fatal(err)
	}
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Workers:      workers,
		PeriodicJobs: []*river.PeriodicJob{periodic},
		Queues: map[string]river.QueueConfig{
			river.QueueDefault:    {MaxWorkers: 100},
			backfill.DefaultQueue: {MaxWorkers: 4},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Start(ctx); err != nil {
		log.Fatal(err)
	}
}
