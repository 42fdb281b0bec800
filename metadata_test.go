package whimbrel_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/metadata/metayaml"
	"github.com/whimbrel-db/whimbrel/source"
)

// described is a database with a table t of which something is said.
func described(t *testing.T, opts whimbrel.Options) (*memdb.Database, *whimbrel.Migrator) {
	t.Helper()
	return migratedFiles(t, opts, map[string]string{"0001_t.up.sql": "CREATE TABLE t (x int)", "0001_t.down.sql": "DROP TABLE t"})
}

func migratedFiles(t *testing.T, opts whimbrel.Options, files map[string]string) (*memdb.Database, *whimbrel.Migrator) {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	set, err := source.Read(fsys, source.Options{Format: source.Native})
	if err != nil {
		t.Fatal(err)
	}
	db, err := memdb.New().Open(t.Context(), database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	m := whimbrel.New(db, set, opts)
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
	db, m := described(t, whimbrel.Options{})
	ctx := t.Context()
	r, err := m.ApplyMetadata(ctx, document(t, ofT), whimbrel.MetadataOptions{DryRun: true})
	if err != nil || len(r.Changes) != 2 || r.Entries != 2 || !r.DryRun {
		t.Fatalf("%+v, %v", r, err)
	}
	if d, err := m.Metadata(ctx); err != nil || d.Len() != 0 {
		t.Fatalf("a dry run has written %v, %v", d, err)
	}
	for i := range 2 { // what changes nothing is not recorded
		r, err = m.ApplyMetadata(ctx, document(t, ofT), whimbrel.MetadataOptions{})
		if err != nil || len(r.Changes) != 2-2*i || len(r.Comments) != 1-i || r.Entries != 2 {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	d, err := m.Metadata(ctx)
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
	r, err = m.ResetMetadata(ctx, whimbrel.MetadataOptions{})
	if err != nil || len(r.Changes) != 2 || len(r.Comments) != 1 || r.Entries != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestApplyMetadataOfUnknownObjects(t *testing.T) {
	_, m := described(t, whimbrel.Options{})
	_, err := m.ApplyMetadata(t.Context(), document(t, ofT+"  u:\n    owner: me\n"), whimbrel.MetadataOptions{})
	var all metadata.Errors
	if !errors.As(err, &all) || all[0].Error() != "m.yaml:8:3: the database has no table u; did you mean t?" {
		t.Error(err)
	}
	if d, err := m.Metadata(t.Context()); err != nil || d.Len() != 0 {
		t.Errorf("something was changed: %v, %v", d, err)
	}
}

func TestMetadataOfAFrozenOrProtectedDatabase(t *testing.T) {
	db, m := described(t, whimbrel.Options{})
	ctx := t.Context()
	if _, err := m.ApplyMetadata(ctx, document(t, ofT), whimbrel.MetadataOptions{}); err != nil {
		t.Fatal(err)
	}
	set := func(name, value string) {
		if err := db.UpdateSetting(ctx, database.SettingUpdate{Name: name, Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	set(database.Protected, "true")
	var protected *whimbrel.ProtectedError
	if _, err := m.ResetMetadata(ctx, whimbrel.MetadataOptions{}); !errors.As(err, &protected) || !strings.Contains(err.Error(), "refused to reset the metadata") {
		t.Error(err)
	}
	if _, err := m.ReloadMetadata(ctx, whimbrel.MetadataOptions{}); err != nil {
		t.Error(err)
	}
	set(database.MigrationMode, "false")
	for what, err := range map[string]error{
		"apply":  second(m.ApplyMetadata(ctx, document(t, ofT), whimbrel.MetadataOptions{})),
		"reset":  second(m.ResetMetadata(ctx, whimbrel.MetadataOptions{})),
		"reload": second(m.ReloadMetadata(ctx, whimbrel.MetadataOptions{})),
		"drop":   second(m.DropInconsistentMetadata(ctx, whimbrel.MetadataOptions{})),
	} {
		var mode *whimbrel.FrozenError
		if !errors.As(err, &mode) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if d, err := m.Metadata(ctx); err != nil || d.Len() != 2 {
		t.Errorf("%v, %v", d, err)
	}
}

func second(_ *whimbrel.MetadataResult, err error) error { return err }

func TestInconsistentMetadata(t *testing.T) {
	_, m := described(t, whimbrel.Options{})
	ctx := t.Context()
	if _, err := m.ApplyMetadata(ctx, document(t, ofT), whimbrel.MetadataOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Query(ctx, "DROP TABLE t", whimbrel.QueryOptions{Write: true}); err != nil {
		t.Fatal(err)
	}
	all, err := m.InconsistentMetadata(ctx)
	if err != nil || len(all) != 2 {
		t.Fatalf("%v, %v", all, err)
	}
	if all[0].Reason != "it no longer exists" || all[0].Description != "All there is." || all[1].Reason != "its table no longer exists" {
		t.Errorf("%+v", all)
	}
	r, err := m.DropInconsistentMetadata(ctx, whimbrel.MetadataOptions{})
	if err != nil || len(r.Changes) != 2 || r.Entries != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestReloadMetadata(t *testing.T) {
	db, m := described(t, whimbrel.Options{})
	ctx := t.Context()
	if _, err := m.ApplyMetadata(ctx, document(t, ofT), whimbrel.MetadataOptions{}); err != nil {
		t.Fatal(err)
	}
	b, _, err := db.Begin(ctx, "by hand", database.LockOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.Metadata(ctx)
	if err != nil {
		t.Fatal(err)
	}
	table := metadata.Name{Kind: metadata.Table, Object: "t"}
	column := metadata.Name{Kind: metadata.Column, Object: "t", Column: "x"}
	c := &metadata.Change{Entries: s.Entries, Comments: []metadata.Comment{{Name: table}, {Name: column, Text: "By hand."}}}
	if err := errors.Join(b.PutMetadata(ctx, c), errOf(b.Commit(ctx))); err != nil {
		t.Fatal(err)
	}
	if _, err := m.ReloadMetadata(ctx, whimbrel.MetadataOptions{}); err != nil {
		t.Fatal(err)
	}
	d, err := m.Metadata(ctx)
	want := "tables:\n  t:\n    columns:\n      x:\n        description: By hand.\n        tags:\n          - pii\n"
	if err != nil || metayaml.Write(d) != want {
		t.Errorf("%s, %v", metayaml.Write(d), err)
	}
}

func TestAMigrationCarriesMetadata(t *testing.T) {
	ctx := t.Context()
	opts := whimbrel.Options{ReadMetadata: metayaml.Read}
	_, m := migratedFiles(t, opts, map[string]string{
		"0001_t.up.sql": "CREATE TABLE t (x int)", "0001_t.down.sql": "DROP TABLE t", "0001_t.metadata.yaml": ofT,
		"0002_u.up.sql": "CREATE TABLE u (x int)", "0002_u.down.sql": "DROP TABLE u", "0002_u.metadata.yaml": "tables: {u: {owner: me}, t: {owner: you}}",
	})
	names := func() (all []string) {
		d, err := m.Metadata(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range d.Entries() {
			all = append(all, e.Name.String()+" "+e.Owner+e.Description)
		}
		return all
	}
	if got := names(); !slices.Equal(got, []string{"t you", "t.x ", "u me"}) {
		t.Errorf("%q", got)
	}
	if _, err := m.Migrate(ctx, whimbrel.By(-1), whimbrel.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := names(); !slices.Equal(got, []string{"t you", "t.x "}) {
		t.Errorf("after a rollback: %q", got)
	}
}

func TestABaselineCarriesWhatItsMigrationsDo(t *testing.T) {
	_, m := migratedFiles(t, whimbrel.Options{ReadMetadata: metayaml.Read}, map[string]string{
		"B0003_start.sql": "CREATE TABLE t (x int); CREATE TABLE v (x int)",
		"0001_t.up.sql":   "CREATE TABLE t (x int)", "0001_t.metadata.yaml": ofT,
		"0002_u.up.sql": "CREATE TABLE u (x int)", "0002_u.metadata.yaml": "tables: {u: {owner: me}, t: {owner: you}}",
		"0003_v.up.sql": "DROP TABLE u; CREATE TABLE v (x int)",
	})
	d, err := m.Metadata(t.Context())
	want := "tables:\n  t:\n    owner: you\n    columns:\n      x:\n        tags:\n          - pii\n"
	if err != nil || metayaml.Write(d) != want {
		t.Errorf("%s, %v", metayaml.Write(d), err)
	}
}

func TestCarriedMetadataThatCannotBe(t *testing.T) {
	for name, tt := range map[string]struct {
		files map[string]string
		opts  whimbrel.Options
		want  string
	}{
		"unknown object": {
			map[string]string{"0001_t.up.sql": "CREATE TABLE t (x int)", "0001_t.metadata.yaml": "tables:\n  u:\n    owner: me\n"},
			whimbrel.Options{ReadMetadata: metayaml.Read},
			"0001_t.metadata.yaml:2:3: the database has no table u",
		},
		"no YAML": {
			map[string]string{"0001_t.up.sql": "CREATE TABLE t (x int)", "0001_t.metadata.yaml": "tabels: {}\n"},
			whimbrel.Options{ReadMetadata: metayaml.Read},
			`0001_t.metadata.yaml:1:1: unknown key "tabels"`,
		},
		"nobody reads it": {
			map[string]string{"0001_t.up.sql": "CREATE TABLE t (x int)", "0001_t.metadata.yaml": ofT},
			whimbrel.Options{},
			"set it to metayaml.Read",
		},
	} {
		t.Run(name, func(t *testing.T) {
			db, m := migratedFiles(t, tt.opts, nil)
			_ = m
			fsys := fstest.MapFS{}
			for name, text := range tt.files {
				fsys[name] = &fstest.MapFile{Data: []byte(text)}
			}
			set, err := source.Read(fsys, source.Options{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = whimbrel.New(db, set, tt.opts).Up(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			st, err := db.State(t.Context(), set.Name())
			if err != nil || st.Applied.Len() != 0 {
				t.Errorf("something is applied: %v, %v", st, err)
			}
		})
	}
}

func TestMetadataIsNoMigration(t *testing.T) {
	_, m := migratedFiles(t, whimbrel.Options{}, nil)
	if _, err := m.Query(t.Context(), "CREATE TABLE mine (x int)", whimbrel.QueryOptions{Write: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.ApplyMetadata(t.Context(), document(t, "tables: {mine: {owner: me}}"), whimbrel.MetadataOptions{}); err != nil {
		t.Fatal(err)
	}
	r, err := m.Reset(t.Context(), whimbrel.ResetOptions{Confirm: memdb.Name})
	if err != nil || len(r.Dropped) != 0 {
		t.Errorf("a reset of a database that nobody has migrated has dropped %v, %v", r.Dropped, err)
	}
}

// A migration that can't be in a transaction carries metadata too, wherever the process is killed.
func TestARunCarriesMetadata(t *testing.T) {
	t.Parallel()
	set, err := source.Read(fstest.MapFS{
		"0001_t.up.sql":        {Data: []byte("CREATE TABLE t (x int);\nCREATE INDEX CONCURRENTLY i ON t (x)")},
		"0001_t.metadata.yaml": {Data: []byte(ofT)},
		"0001_t.down.sql":      {Data: []byte("DROP INDEX CONCURRENTLY i; DROP TABLE t")},
	}, source.Options{Format: source.Native})
	if err != nil {
		t.Fatal(err)
	}
	opts := whimbrel.Options{ReadMetadata: metayaml.Read}
	for n, whole := 1, false; !whole; n++ {
		target := memdb.New()
		_, first := whimbrel.New(killAt(t, target, n, memdb.ErrKilled, anyCall), set, opts).Up(t.Context())
		whole = first == nil
		db := open(t, target)
		m := whimbrel.New(db, set, opts)
		if _, err := m.Up(t.Context()); err != nil {
			t.Fatalf("killed before call %d (%v): %v", n, first, err)
		}
		if d, err := m.Metadata(t.Context()); err != nil || metayaml.Write(d) != ofT {
			t.Errorf("killed before call %d (%v): %v, %v", n, first, d, err)
		}
		if s, err := m.Status(t.Context()); err != nil || s.Dirty || s.Version != 1 {
			t.Errorf("killed before call %d (%v): %+v, %v", n, first, s, err)
		}
		if _, err := m.Migrate(t.Context(), whimbrel.DownTo(whimbrel.NilVersion), whimbrel.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		if d, err := m.Metadata(t.Context()); err != nil || strings.Contains(metayaml.Write(d), "pii") {
			t.Errorf("rolled back after a kill before call %d: %v, %v", n, d, err)
		}
	}
}
