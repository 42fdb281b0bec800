package whimbrel_test

import (
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/metadata/metadb"
	"github.com/whimbrel-db/whimbrel/metadata/metayaml"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
)

func readFiles(t *testing.T, files map[string]string) *migration.Set {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	set, err := source.Read(fsys, source.Options{Format: source.Native})
	noError(t, err)
	return set
}

// readsMetadata are the options of a program that lets migrations carry metadata.
var readsMetadata = whimbrel.Options{ReadMetadata: metayaml.Read}

func migratedFiles(t *testing.T, files map[string]string) *whimbrel.Migrator {
	t.Helper()
	m := whimbrel.New(open(t, memdb.New()), readFiles(t, files), readsMetadata)
	mustUp(t, m)
	return m
}

// wantMetadata compares a database's metadata, as YAML.
func wantMetadata(t *testing.T, m *whimbrel.Migrator, want string) {
	t.Helper()
	d, err := metadb.Read(t.Context(), m.Database())
	noError(t, err)
	wantEqual(t, "metadata", metayaml.Write(d), want)
}

const ofT = "tables:\n  t:\n    description: All there is.\n    columns:\n      x:\n        tags:\n          - pii\n"

func TestAMigrationCarriesMetadata(t *testing.T) {
	m := migratedFiles(t, map[string]string{
		"0001_t.up.sql": "CREATE TABLE t (x int)", "0001_t.down.sql": "DROP TABLE t", "0001_t.metadata.yaml": ofT,
		"0002_u.up.sql": "CREATE TABLE u (x int)", "0002_u.down.sql": "DROP TABLE u", "0002_u.metadata.yaml": "tables: {u: {owner: me}, t: {owner: you}}",
	})
	wantEntries := func(want ...string) {
		t.Helper()
		d, err := metadb.Read(t.Context(), m.Database())
		noError(t, err)
		var got []string
		for _, e := range d.Entries() {
			got = append(got, e.Name.String()+" "+e.Owner+e.Description)
		}
		wantEqual(t, "metadata", got, want)
	}
	wantEntries("t you", "t.x ", "u me")
	mustMigrate(t, m, whimbrel.By(-1))
	wantEntries("t you", "t.x ")
}

func TestABaselineCarriesItsMigrationsMetadata(t *testing.T) {
	m := migratedFiles(t, map[string]string{
		"B0003_start.sql": "CREATE TABLE t (x int); CREATE TABLE v (x int)",
		"0001_t.up.sql":   "CREATE TABLE t (x int)", "0001_t.metadata.yaml": ofT,
		"0002_u.up.sql": "CREATE TABLE u (x int)", "0002_u.metadata.yaml": "tables: {u: {owner: me}, t: {owner: you}}",
		"0003_v.up.sql": "DROP TABLE u; CREATE TABLE v (x int)",
	})
	wantMetadata(t, m, "tables:\n  t:\n    owner: you\n    columns:\n      x:\n        tags:\n          - pii\n")
}

func TestInvalidMetadataOfAMigration(t *testing.T) {
	for name, tt := range map[string]struct {
		metadata string
		opts     whimbrel.Options
		want     string
	}{
		"an unknown object":               {"tables:\n  u:\n    owner: me\n", readsMetadata, "0001_t.metadata.yaml:2:3: the database has no table u"},
		"no YAML":                         {"tabels: {}\n", readsMetadata, `0001_t.metadata.yaml:1:1: unknown key "tabels"`},
		"a program that does not read it": {ofT, whimbrel.Options{}, "set it to metayaml.Read"},
	} {
		t.Run(name, func(t *testing.T) {
			set := readFiles(t, map[string]string{"0001_t.up.sql": "CREATE TABLE t (x int)", "0001_t.metadata.yaml": tt.metadata})
			m := whimbrel.New(open(t, memdb.New()), set, tt.opts)
			wantErrorText(t, tryUp(t, m), tt.want)
			wantPending(t, mustStatus(t, m), 1)
		})
	}
}

// A migration that can't be in a transaction carries metadata too, and all of it is stored wherever
// a process is killed.
func TestARunCarriesMetadata(t *testing.T) {
	t.Parallel()
	set := readFiles(t, map[string]string{
		"0001_t.up.sql":        "CREATE TABLE t (x int);\nCREATE INDEX CONCURRENTLY i ON t (x)",
		"0001_t.metadata.yaml": ofT,
		"0001_t.down.sql":      "DROP INDEX CONCURRENTLY i; DROP TABLE t",
	})
	for n, whole := 1, false; !whole; n++ {
		t.Run(fmt.Sprintf("killed before call %d", n), func(t *testing.T) {
			target := memdb.New()
			first := tryUp(t, whimbrel.New(killAt(t, target, n, memdb.ErrKilled, anyCall), set, readsMetadata))
			whole = first == nil
			m := whimbrel.New(open(t, target), set, readsMetadata)
			mustUp(t, m)
			wantMetadata(t, m, ofT)
			wantNotInterrupted(t, m)
			wantEqual(t, "version", mustStatus(t, m).Version, 1)
			mustMigrate(t, m, whimbrel.DownTo(whimbrel.NilVersion))
			wantMetadata(t, m, "{}\n")
		})
	}
}
