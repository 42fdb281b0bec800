package metadb_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/metadata/metadb"
	"github.com/whimbrel-db/whimbrel/metadata/metayaml"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/query"
)

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
	if err != nil {
		t.Fatal(err)
	}
	db, err := memdb.New().Open(t.Context(), database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	m := whimbrel.New(db, set, whimbrel.Options{})
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db, m
}

func document(t *testing.T, text string) *metadata.Document {
	t.Helper()
	d, err := metayaml.Read("m.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

const ofT = "tables:\n  t:\n    description: All there is.\n    columns:\n      x:\n        tags:\n          - pii\n"

func TestApplyMetadata(t *testing.T) {
	db, m := described(t, "t")
	ctx := t.Context()
	r, err := metadb.Apply(ctx, m, document(t, ofT), metadb.Options{DryRun: true})
	if err != nil || len(r.Changes) != 2 || r.Entries != 2 || !r.DryRun {
		t.Fatalf("%+v, %v", r, err)
	}
	if d, err := metadb.Read(ctx, m.Database()); err != nil || d.Len() != 0 {
		t.Fatalf("a dry run has written %v, %v", d, err)
	}
	for i := range 2 { // what changes nothing is not recorded
		r, err = metadb.Apply(ctx, m, document(t, ofT), metadb.Options{})
		if err != nil || len(r.Changes) != 2-2*i || len(r.Comments) != 1-i || r.Entries != 2 {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	d, err := metadb.Read(ctx, m.Database())
	if err != nil || metayaml.Write(d) != ofT {
		t.Errorf("%s, %v", metayaml.Write(d), err)
	}
	var last database.Entry
	count := 0
	for e, err := range db.History(ctx, database.HistoryQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Direction == database.Metadata {
			last, count = e, count+1
		}
	}
	if count != 1 || last.Name != "apply" || last.Note != "2 added, 1 comments" || last.Version != whimbrel.NilVersion {
		t.Errorf("%d events, %+v", count, last)
	}
	r, err = metadb.Reset(ctx, m, metadb.Options{})
	if err != nil || len(r.Changes) != 2 || len(r.Comments) != 1 || r.Entries != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestApplyMetadataOfUnknownObjects(t *testing.T) {
	_, m := described(t, "t")
	_, err := metadb.Apply(t.Context(), m, document(t, ofT+"  u:\n    owner: me\n"), metadb.Options{})
	var all metadata.Errors
	if !errors.As(err, &all) || all[0].Error() != "m.yaml:8:3: the database has no table u; did you mean t?" {
		t.Error(err)
	}
	if d, err := metadb.Read(t.Context(), m.Database()); err != nil || d.Len() != 0 {
		t.Errorf("something was changed: %v, %v", d, err)
	}
}

func TestMetadataOfAFrozenOrProtectedDatabase(t *testing.T) {
	db, m := described(t, "t")
	ctx := t.Context()
	if _, err := metadb.Apply(ctx, m, document(t, ofT), metadb.Options{}); err != nil {
		t.Fatal(err)
	}
	set := func(name, value string) {
		if err := db.UpdateSetting(ctx, database.SettingUpdate{Name: name, Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	set(database.Protected, "true")
	var protected *whimbrel.ProtectedError
	if _, err := metadb.Reset(ctx, m, metadb.Options{}); !errors.As(err, &protected) || !strings.Contains(err.Error(), "can't reset the metadata: database") {
		t.Error(err)
	}
	if _, err := metadb.Reload(ctx, m, metadb.Options{}); err != nil {
		t.Error(err)
	}
	set(database.Frozen, "true")
	for what, err := range map[string]error{
		"apply":  second(metadb.Apply(ctx, m, document(t, ofT), metadb.Options{})),
		"reset":  second(metadb.Reset(ctx, m, metadb.Options{})),
		"reload": second(metadb.Reload(ctx, m, metadb.Options{})),
		"drop":   second(metadb.DropInconsistent(ctx, m, metadb.Options{})),
	} {
		var mode *whimbrel.FrozenError
		if !errors.As(err, &mode) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if d, err := metadb.Read(ctx, m.Database()); err != nil || d.Len() != 2 {
		t.Errorf("%v, %v", d, err)
	}
}

func second(_ *metadb.Result, err error) error { return err }

func TestInconsistentMetadata(t *testing.T) {
	_, m := described(t, "t")
	ctx := t.Context()
	if _, err := metadb.Apply(ctx, m, document(t, ofT), metadb.Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := query.Write(ctx, m, "DROP TABLE t", query.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	all, err := metadb.Inconsistent(ctx, m.Database())
	if err != nil || len(all) != 2 {
		t.Fatalf("%v, %v", all, err)
	}
	if all[0].Reason != "it no longer exists" || all[0].Description != "All there is." || all[1].Reason != "its table no longer exists" {
		t.Errorf("%+v", all)
	}
	r, err := metadb.DropInconsistent(ctx, m, metadb.Options{})
	if err != nil || len(r.Changes) != 2 || r.Entries != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestReloadMetadata(t *testing.T) {
	db, m := described(t, "t")
	ctx := t.Context()
	if _, err := metadb.Apply(ctx, m, document(t, ofT), metadb.Options{}); err != nil {
		t.Fatal(err)
	}
	b, _, err := db.Begin(ctx, "by hand", database.LockOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := database.TxMetadata(ctx, b)
	if err != nil {
		t.Fatal(err)
	}
	table := metadata.Name{Kind: metadata.Table, Object: "t"}
	column := metadata.Name{Kind: metadata.Column, Object: "t", Column: "x"}
	c := &metadata.Change{Entries: s.Entries, Comments: []metadata.Comment{{Name: table}, {Name: column, Text: "By hand."}}}
	if err := database.TxPutMetadata(ctx, b, c); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := metadb.Reload(ctx, m, metadb.Options{}); err != nil {
		t.Fatal(err)
	}
	d, err := metadb.Read(ctx, m.Database())
	want := "tables:\n  t:\n    columns:\n      x:\n        description: By hand.\n        tags:\n          - pii\n"
	if err != nil || metayaml.Write(d) != want {
		t.Errorf("%s, %v", metayaml.Write(d), err)
	}
}

func TestMetadataIsNoMigration(t *testing.T) {
	_, m := described(t)
	if _, err := query.Write(t.Context(), m, "CREATE TABLE mine (x int)", query.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := metadb.Apply(t.Context(), m, document(t, "tables: {mine: {owner: me}}"), metadb.Options{}); err != nil {
		t.Fatal(err)
	}
	r, err := m.Reset(t.Context(), whimbrel.ResetOptions{Confirm: memdb.Name})
	if err != nil || len(r.Dropped) != 0 {
		t.Errorf("a reset of a database that nobody has migrated has dropped %v, %v", r.Dropped, err)
	}
}

func TestNoDocumentIsAnError(t *testing.T) {
	_, m := described(t, "t")
	if _, err := metadb.Apply(t.Context(), m, nil, metadb.Options{}); err == nil || !strings.Contains(err.Error(), "needs a document") {
		t.Errorf("got %v", err)
	}
}
