package report_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	_ "github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/metadata/metadb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/report"
	"github.com/whimbrel-db/whimbrel/source"
)

// shopSet are the migrations of a small shop.
func shopSet(t *testing.T) *migration.Set {
	t.Helper()
	set, err := source.Read(fstest.MapFS{
		"0001_customers.up.sql": {Data: []byte("CREATE TABLE customers (id integer PRIMARY KEY, email text NOT NULL UNIQUE);\n")},
		"0002_orders.up.sql":    {Data: []byte("CREATE TABLE orders (id integer PRIMARY KEY, customer integer NOT NULL REFERENCES customers(id));\n")},
		"0003_payments.up.sql":  {Data: []byte("CREATE TABLE payments (id integer PRIMARY KEY, \"<b>\" text);\n")},
	}, source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// migrated returns a Migrator of a new SQLite database at a version of the shop.
func migrated(t *testing.T, to int64) *whimbrel.Migrator {
	t.Helper()
	db, err := database.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "shop.db"), database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	m := whimbrel.New(db, shopSet(t), whimbrel.Options{})
	if _, err := m.Migrate(t.Context(), whimbrel.UpTo(to), whimbrel.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	return m
}

func read(t *testing.T, m *whimbrel.Migrator, opts report.Options) *report.Target {
	t.Helper()
	target, err := report.Read(t.Context(), m, shopSet(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// shop is a report about three environments: one has a pending migration, one is frozen and
// behind, and one can't be read.
func shop(t *testing.T) report.Page {
	t.Helper()
	local, production := migrated(t, 2), migrated(t, 1)
	doc, err := metadata.NewDocument(metadata.Entry{Name: metadata.Name{Kind: metadata.Table, Object: "orders"}, Facts: metadata.Facts{Owner: "sales"}})
	if err != nil {
		t.Fatal(err)
	}
	before := read(t, local, report.Options{Name: "local"})
	if _, err := metadb.Apply(t.Context(), local, doc, metadb.Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := production.Freeze(t.Context(), "end of the quarter", time.Time{}); err != nil {
		t.Fatal(err)
	}
	target := read(t, local, report.Options{Name: "local"})
	target.History = before.History // without the change of the metadata
	return report.Page{Title: "Shop", Targets: []*report.Target{
		target, read(t, production, report.Options{Name: "production"}), {Name: "gone", Problem: errors.New("connection refused")},
	}}
}

// hostilePage is a report in which everything that is data is hostile.
func hostilePage() report.Page {
	p := report.Page{Title: "</title><script>alert(0)</script>"}
	for i, name := range []string{
		"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "</style><script>alert(2)</script>", "a\u202eb", "\x1b[31m\x00", "{{.Title}}",
		strings.Repeat("long", 100), "javascript:alert(1)", "]]></desc></svg><script>alert(3)</script>",
	} {
		problem := errors.New(name)
		script := migration.Text(name, name)
		t := &report.Target{
			Name: name, Address: name, Refused: nil, DriftProblem: problem, Checked: true,
			Status: &whimbrel.Status{
				Set: name, Database: name, Version: int64(i),
				Interrupted:   &database.Journal{Version: 1, Name: name, Direction: "up", Host: name, Error: name, Of: 3},
				InterruptedAt: name,
				Migrations:    []whimbrel.MigrationStatus{{Version: 1, Name: name, State: whimbrel.StatePending, Problem: problem}},
				Repeatables:   []whimbrel.RepeatableStatus{{Name: name, State: whimbrel.StateModified, Problem: problem}},
			},
			Plan:    &whimbrel.Plan{Steps: []whimbrel.Step{{Version: 1, Name: name, Direction: "up", Script: script, Why: name, Mode: whimbrel.OutsideTransaction}}},
			History: []database.Entry{{Version: 1, Name: name, Direction: database.Direction(name), DBUser: name, OSUser: name, Host: name, Actor: name, Tried: database.Direction(name), Error: name, Reason: name}},
			Drift:   []catalog.Change{{Kind: catalog.Kind(name), Name: name, Change: catalog.Changed, Detail: name, Expected: name, Found: name}},
			Snapshot: &catalog.Snapshot{Dialect: "sqlite", Server: name, Objects: []catalog.Object{
				{Kind: catalog.Table, Name: name, SQL: []string{name}},
				{Kind: catalog.Column, Of: name, Name: name, Attrs: []catalog.Attr{{Name: "type", Value: name}, {Name: "comment", Value: "'" + name + "'"}}},
			}},
		}
		if i%2 == 1 {
			t.Plan, t.Refused = nil, problem
		}
		p.Targets = append(p.Targets, t, &report.Target{Name: name, Address: name, Problem: problem})
	}
	return p
}

func TestReadChangesNothing(t *testing.T) {
	t.Parallel()
	m := migrated(t, 2)
	first := read(t, m, report.Options{})
	scratch := inspect.Beside(m.Database())
	second := read(t, m, report.Options{Name: "x", Address: "y", Scratch: &scratch})
	if diff := cmp.Diff(first.History, second.History); diff != "" {
		t.Errorf("history (-first +second):\n%s", diff)
	}
	if a, b := first.Snapshot.Fingerprint(), second.Snapshot.Fingerprint(); a != b {
		t.Errorf("the schema changed from %s to %s", a, b)
	}
	if second.Name != "x" || second.Address != "y" || !second.Checked || first.Checked {
		t.Errorf("the target is %q, %q, checked %t and %t", second.Name, second.Address, second.Checked, first.Checked)
	}
	if second.DriftProblem != nil || len(second.Drift) > 0 {
		t.Errorf("drift %v, %v", second.Drift, second.DriftProblem)
	}
}

// TestDriftIsShown: a table that somebody created is a difference, and the first thing to see.
func TestDriftIsShown(t *testing.T) {
	t.Parallel()
	m := migrated(t, 3)
	other := migrated(t, 3)
	target := read(t, m, report.Options{Name: "here"})
	target.Checked = true
	target.Drift = catalog.Compare(read(t, other, report.Options{}).Snapshot, read(t, migrated(t, 2), report.Options{}).Snapshot)
	page := string(write(t, report.Page{Targets: []*report.Target{target}}))
	for _, want := range []string{`<li class="bad"><strong>drift</strong>`, "− table payments removed", "1 of 1 database</strong> needs attention: here."} {
		if !strings.Contains(strings.ReplaceAll(page, `<span aria-hidden="true">−</span>`, "−"), want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}

func TestInterruptedIsShown(t *testing.T) {
	t.Parallel()
	target := read(t, migrated(t, 1), report.Options{Name: "here"})
	target.Status.Interrupted = &database.Journal{Version: 2, Name: "orders", Direction: database.Up, Done: 1, Of: 3, Host: "ci", PID: 7, Error: "connection lost"}
	for held, want := range map[bool]string{
		false: `<li class="bad"><strong>interrupted</strong> <span>0002 orders (up): statement 2 of 3, process 7 on ci: connection lost</span>`,
		true:  `<li class="info"><strong>running</strong> <span>0002 orders (up): statement 2 of 3, process 7 on ci</span>`,
	} {
		target.Status.Interrupted.Held = held
		if page := string(write(t, report.Page{Targets: []*report.Target{target}})); !strings.Contains(page, want) {
			t.Errorf("held %t: the page lacks %s", held, want)
		}
	}
}

// A backfill that is not done has its progress, and why it does not continue.
func TestBackfillIsShown(t *testing.T) {
	t.Parallel()
	target := read(t, migrated(t, 1), report.Options{Name: "here"})
	for state, want := range map[database.BackfillState]string{
		database.BackfillRunning: "43 % done, 860 rows done",
		database.BackfillFailed:  "43 % done, 860 rows done; rows 5 to 9: value &lt; 0",
	} {
		b := &whimbrel.BackfillStatus{Backfill: database.Backfill{State: state, RowsDone: 860, RowsEstimated: 2000}, Percent: 43}
		if state == database.BackfillFailed {
			b.Error = "rows 5 to 9: value < 0"
		}
		m := &target.Status.Migrations[0]
		m.Unfinished, m.Backfill = true, b
		page := string(write(t, report.Page{Targets: []*report.Target{target}}))
		for _, want := range []string{"<strong>backfill " + string(state) + "</strong>", want, "unfinished"} {
			if !strings.Contains(page, want) {
				t.Errorf("%s: the page lacks %q", state, want)
			}
		}
	}
}

// TestRefusedPlanIsShown: the page says why the next up would be refused.
func TestRefusedPlanIsShown(t *testing.T) {
	t.Parallel()
	m := migrated(t, 1)
	edited, err := source.Read(fstest.MapFS{"0001_customers.up.sql": {Data: []byte("CREATE TABLE x (id integer);")}}, source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	target, err := report.Read(t.Context(), whimbrel.New(m.Database(), edited, whimbrel.Options{}), edited, report.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !errors.As(target.Refused, new(*whimbrel.ChecksumMismatchError)) {
		t.Fatalf("Refused is %v, want a *ChecksumMismatchError", target.Refused)
	}
	page := string(write(t, report.Page{Targets: []*report.Target{target}}))
	for _, want := range []string{"<strong>blocked</strong>", "<strong>modified</strong> <span>The file changed after it was applied: 0001.</span>", "<strong>The next up would be refused.</strong>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}

// TestPasswordsAreMasked: scripts and definitions can contain passwords.
func TestPasswordsAreMasked(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	create := "CREATE ROLE clerk PASSWORD '" + secret + "'"
	target := &report.Target{
		Plan:   &whimbrel.Plan{Steps: []whimbrel.Step{{Version: 1, Script: migration.Text("1.sql", create+";")}}},
		Status: &whimbrel.Status{}, Drift: []catalog.Change{{Kind: "server", Name: "far", Change: catalog.Added, Found: create}},
	}
	page := string(write(t, report.Page{Targets: []*report.Target{target}}))
	if strings.Contains(page, secret) {
		t.Error("the page shows a password")
	}
	if got := strings.Count(page, "CREATE ROLE clerk PASSWORD &#39;xxxxx&#39;"); got != 2 {
		t.Errorf("%d masked statements, want 2", got)
	}
}

// TestWithoutPowers: a driver that can neither take snapshots nor keep metadata has a report, too.
func TestWithoutPowers(t *testing.T) {
	t.Parallel()
	db, err := memdb.New().Open(t.Context(), database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := whimbrel.New(struct{ database.Database }{db}, shopSet(t), whimbrel.Options{})
	target, err := report.Read(t.Context(), m, shopSet(t), report.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if target.Snapshot != nil || target.Metadata != nil {
		t.Errorf("the target has %v and %v", target.Snapshot, target.Metadata)
	}
	if page := string(write(t, report.Page{Targets: []*report.Target{target}})); !strings.Contains(page, "3 pending") || strings.Contains(page, `id="schema"`) {
		t.Error("the page lacks the pending migrations, or has a schema")
	}
}

func TestReadReturnsErrors(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	m := migrated(t, 1)
	cancel()
	if _, err := report.Read(ctx, m, shopSet(t), report.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestEqualSchemas(t *testing.T) {
	t.Parallel()
	a, b := read(t, migrated(t, 2), report.Options{Name: "a"}), read(t, migrated(t, 2), report.Options{Name: "b"})
	page := string(write(t, report.Page{Targets: []*report.Target{a, b}}))
	if !strings.Contains(page, "The schemas are equal.") {
		t.Error("the page does not say that the schemas are equal")
	}
	b.Snapshot.Dialect = "mysql"
	if page := string(write(t, report.Page{Targets: []*report.Target{a, b}})); !strings.Contains(page, "The databases are of different kinds") {
		t.Error("the page does not say that the databases are of different kinds")
	}
}

// TestNothingCanBeRead: the page has no empty sections.
func TestNothingCanBeRead(t *testing.T) {
	t.Parallel()
	page := string(write(t, report.Page{Targets: []*report.Target{{Name: "gone", Problem: errors.New("refused")}}}))
	for _, section := range []string{"migrations", "plan", "differences", "schema", "history"} {
		if strings.Contains(page, `id="`+section+`"`) || strings.Contains(page, `href="#`+section+`"`) {
			t.Errorf("the page has a section %s", section)
		}
	}
}

// TestTimesAndCounts: the page has them in UTC, and in words.
func TestTimesAndCounts(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 23, 30, 0, 0, time.FixedZone("", -3600))
	target := &report.Target{Name: "x", Status: &whimbrel.Status{}, History: []database.Entry{
		{Version: 7, Name: "seven", Direction: database.Failed, Tried: database.Up, StartedAt: at, Duration: 90 * time.Second, Retries: 2, LockWait: 8200 * time.Millisecond, Error: "no space", DBUser: "app", OSUser: "kim", Host: "db1", Actor: "run 9"},
	}}
	page := string(write(t, report.Page{Made: at, Targets: []*report.Target{target}}))
	for _, want := range []string{"2026-03-02 00:30:00 UTC", "2 March 2026", "1m30s", fmt.Sprintf("<strong>%d seven</strong>", 7), "1 entry, newest first", ">up failed</span>", "<p>no space</p>", "<p>blocked by other sessions for 8.2s, tried 3 times</p>", "app on db1, OS user kim, run 9"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}
