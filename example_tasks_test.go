package whimbrel_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing/fstest"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Apply a folder of migrations in one call. An embed.FS works in the same way.
func ExampleUp() {
	ctx := context.Background()
	db, clean := empty(ctx)
	defer clean()

	result, err := whimbrel.Up(ctx, db, os.DirFS("examples/shop"))
	if err != nil {
		panic(err)
	}
	for _, step := range result.Applied {
		fmt.Println(step.Version, step.Name)
	}
	// Output:
	// 1 customers
	// 2 orders
	// 3 orders_by_customer
	// 4 order_sizes
}

// Distinguish errors by their type. The Result contains what was done before the error.
func ExampleMigrator_Up() {
	ctx := context.Background()
	db, clean := empty(ctx)
	defer clean()
	set := read(fstest.MapFS{
		"0001_ports.up.sql": {Data: []byte("CREATE TABLE ports (code text);")},
		"0002_ships.up.sql": {Data: []byte("CREATE TABLE ships (name text);\nCREATE TABEL crew (name text);")},
	})
	result, err := whimbrel.New(db, set, whimbrel.Options{}).Up(ctx)
	var (
		frozen    *whimbrel.FrozenError
		locked    *database.LockedError
		failed    *whimbrel.MigrationError
		statement *database.StatementError
	)
	switch {
	case err == nil:
		fmt.Println("up to date")
	case errors.As(err, &frozen):
		fmt.Println("frozen until", frozen.Until, frozen.Reason)
	case errors.As(err, &locked):
		fmt.Println("another process is migrating:", locked.Holder)
	case errors.As(err, &failed) && errors.As(err, &statement):
		fmt.Printf("%d applied, then migration %d failed at %s\n", len(result.Applied), failed.Version, statement.Pos)
	default:
		fmt.Println(err)
	}
	// Output:
	// 1 applied, then migration 2 failed at 0002_ships.up.sql:2:8
}

// Go to a version, then one migration further.
func ExampleMigrator_Migrate() {
	ctx := context.Background()
	m, clean := shop(ctx, whimbrel.Options{})
	defer clean()

	for _, goal := range []whimbrel.Goal{whimbrel.Version(2), whimbrel.By(1), whimbrel.Latest()} {
		result, err := m.Migrate(ctx, goal, whimbrel.ApplyOptions{Reason: "ticket 12"})
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s: %d rolled back, %d applied\n", goal, len(result.RolledBack), len(result.Applied))
	}
	// Output:
	// to version 2: 2 rolled back, 0 applied
	// 1 up: 0 rolled back, 1 applied
	// latest: 0 rolled back, 1 applied
}

// Record a migration that was applied by hand, without running it.
func ExampleMigrator_Mark() {
	ctx := context.Background()
	db, clean := empty(ctx)
	defer clean()
	m := whimbrel.New(db, read(os.DirFS("examples/shop")), whimbrel.Options{})
	if err := m.Mark(ctx, "restored from a dump", 1, 2); err != nil {
		panic(err)
	}
	st, err := m.Status(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println("applied", st.AppliedVersions(), "pending", st.PendingVersions())
	// Output:
	// applied [1 2] pending [3 4]
}

// Accept the edit of an applied file.
func ExampleMigrator_Accept() {
	ctx := context.Background()
	db, clean := empty(ctx)
	defer clean()
	var m *whimbrel.Migrator
	for _, text := range []string{"CREATE TABLE ports (name text);", "CREATE TABLE ports (name text); -- where ships go"} {
		set, err := migration.NewSet("", migration.Migration{Version: 1, Name: "ports", Up: migration.Text("0001_ports.up.sql", text)})
		if err != nil {
			panic(err)
		}
		m = whimbrel.New(db, set, whimbrel.Options{})
		_, err = m.Up(ctx)
		fmt.Println(errors.As(err, new(*whimbrel.ChecksumMismatchError)))
	}
	fmt.Println(m.Accept(ctx, "only a comment", 1), m.Verify(ctx))
	// Output:
	// false
	// true
	// <nil> <nil>
}

// Show what a reset would drop, then drop it.
func ExampleMigrator_Reset() {
	ctx := context.Background()
	m, clean := shop(ctx, whimbrel.Options{})
	defer clean()

	dry, err := m.Reset(ctx, whimbrel.ResetOptions{DryRun: true})
	if err != nil {
		panic(err)
	}
	done, err := m.Reset(ctx, whimbrel.ResetOptions{Confirm: dry.Database})
	if err != nil {
		panic(err)
	}
	fmt.Println(len(dry.Dropped), "objects in", dry.Database)
	fmt.Println(len(done.Dropped), "dropped")
	// Output:
	// 4 objects in shop.db
	// 4 dropped
}

// Stop all migrations of a database until they are allowed again.
func ExampleMigrator_Freeze() {
	ctx := context.Background()
	m, clean := shop(ctx, whimbrel.Options{})
	defer clean()

	if _, err := m.Freeze(ctx, "the big sale", time.Time{}); err != nil {
		panic(err) // a process is still migrating, if it is a *database.UnsettledError
	}
	_, err := m.Migrate(ctx, whimbrel.By(-1), whimbrel.ApplyOptions{})
	var frozen *whimbrel.FrozenError
	fmt.Println(errors.As(err, &frozen), frozen.Reason)
	if _, err := m.Thaw(ctx, ""); err != nil {
		panic(err)
	}
	_, err = m.Migrate(ctx, whimbrel.By(-1), whimbrel.ApplyOptions{})
	fmt.Println(err)
	// Output:
	// true the big sale
	// <nil>
}

// Run your own statement in a transaction under the migration lock.
func ExampleMigrator_Locked() {
	ctx := context.Background()
	m, clean := shop(ctx, whimbrel.Options{})
	defer clean()

	check := func(st *database.State) error {
		if version, _ := st.Version(); version < 2 {
			return errors.New("there are no orders yet")
		}
		return nil
	}
	err := m.Locked(ctx, check, func(tx database.Tx) error {
		return tx.Exec(ctx, migration.Text("cleanup.sql", "DELETE FROM orders;"))
	})
	fmt.Println(err)
	// Output:
	// <nil>
}

// Write the progress to a logger.
func ExampleLog() {
	ctx := context.Background()
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "duration" {
			return slog.Attr{} // which differ in every run
		}
		return a
	}}))
	_, clean := shop(ctx, whimbrel.Options{Observe: whimbrel.Log(logger)})
	defer clean()
	// Output:
	// level=INFO msg="migration done" set=default version=1 name=customers direction=up
	// level=INFO msg="migration done" set=default version=2 name=orders direction=up
	// level=INFO msg="migration done" set=default version=3 name=orders_by_customer direction=up
	// level=INFO msg="migration done" set=default version=4 name=order_sizes direction=up
}
