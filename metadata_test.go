package whimbrel_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/metadata/metadb"
	"github.com/whimbrel-db/whimbrel/metadata/metayaml"
	"github.com/whimbrel-db/whimbrel/source"
)

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

const ofT = "tables:\n  t:\n    description: All there is.\n    columns:\n      x:\n        tags:\n          - pii\n"

func TestAMigrationCarriesMetadata(t *testing.T) {
	ctx := t.Context()
	opts := whimbrel.Options{ReadMetadata: metayaml.Read}
	_, m := migratedFiles(t, opts, map[string]string{
		"0001_t.up.sql": "CREATE TABLE t (x int)", "0001_t.down.sql": "DROP TABLE t", "0001_t.metadata.yaml": ofT,
		"0002_u.up.sql": "CREATE TABLE u (x int)", "0002_u.down.sql": "DROP TABLE u", "0002_u.metadata.yaml": "tables: {u: {owner: me}, t: {owner: you}}",
	})
	names := func() (all []string) {
		d, err := metadb.Read(ctx, m.Database())
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
	d, err := metadb.Read(t.Context(), m.Database())
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
		if d, err := metadb.Read(t.Context(), m.Database()); err != nil || metayaml.Write(d) != ofT {
			t.Errorf("killed before call %d (%v): %v, %v", n, first, d, err)
		}
		if s, err := m.Status(t.Context()); err != nil || s.Interrupted != nil || s.Version != 1 {
			t.Errorf("killed before call %d (%v): %+v, %v", n, first, s, err)
		}
		if _, err := m.Migrate(t.Context(), whimbrel.DownTo(whimbrel.NilVersion), whimbrel.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		if d, err := metadb.Read(t.Context(), m.Database()); err != nil || strings.Contains(metayaml.Write(d), "pii") {
			t.Errorf("rolled back after a kill before call %d: %v, %v", n, d, err)
		}
	}
}
