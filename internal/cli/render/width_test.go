package render

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
)

// The widths at which every answer is checked.
var widths = []int{60, 80, 100, 200}

const (
	longName   = "backfill_customer_addresses_from_the_legacy_import_of_2019"
	longHost   = "deploy-runner-7f9c64d5b8-x2x9q.ci.eu-central-1.internal.example.com"
	longReason = "the import of the addresses blocks the release; agreed with the team that owns the table"
	longFile   = "db/migrations/20260101120000_" + longName + ".up.sql"
)

// realistic are answers and failures with what real databases have: versions of 14 digits, long
// names, hosts, reasons and files. A text in must is shown whole at every width, whatever lines it
// needs.
func realistic() []struct {
	name string
	show func(*Printer)
	must []string
} {
	at := instant(time.Date(2026, 11, 23, 11, 52, 47, 0, time.UTC))
	long := Millis(75 * time.Minute)
	show := func(d Document) func(*Printer) { return func(p *Printer) { p.Show(d) } }
	fail := func(f *Failure) func(*Printer) { return func(p *Printer) { p.Fail(f) } }
	const v = 20260101120000
	changes := []Change{
		{Kind: "column", Name: "public.customer_addresses.legacy_import_reference", Change: "changed", Detail: "default", words: "column public.customer_addresses.legacy_import_reference: default is nextval('customer_addresses_legacy_import_reference_seq'::regclass), not 1"},
		{Kind: "table", Name: "public.a", Change: "added", words: "table public.a"},
	}
	interrupted := &Interrupted{Version: v + 1, Name: longName, Direction: "up", Statement: 3, Of: 7, SQL: "CREATE INDEX CONCURRENTLY i ON t (x)", Since: at, Host: longHost, PID: 4711, Error: connectionLost}
	return []struct {
		name string
		show func(*Printer)
		must []string
	}{
		{"status", show(&Status{
			Set: "default", Version: v, Applied: []int64{v}, Pending: []int64{v + 1}, OutOfOrder: []int64{v - 1}, Unknown: []int64{v - 2}, dir: "db/migrations", Interrupted: interrupted,
			frozen: "by " + longHost + " since 2026-11-23 11:52:47 UTC until 2026-11-24 11:52:47 UTC (" + longReason + ")",
			Migrations: []MigrationStatus{
				{Version: v, Name: longName, State: "applied", AppliedAt: at, Duration: &long},
				{Version: v - 1, Name: "b", State: "out_of_order"},
				{Version: v + 1, Name: longName + "_" + longName, State: "interrupted"},
			},
			Repeatables: []RepeatableStatus{{Name: "reporting_views", State: "modified", RanAt: at, Duration: &long}},
		}), []string{"2026-11-23 11:52:47", "20260101120000", "out of order", longName, longReason, "legacy_import"}},
		{"plan", show(&Plan{Set: "default", Frozen: true, frozen: "by app since 2026-11-23 11:52:47 UTC (" + longReason + ")", Steps: []PlanStep{
			{Version: v, Name: longName, Direction: "up", File: longFile, Statements: 12, Transaction: Pointer(1)},
			{Version: v + 1, Name: "b", Direction: "up", File: longFile, Statements: 1, WhyNoTransaction: longFile + ":1:1: CREATE INDEX CONCURRENTLY can't be in a transaction"},
		}}), []string{"20260101120000", longName, longReason, "statement by statement, outside a transaction"}},
		{"history", show(&History{AllSets: true, Entries: []Entry{
			{ID: 104711, Set: "billing", Version: v, Name: longName, Direction: "failed", Tried: "up", At: at, Duration: long, User: "deploy", Host: longHost, App: "whimbrel", OSUser: "runner", Error: longReason, Actor: "GitHub Actions run 123 of org/repo by alice (https://github.com/org/repo/actions/runs/123)"},
			{ID: 104712, Set: "billing", Version: v, Name: longName, Direction: "up", At: at, Duration: long, User: "deploy", Host: longHost, Reason: longReason},
		}}), []string{"2026-11-23 11:52:47", "20260101120000", longName, longHost, longReason, "104711"}},
		{"settings", show(&Settings{Settings: []Setting{
			{Name: "frozen", Value: "true", ChangedAt: at, Until: at, ChangedBy: "deploy@" + longHost, Reason: longReason, Doc: "nothing can migrate the database"},
			{Name: "migration_lock_timeout", Value: "15s", IsDefault: true, Doc: "how long to wait for another process that is migrating"},
		}}), []string{"2026-11-23 11:52:47", longReason}},
		{"overview", show(&Overview{
			Target: "postgres://deploy@" + longHost + ":5432/app", Set: "default", Version: v, Pending: []int64{v + 1, v + 2}, Frozen: true, Interrupted: interrupted, Next: "whimbrel up",
			place: "app on " + longHost + ":5432 (production)", status: &Status{frozen: "by deploy since 2026-11-23 11:52:47 UTC (" + longReason + ")", Migrations: []MigrationStatus{{Version: v, Name: longName}}},
		}), []string{longName, longReason, "20260101120001, 20260101120002"}},
		{"reset", show(&Reset{
			Database: "app", DryRun: true, Sets: []string{"default", "billing"},
			Dropped: []Object{{Type: "materialized view", Schema: "reporting", Name: longName}},
			Kept:    []Kept{{Object: Object{"table", "public", longName}, Why: "it belongs to the role billing_owner, of which deploy is not a member"}},
		}), []string{longName, "of which deploy is not a member"}},
		{"metadata inconsistent", show(Inconsistent{{Type: "table", Name: "public." + longName, Reason: "the object does not exist", Description: longReason}}), []string{longName, longReason, "the object does not exist"}},
		{"metadata check", show(&MetadataCheck{Checked: 4, Missing: []MissingFacts{{"table", "public." + longName, []string{"description", "owner", "tags", "links", "classification"}}}}), []string{longName, "classification"}},
		{"metadata apply", show(&MetadataChanged{Entries: 4, Changes: []MetadataChange{{Change: "changed", words: "description of table public." + longName + ": " + longReason}}, DryRun: true}), []string{longReason}},
		{"sql", show(&Rows{Columns: []string{"id", "name", "at", "note", "host"}, Rows: [][]any{
			{json.Number("104711"), longName, "2026-11-23 11:52:47.411+00", longReason, longHost}, {json.Number("104712"), nil, "2026-11-23 11:52:47.411+00", "", longHost},
		}}), []string{longName, longReason, longHost, "2026-11-23 11:52:47.411+00", "NULL"}},
		{"diff", show(&Drift{Drift: true, Objects: changes, Expected: "the schema that the history of " + longHost + " leads to", Found: "the database app on " + longHost, Releases: []string{"16.3 (Debian 16.3-1.pgdg120+1)", "17.0 (Debian 17.0-1.pgdg120+1)"}}), []string{"legacy_import_reference", longHost}},
		{"verify --scratch", show(&Proved{Migrations: []Proof{
			{Version: v, Name: longName, Up: "ok", Down: "ok", Differences: changes},
			{Version: v + 1, Name: longName, Up: longFile + ":4:13: relation \"custmers\" does not exist (42P01)", Down: "none"},
		}}), []string{longName, "does not exist (42P01)"}},
		{"load", show(&Loaded{File: "db/schema.sql", Done: true, Included: []int64{v}, Unknown: []int64{v + 1, v + 2, v + 3}, dir: "db/migrations", Rows: []RowsOf{{Version: v, Name: longName, Statements: []Problem{{Message: longReason, File: longFile, Line: 4, Column: 1}}}}}), []string{longReason, "20260101120003"}},
		{"convert", show(&Converted{From: "goose", Dir: longFile, Out: longFile, Changes: []Conversion{{File: longFile, What: longReason, Checksum: true}}, LeftOut: []string{longFile}}), []string{longReason}},
		{"renumber", show(&Renumbered{Renumbered: []NewVersion{{Version: v, To: v + 1, Why: longReason, Files: []Moved{{From: longFile, To: longFile}}, After: []int64{v, v + 1}}}}), []string{longReason}},
		{"squash", show(&Squashed{Replaces: []int64{v, v + 1}, Files: []string{longFile}, Irreversible: longFile, minimal: true, Dropped: []Problem{{Message: longReason, File: longFile, Line: 3, Column: 1}}}), []string{longReason}},
		{"baseline", show(&Baselined{Set: "default", Baseline: v + 5, Marked: []int64{v, v + 1, v + 2, v + 3, v + 4, v + 5}}), []string{"20260101120003"}},
		{"resolve", show(&Resolved{Set: "default", Version: v, Name: longName, Resolution: "done", Statement: 3, Of: 7, next: "whimbrel up"}), []string{longName}},
		{"abandon", show(&Abandoned{Set: "default", Version: v, Name: longName, Direction: "up", Statement: 3, Of: 7, Outcome: "the index orders_by_time is invalid", next: "whimbrel up"}), []string{longName}},
		{"freeze", show(&Frozen{Frozen: true, Reason: longReason, By: "deploy", Since: at, Until: at}), []string{longReason, "2026-11-23 11:52:47 UTC"}},
		{"report", show(&Report{File: "out/report.html", Targets: []ReportTarget{{Name: "production", Problem: "can't connect to " + longHost + ": connection refused, because " + longReason}}}), []string{longReason}},
		{"snapshot", show(&Snapshot{File: "db/schema.sql", Objects: 3, Omitted: []string{"event trigger " + longName + ", which belongs to no schema and is not a part of a snapshot"}}), []string{"is not a part of a snapshot"}},
		{"failed statement", fail(&Failure{
			Kind: "statement", Message: `relation "custmers_of_the_legacy_import" does not exist in the search path of this session`, File: longFile, Line: 4, Column: 13, SQLState: "42P01",
			Detail: longReason, Hint: longReason, Outcome: "The 2 migrations before it remain applied. " + longReason + ".", Next: `Fix the file, then run "whimbrel up --to 20260101120000" to resume.`,
			Excerpt: "     4 | INSERT INTO custmers (" + strings.Repeat("a_column, ", 20) + "b) SELECT * FROM custmers\n       |             ^\n",
		}), []string{longReason, "does not exist in the search path", "42P01", "INSERT INTO custmers"}},
		{"edited", fail(&Failure{
			Kind: "checksum_mismatch", Message: "migration 20260101120000 " + longName + " was edited after it was applied, and so were 20260101120001, 20260101120002", File: longFile,
			Stored: strings.Repeat("0f", 32), Expected: strings.Repeat("1e", 32), OnlyBlank: true, Next: longReason,
		}), []string{longName, longReason}},
		{"interrupted", fail(&Failure{
			Kind: "unresolved", Message: "can't tell whether statement 3 of 7 of migration 20260101120001 " + longName + " took effect: " + longReason, Interrupted: interrupted, Differences: changes, Next: longReason + ":",
			Choices: []Choice{{Command: "whimbrel resolve 20260101120001 --done", Effect: "it took effect: \"whimbrel up\" continues with statement 4, and " + longReason}},
		}), []string{longName, longReason, longHost}},
		{"conflict", fail(&Failure{Kind: "conflict", Message: "version 20260101120000 was rolled back in the meantime", Entry: &Entry{ID: 7, Version: v, Name: longName, Direction: "down", At: at, User: "deploy", Host: longHost, App: "whimbrel"}}), []string{longName, longHost, "2026-11-23 11:52:47 UTC"}},
		{"problems", fail(&Failure{Kind: "source", Problems: []Problem{{Message: longReason, File: longFile, Line: 120, Column: 77}, {Message: longReason, File: longFile, Line: 121, Column: 1}}, MoreProblems: 3}), []string{longReason}},
		{"progress", func(p *Printer) {
			s := step(v, longName, database.Up)
			p.Begin("Migrating the_database_of_the_shop on "+longHost+" (production)", false)
			p.Observe(context.Background(), whimbrel.Planned{Plan: &whimbrel.Plan{Steps: []whimbrel.Step{s, step(v+1, "b", database.Up)}}})
			for _, s := range []whimbrel.Step{s, step(v+1, "b", database.Up)} {
				p.Observe(context.Background(), whimbrel.StepStarted{Step: s, Of: 2})
				p.Observe(context.Background(), whimbrel.Resumed{Step: s, From: 3, Of: 7})
				p.Observe(context.Background(), whimbrel.CleanedUp{Step: s, Why: longReason, SQL: "DROP INDEX CONCURRENTLY i"})
				p.Notice(database.Notice{Severity: "NOTICE", Message: longReason, Detail: longReason})
				p.Observe(context.Background(), whimbrel.StepDone{Step: s, Duration: 123 * time.Millisecond})
			}
			p.Show(&Result{Set: "default", Applied: []int64{v, v + 1}, Duration: Millis(time.Second)})
		}, []string{longName, longReason, "123ms", "(production)"}},
	}
}

// At every width, no line is wider than the terminal, unless a single word is, no word is broken at
// a place where none ends, and nothing that matters is cut.
func TestEveryAnswerFitsItsTerminal(t *testing.T) {
	t.Parallel()
	for _, c := range realistic() {
		for _, width := range widths {
			var out strings.Builder
			stream := sized(&out, width, 0)
			p := New(Options{Out: stream, Err: stream})
			c.show(p)
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			shown := ansi.Strip(out.String())
			checkWidth(t, fmt.Sprintf("%s at %d columns", c.name, width), shown, width)
			whole := squeezed(shown)
			for _, text := range c.must {
				if !strings.Contains(whole, squeezed(text)) && !inColumns(shown, text) {
					t.Errorf("%s at %d columns lacks %q:\n%s", c.name, width, text, shown)
				}
			}
			if t.Failed() {
				return
			}
		}
	}
}

// checkWidth reports lines that are wider than a terminal, unless a word in them is too wide to fit
// behind a label.
func checkWidth(t *testing.T, what, shown string, width int) {
	t.Helper()
	for line := range strings.Lines(shown) {
		line = strings.TrimRight(line, "\n")
		longest := 0
		for _, word := range strings.Fields(line) {
			longest = max(longest, ansi.StringWidth(word))
		}
		if n := ansi.StringWidth(line); n > width && longest+labelWidth <= width {
			t.Errorf("%s: a line of %d columns: %s", what, n, line)
		}
	}
}

// squeezed returns a text without white space, so that lines may end anywhere in it.
func squeezed(text string) string { return strings.Join(strings.Fields(text), "") }

// inColumns reports whether the pieces of a text are in the shown text one below the other: a cell
// of several lines.
func inColumns(shown, text string) bool {
	for _, piece := range pieces(text) {
		at := strings.Index(shown, strings.TrimRight(piece, " "))
		if at < 0 {
			return false
		}
		shown = shown[at+len(strings.TrimRight(piece, " ")):]
	}
	return true
}
