package source_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/whimbrel-db/whimbrel/source"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

func metadataFiles(names ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for _, name := range names {
		text := "SELECT 1;\n"
		if strings.HasSuffix(name, ".yaml") {
			text = "# of " + name + "\n"
		}
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

func TestAMigrationCarriesMetadata(t *testing.T) {
	set, err := source.Read(metadataFiles("0001_a.up.sql", "0001_a.metadata.yaml", "0002_b.up.sql", "metadata.yaml"), source.Options{Dir: "m"})
	if err != nil {
		t.Fatal(err)
	}
	first, _ := set.Get(1)
	second, _ := set.Get(2)
	if first.Metadata == nil {
		t.Fatal("first.Metadata is nil")
	}
	if first.Metadata.File != "m/0001_a.metadata.yaml" {
		t.Fatalf("first.Metadata.File = %q, want %q", first.Metadata.File, "m/0001_a.metadata.yaml")
	}
	if second.Metadata != nil {
		t.Fatalf("second.Metadata = %+v, want nil", second.Metadata)
	}
	if text, _, err := first.Metadata.Text(100); text != "# of 0001_a.metadata.yaml\n" {
		t.Errorf("text = %q, want %q", text, "# of 0001_a.metadata.yaml\n")
	} else if err != nil {
		t.Error(err)
	}
}

func TestMetadataFilesThatBelongToNothing(t *testing.T) {
	for name, want := range map[string]string{
		"0003_c.metadata.yaml":    "there is no migration 3 that it belongs to",
		"0001_b.metadata.yaml":    "has the version of 0001_a.up.sql but another name",
		"0001_a.metadata.yml":     "did you mean 0001_a.metadata.yaml?",
		"0001_a.up.metadata.yaml": "did you mean 0001_a.metadata.yaml?",
		"B0001_a.metadata.yaml":   "only a migration can have metadata",
		"R__a.metadata.yaml":      "only a migration can have metadata",
		"0001a.metadata.yaml":     "names look like 0001_add_users.metadata.yaml",
	} {
		_, err := source.Read(metadataFiles("0001_a.up.sql", name), source.Options{})
		if err == nil {
			t.Fatalf("%s: got no error", name)
		}
		if !strings.Contains(err.Error(), name+": ") {
			t.Errorf("%s: err.Error() = %q, want a text containing %q", name, err.Error(), name+": ")
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: err.Error() = %q, want a text containing %q", name, err.Error(), want)
		}
	}
	broken := metadataFiles("0001_a.up.sql")
	broken["0001_a.metadata.yaml"] = &fstest.MapFile{Data: []byte("\xff")}
	if _, err := source.Read(broken, source.Options{}); err == nil {
		t.Error("got no error")
	} else if !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), "UTF-8")
	}
}

func TestOtherToolsMigrationsCarryMetadata(t *testing.T) {
	goose, dbmate := "-- +goose Up\nSELECT 1;\n", "-- migrate:up\nSELECT 1;\n"
	for _, c := range []struct {
		format     source.Format
		file, text string
	}{
		{source.GolangMigrate, "0007_a.up.sql", "SELECT 1;\n"},
		{source.Goose, "0007_a.sql", goose},
		{source.Dbmate, "0007_a.sql", dbmate},
		{source.Tern, "0007_a.sql", "SELECT 1;\n"},
		{source.Hasura, "0007_a/up.sql", "SELECT 1;\n"},
	} {
		fsys := metadataFiles("0007_a.metadata.yaml", "seeds.metadata.yaml")
		fsys[c.file] = &fstest.MapFile{Data: []byte(c.text)}
		set, err := source.Read(fsys, source.Options{Format: c.format})
		if err != nil {
			t.Errorf("%s: %v", c.format, err)
			continue
		}
		if m, _ := set.Get(7); m.Metadata == nil {
			t.Errorf("%s: m.Metadata is nil", c.format)
		} else if m.Metadata.File != "0007_a.metadata.yaml" {
			t.Errorf("%s: m.Metadata.File = %q, want %q", c.format, m.Metadata.File, "0007_a.metadata.yaml")
		}
		fsys["0008_b.metadata.yaml"] = &fstest.MapFile{Data: []byte("{}")}
		if _, err := source.Read(fsys, source.Options{Format: c.format}); err == nil {
			t.Errorf("%s: got no error", c.format)
		} else if !strings.Contains(err.Error(), "there is no migration 8") {
			t.Errorf("%s: err.Error() = %q, want a text containing %q", c.format, err.Error(), "there is no migration 8")
		}
	}
}

func TestASquashJoinsNoMetadata(t *testing.T) {
	fsys := metadataFiles("0001_a.up.sql", "0002_b.up.sql", "0002_b.metadata.yaml")
	_, err := source.Squash(fsys, source.SquashOptions{From: 1, To: 2, Name: "ab", Dialect: sqltext.PostgreSQL})
	if err == nil {
		t.Fatal("got no error")
	}
	if !strings.HasPrefix(err.Error(), "0002_b.metadata.yaml: ") {
		t.Errorf("err.Error() = %q, want a text beginning with %q", err.Error(), "0002_b.metadata.yaml: ")
	}
}
