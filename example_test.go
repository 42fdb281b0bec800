package whimbrel_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing/fstest"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	_ "github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/source"
)

// Open a database and apply a folder of migrations to it.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "whimbrel")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	db, err := database.Open(ctx, "sqlite:"+filepath.Join(dir, "shop.db"), database.Options{App: "shop"})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	set, err := source.Read(os.DirFS("examples/shop"), source.Options{})
	if err != nil {
		panic(err)
	}
	result, err := whimbrel.New(db, set, whimbrel.Options{}).Up(ctx)
	if err != nil {
		panic(err)
	}
	for _, done := range result.Applied {
		fmt.Println(done.Version, done.Name)
	}
	// Output:
	// 1 customers
	// 2 orders
	// 3 orders_by_customer
	// 4 order_sizes
}

// shop applies the migrations of examples/shop to an empty SQLite database.
func shop(ctx context.Context, opts whimbrel.Options) (m *whimbrel.Migrator, clean func()) {
	db, clean := empty(ctx)
	m = whimbrel.New(db, read(os.DirFS("examples/shop")), opts)
	if _, err := m.Up(ctx); err != nil {
		panic(err)
	}
	return m, clean
}

// Read a plan before you apply it.
func ExampleMigrator_Plan() {
	ctx := context.Background()
	m, clean := shop(ctx, whimbrel.Options{})
	defer clean()

	plan, err := m.Plan(ctx, whimbrel.Version(2))
	if err != nil {
		panic(err)
	}
	for _, s := range plan.Steps {
		fmt.Println(s.Direction, s.Version, s.Script.File, s.From, s.Mode)
	}
	result, err := m.Apply(ctx, plan, whimbrel.ApplyOptions{})
	fmt.Println(len(result.RolledBack), err)
	// Output:
	// down 4 0004_order_sizes.down.sql set transaction
	// down 3 0003_orders_by_customer.down.sql set transaction
	// 2 <nil>
}

func ExampleDownTo() {
	ctx := context.Background()
	m, clean := shop(ctx, whimbrel.Options{Atomic: true})
	defer clean()

	result, err := m.Migrate(ctx, whimbrel.DownTo(1), whimbrel.ApplyOptions{}) // in one transaction
	for _, done := range result.RolledBack {
		fmt.Println(done.Version, done.Name)
	}
	fmt.Println(err)
	// Output:
	// 4 order_sizes
	// 3 orders_by_customer
	// 2 orders
	// <nil>
}

func ExampleMigrator_Status() {
	ctx := context.Background()
	m, clean := shop(ctx, whimbrel.Options{})
	defer clean()
	if _, err := m.Migrate(ctx, whimbrel.By(-1), whimbrel.ApplyOptions{}); err != nil {
		panic(err)
	}
	st, err := m.Status(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println("version", st.Version)
	fmt.Println("applied", st.AppliedVersions(), "pending", st.PendingVersions())
	// Output:
	// version 3
	// applied [1 2 3] pending [4]
}

func ExampleMigrator_History() {
	ctx := context.Background()
	m, clean := shop(ctx, whimbrel.Options{})
	defer clean()
	if _, err := m.Migrate(ctx, whimbrel.Redo(1), whimbrel.ApplyOptions{Reason: "release 7"}); err != nil {
		panic(err)
	}
	for entry, err := range m.History(ctx, database.HistoryQuery{}) {
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s %d %s %q\n", entry.Direction, entry.Version, entry.Name, entry.Reason)
	}
	// Output:
	// up 1 customers ""
	// up 2 orders ""
	// up 3 orders_by_customer ""
	// up 4 order_sizes ""
	// down 4 order_sizes "release 7"
	// up 4 order_sizes "release 7"
}

// Observe receives the progress as events.
func ExampleOptions_observe() {
	ctx := context.Background()
	_, clean := shop(ctx, whimbrel.Options{Observe: func(_ context.Context, e whimbrel.Event) {
		switch e := e.(type) {
		case whimbrel.Planned:
			fmt.Println(len(e.Plan.Steps), "to do")
		case whimbrel.StepDone:
			fmt.Printf("%d/%d %s\n", e.Index+1, e.Of, e.Step.Name)
		}
	}})
	defer clean()
	// Output:
	// 4 to do
	// 1/4 customers
	// 2/4 orders
	// 3/4 orders_by_customer
	// 4/4 order_sizes
}

// A migration whose file was edited after it was applied is refused before anything runs.
func ExampleChecksumMismatchError() {
	ctx := context.Background()
	db, clean := empty(ctx)
	defer clean()

	for _, text := range []string{"CREATE TABLE ports (name text);\n", "CREATE TABLE ports (name text, depth real);\n"} {
		set := read(fstest.MapFS{"0001_ports.up.sql": {Data: []byte(text)}})
		_, err := whimbrel.New(db, set, whimbrel.Options{}).Up(ctx)
		var mismatch *whimbrel.ChecksumMismatchError
		if errors.As(err, &mismatch) {
			fmt.Print(mismatch.Version, " ", mismatch.Name, "\n", mismatch.Diff)
		}
	}
	// Output:
	// 1 ports
	// diff as applied (history entry 2) 0001_ports.up.sql
	// --- as applied (history entry 2)
	// +++ 0001_ports.up.sql
	// @@ -1,1 +1,1 @@
	// -CREATE TABLE ports (name text);
	// +CREATE TABLE ports (name text, depth real);
}

// If the database changes between Plan and Apply, Apply skips what another process has done, and
// returns a *ConflictError for any other difference.
func ExampleMigrator_Apply() {
	ctx := context.Background()
	m, clean := shop(ctx, whimbrel.Options{})
	defer clean()
	plan, err := m.Plan(ctx, whimbrel.By(-1))
	if err != nil {
		panic(err)
	}
	if _, err := m.Migrate(ctx, whimbrel.By(-1), whimbrel.ApplyOptions{}); err != nil { // in another process, say
		panic(err)
	}
	result, err := m.Apply(ctx, plan, whimbrel.ApplyOptions{})
	fmt.Println(len(result.RolledBack), result.Skipped, err)
	// Output:
	// 0 [4] <nil>
}
