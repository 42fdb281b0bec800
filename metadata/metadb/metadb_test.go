package metadb_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/metadata/metadb"
	"github.com/whimbrel-db/whimbrel/metadata/metayaml"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/query"
)

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// described returns a database with the given tables, which have a column x.
func described(t *testing.T, tables ...string) (*memdb.Database, *whimbrel.Migrator) {
	t.Helper()
	var all []migration.Migration
	for i, name := range tables {
		all = append(all, migration.Migration{
			Version: int64(i + 1), Name: name,
			Up: migration.Text(name+".up.sql", "CREATE TABLE "+name+" (x int)"), Down: migration.Text(name+".down.sql", "DROP TABLE "+name),
		})
	}
	set, err := migration.NewSet("", all...)
	noError(t, err)
	db, err := memdb.New().Open(t.Context(), database.Options{})
	noError(t, err)
	t.Cleanup(func() { db.Close() })
	m := whimbrel.New(db, set, whimbrel.Options{})
	_, err = m.Up(t.Context())
	noError(t, err)
	return db, m
}

func document(t *testing.T, text string) *metadata.Document {
	t.Helper()
	d, err := metayaml.Read("m.yaml", text)
	noError(t, err)
	return d
}

func apply(t *testing.T, m *whimbrel.Migrator, text string) *metadb.Result {
	t.Helper()
	r, err := metadb.Apply(t.Context(), m, document(t, text), metadb.Options{})
	noError(t, err)
	return r
}

// counts are the numbers in a metadb.Result.
type counts struct{ changes, comments, entries int }

func wantCounts(t *testing.T, r *metadb.Result, want counts) {
	t.Helper()
	if got := (counts{len(r.Changes), len(r.Comments), r.Entries}); got != want {
		t.Errorf("got %+v, want %+v; the result is %+v", got, want, r)
	}
}

// wantMetadata expects what the database keeps, as YAML.
func wantMetadata(t *testing.T, m *whimbrel.Migrator, want string) {
	t.Helper()
	d, err := metadb.Read(t.Context(), m.Database())
	noError(t, err)
	if diff := cmp.Diff(want, metayaml.Write(d)); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
}

const ofT = "tables:\n  t:\n    description: All there is.\n    columns:\n      x:\n        tags:\n          - pii\n"

// none is the YAML of a database without metadata.
const none = "{}\n"

func TestApplyMetadata(t *testing.T) {
	db, m := described(t, "t")
	ctx := t.Context()
	dry, err := metadb.Apply(ctx, m, document(t, ofT), metadb.Options{DryRun: true})
	noError(t, err)
	wantCounts(t, dry, counts{changes: 2, comments: 1, entries: 2})
	if !dry.DryRun {
		t.Error("the result does not say that it was a dry run")
	}
	wantMetadata(t, m, none)

	wantCounts(t, apply(t, m, ofT), counts{changes: 2, comments: 1, entries: 2})
	wantMetadata(t, m, ofT)
	wantCounts(t, apply(t, m, ofT), counts{entries: 2}) // changes nothing, so it is not recorded
	var recorded []string
	for e, err := range db.History(ctx, database.HistoryQuery{}) {
		noError(t, err)
		if e.Direction == database.Metadata {
			recorded = append(recorded, fmt.Sprintf("%d %s: %s", e.Version, e.Name, e.Remark))
		}
	}
	if diff := cmp.Diff([]string{"-1 apply: 2 added, 1 comments"}, recorded); diff != "" {
		t.Errorf("metadata entries of the history (-want +got):\n%s", diff)
	}

	r, err := metadb.Reset(ctx, m, metadb.Options{})
	noError(t, err)
	wantCounts(t, r, counts{changes: 2, comments: 1})
}

func TestApplyMetadataOfUnknownObjects(t *testing.T) {
	_, m := described(t, "t")
	_, err := metadb.Apply(t.Context(), m, document(t, ofT+"  u:\n    owner: me\n"), metadb.Options{})
	var all metadata.Errors
	if !errors.As(err, &all) {
		t.Fatalf("got %v, want metadata.Errors", err)
	}
	if want := "m.yaml:8:3: the database has no table u; did you mean t?"; all[0].Error() != want {
		t.Errorf("got  %v\nwant %s", all[0], want)
	}
	wantMetadata(t, m, none)
}

func TestMetadataOfAFrozenOrProtectedDatabase(t *testing.T) {
	db, m := described(t, "t")
	ctx := t.Context()
	apply(t, m, ofT)
	set := func(name, value string) {
		noError(t, db.UpdateSetting(ctx, database.SettingUpdate{Name: name, Value: value}))
	}
	set(database.Protected, "true")
	_, err := metadb.Reset(ctx, m, metadb.Options{})
	if !errors.As(err, new(*whimbrel.ProtectedError)) {
		t.Errorf("reset: got %v, want a *ProtectedError", err)
	}
	if want := "can't reset the metadata: database"; !strings.Contains(fmt.Sprint(err), want) {
		t.Errorf("reset: got %v, want an error with %q", err, want)
	}
	_, err = metadb.Reload(ctx, m, metadb.Options{})
	noError(t, err)
	set(database.Frozen, "true")
	for what, err := range map[string]error{
		"apply":  second(metadb.Apply(ctx, m, document(t, ofT), metadb.Options{})),
		"reset":  second(metadb.Reset(ctx, m, metadb.Options{})),
		"reload": second(metadb.Reload(ctx, m, metadb.Options{})),
		"drop":   second(metadb.DropInconsistent(ctx, m, metadb.Options{})),
	} {
		if !errors.As(err, new(*whimbrel.FrozenError)) {
			t.Errorf("%s: got %v, want a *FrozenError", what, err)
		}
	}
	wantMetadata(t, m, ofT)
}

func second(_ *metadb.Result, err error) error { return err }

func TestInconsistentMetadata(t *testing.T) {
	_, m := described(t, "t")
	ctx := t.Context()
	apply(t, m, ofT)
	_, err := query.Write(ctx, m, "DROP TABLE t", query.WriteOptions{})
	noError(t, err)
	all, err := metadb.Inconsistent(ctx, m.Database())
	noError(t, err)
	var got []string
	for _, in := range all {
		got = append(got, fmt.Sprintf("%s: %s (%s)", in.Name, in.Reason, in.Description))
	}
	want := []string{"t: it no longer exists (All there is.)", "t.x: its table no longer exists ()"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("inconsistent entries (-want +got):\n%s", diff)
	}
	r, err := metadb.DropInconsistent(ctx, m, metadb.Options{})
	noError(t, err)
	wantCounts(t, r, counts{changes: 2})
}

func TestReloadMetadata(t *testing.T) {
	db, m := described(t, "t")
	ctx := t.Context()
	apply(t, m, ofT)
	b, _, err := db.Begin(ctx, "by hand", database.LockOptions{})
	noError(t, err)
	s, err := database.TxMetadata(ctx, b)
	noError(t, err)
	table := metadata.Name{Kind: metadata.Table, Object: "t"}
	column := metadata.Name{Kind: metadata.Column, Object: "t", Column: "x"}
	c := &metadata.Change{Entries: s.Entries, Comments: []metadata.Comment{{Name: table}, {Name: column, Text: "By hand."}}}
	noError(t, database.TxPutMetadata(ctx, b, c))
	_, err = b.Commit(ctx)
	noError(t, err)
	_, err = metadb.Reload(ctx, m, metadb.Options{})
	noError(t, err)
	wantMetadata(t, m, "tables:\n  t:\n    columns:\n      x:\n        description: By hand.\n        tags:\n          - pii\n")
}

// A database that has metadata, but was never migrated, is not reset.
func TestMetadataIsNoMigration(t *testing.T) {
	_, m := described(t)
	_, err := query.Write(t.Context(), m, "CREATE TABLE mine (x int)", query.WriteOptions{})
	noError(t, err)
	apply(t, m, "tables: {mine: {owner: me}}")
	r, err := m.Reset(t.Context(), whimbrel.ResetOptions{Confirm: memdb.Name})
	noError(t, err)
	if len(r.Dropped) > 0 {
		t.Errorf("the reset dropped %v", r.Dropped)
	}
}

func TestNoDocumentIsAnError(t *testing.T) {
	_, m := described(t, "t")
	_, err := metadb.Apply(t.Context(), m, nil, metadb.Options{})
	if want := "needs a document"; !strings.Contains(fmt.Sprint(err), want) {
		t.Errorf("got %v, want an error with %q", err, want)
	}
}
