package source_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/whimbrel-db/whimbrel/source"
)

func TestNewFilesVersions(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 1, 2, 3, 0, time.FixedZone("", 3600))
	for _, c := range []struct {
		name  string
		files fs.FS
		opts  source.NewOptions
		want  string // the first file, or the error
	}{
		{"an empty folder", files(), source.NewOptions{}, "0001_x.up.sql"},
		{"a folder that isn't there yet", os.DirFS(filepath.Join(t.TempDir(), "none")), source.NewOptions{}, "0001_x.up.sql"},
		{"an empty folder, timestamps asked, in UTC", files(), source.NewOptions{Timestamp: at}, "20260301000203_x.up.sql"},
		{"the newest, not the last", files("0009_a.up.sql", up, "0010_b.up.sql", up, "2_c.up.sql", up), source.NewOptions{}, "0011_x.up.sql"},
		{"no leading zeros", files("9_a.up.sql", up), source.NewOptions{}, "10_x.up.sql"},
		{"wide zeros", files("000099_a.up.sql", up), source.NewOptions{}, "000100_x.up.sql"},
		{"zeros outgrown", files("999_a.up.sql", up), source.NewOptions{Sequence: true}, "1000_x.up.sql"},
		{"timestamps asked in a folder that counts", files("0001_a.up.sql", up), source.NewOptions{Timestamp: at}, "20260301000203_x.up.sql"},
		{"timestamps continued", files("20260101000000_a.up.sql", up), source.NewOptions{Timestamp: at}, "20260301000203_x.up.sql"},
		{"a timestamp that is later than now", files("20260301005959_a.up.sql", up), source.NewOptions{Timestamp: at}, "20260301010000_x.up.sql"},
		{"an impossible one that is later", files("20269999999999_a.up.sql", up), source.NewOptions{Timestamp: at}, "20270000000000_x.up.sql"},
		{"fractions of a second", files("20260101000000123_a.up.sql", up), source.NewOptions{Timestamp: at}, "20260301000203000_x.up.sql"},
		{"a fraction that is later than now", files("202699010000001_a.up.sql", up), source.NewOptions{}, "202699010000002_x.up.sql"},
		{"days are followed by seconds", files("20240131_a.up.sql", up), source.NewOptions{Timestamp: at}, "20260301000203_x.up.sql"},
		{"days with dashes", files("2024-01-31_a.up.sql", up), source.NewOptions{Timestamp: at}, "20260301000203_x.up.sql"},
		{"days with a number", files("2024013101_a.up.sql", up), source.NewOptions{Timestamp: at}, "20260301000203_x.up.sql"},
		{"minutes", files("202401310930_a.up.sql", up), source.NewOptions{Timestamp: at}, "20260301000203_x.up.sql"},
		{"a sequence asked in a folder of days", files("20240131_a.up.sql", up), source.NewOptions{Sequence: true}, "the folder counts in timestamps"},
		{"a number that only looks long", files("20241331_a.up.sql", up), source.NewOptions{}, "20241332_x.up.sql"},
		{"tern counts, whatever it looks like", files("20240131_a.sql", up), source.NewOptions{Format: source.Tern}, "20240132_x.sql"},
		{"Unix seconds", files("1600000000_a.up.sql", up), source.NewOptions{Timestamp: at}, "1772323323_x.up.sql"},
		{
			"a sequence asked in a folder with timestamps", files("20260101000000_a.up.sql", up),
			source.NewOptions{Sequence: true},
			"the folder counts in timestamps (the newest is 20260101000000); a sequence number would come before them",
		},
		{"both asked", files(), source.NewOptions{Sequence: true, Timestamp: at}, "a new version is either a sequence number or a timestamp, not both"},
		{"no version left", files("9223372036854775807_a.up.sql", up), source.NewOptions{}, "there is no version after 9223372036854775807"},
		{"an empty golang-migrate folder", files(), source.NewOptions{Format: source.GolangMigrate}, "000001_x.up.sql"},
		{"an empty goose folder", files(), source.NewOptions{Format: source.Goose}, "00001_x.sql"},
		{"Go files count", files("00007_a.go", "x"), source.NewOptions{}, "00008_x.sql"},
		{"an empty dbmate folder", files(), source.NewOptions{Format: source.Dbmate, Timestamp: at}, "20260301000203_x.sql"},
		{"an empty tern folder", files(), source.NewOptions{Format: source.Tern}, "001_x.sql"},
		{"tern has no timestamps", files(), source.NewOptions{Format: source.Tern, Timestamp: at}, "tern has no timestamps: its versions have to be below 2147483648"},
		{"an empty Hasura folder", files(), source.NewOptions{Format: source.Hasura, Timestamp: at}, "1772323323000_x/up.sql"},
		{"a Hasura folder", files("1700000000000_a/up.sql", up), source.NewOptions{Timestamp: at}, "1772323323000_x/up.sql"},
		{"an empty Flyway folder", files(), source.NewOptions{Format: source.Flyway}, "V1__x.sql"},
		{"a Flyway folder", files("V1__a.sql", up, "sub/V009__a.sql", up, "R__x.sql", up), source.NewOptions{}, "sub/V010__x.sql"},
		{"a Flyway folder with dots", files("V1.9__a.sql", up, "V1_2_3__a.sql", up), source.NewOptions{}, "V1.10__x.sql"},
		{"a Flyway folder whose newest version has no dot", files("V1.9__a.sql", up, "V2__a.sql", up), source.NewOptions{}, "V2.1__x.sql"},
		{"a Flyway folder without room", files("V1.999__a.sql", up), source.NewOptions{}, "there is no version after 1.999"},
		{"a Flyway folder whose version does not fit", files("V1.1000__a.sql", up), source.NewOptions{}, "V1__x.sql"},
		{"a Flyway folder with Java", files("V1__a.sql", up, "V2__b.java", "x", "V3__c.txt", "x"), source.NewOptions{}, "V3__x.sql"},
		{"a Flyway folder with dots, timestamps asked", files("V1.9__a.sql", up), source.NewOptions{Timestamp: at}, "the folder has versions with dots (the newest is 1.9); a timestamp would not fit"},
		{"a Flyway folder with timestamps", files("V20240131093000__a.sql", up), source.NewOptions{Timestamp: at}, "V20260301000203__x.sql"},
		{"an empty sql-migrate folder", files(), source.NewOptions{Format: source.SQLMigrate, Timestamp: at}, "20260301000203-x.sql"},
		{"an empty sqlx folder", files(), source.NewOptions{Format: source.Sqlx, Timestamp: at}, "20260301000203_x.up.sql"},
		{"an sqlx folder without pairs", files("1_a.sql", up), source.NewOptions{Format: source.Sqlx}, "2_x.sql"},
		{"an empty Diesel folder", files(), source.NewOptions{Format: source.Diesel, Timestamp: at}, "2026-03-01-000203_x/up.sql"},
		{"a Diesel folder", files("00000000000000_diesel_initial_setup/up.sql", up, "2024-01-31-093000_a/up.sql", up), source.NewOptions{Timestamp: at}, "2026-03-01-000203_x/up.sql"},
		{"a Diesel folder without dashes", files("20240131093000_a/up.sql", up), source.NewOptions{Format: source.Diesel, Timestamp: at}, "20260301000203_x/up.sql"},
		{"an empty Prisma folder", files(), source.NewOptions{Format: source.Prisma, Timestamp: at}, "20260301000203_x/migration.sql"},
		{"a Prisma folder", files("0_init/migration.sql", up, "migration_lock.toml", ""), source.NewOptions{Timestamp: at}, "20260301000203_x/migration.sql"},
		{"a folder in doubt", files("1_a.up.sql", up, "tern.conf", ""), source.NewOptions{}, "the folder has files of more than one format"},
		{"an unknown format", files(), source.NewOptions{Format: "x"}, `unknown format "x"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.opts.Name = "x"
			made, err := source.NewFiles(c.files, c.opts)
			got := errorText(err)
			if err == nil {
				got = made[0].Name
			}
			if got != c.want && !(err != nil && strings.HasPrefix(got, c.want)) {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestNewFilesUsesThePresent(t *testing.T) {
	t.Parallel()
	before := time.Now().UTC().Format("20060102150405")
	made, err := source.NewFiles(files("20200101000000_a.up.sql", up), source.NewOptions{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if made[0].Name < before {
		t.Errorf("made[0].Name = %v, want at least %v", made[0].Name, before)
	}
}

func TestNewFilesNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"add users":              "0001_add_users.up.sql",
		" add\tusers  now ":      "0001_add_users_now.up.sql",
		"größe-v1.2":             "0001_größe-v1.2.up.sql",
		"":                       "a new migration needs a name that describes it, such as add_users",
		"a/b":                    `the name "a/b" has '/' in it, which can't be in a file's name on every system`,
		`a\b`:                    `the name "a\\b" has '\\' in it, which can't be in a file's name on every system`,
		"a:b":                    `the name "a:b" has ':' in it, which can't be in a file's name on every system`,
		"a\x00":                  `the name "a\x00" has '\x00' in it, which can't be in a file's name on every system`,
		"a\xff":                  `the name "a\xff" is not UTF-8`,
		"x.sql":                  `the name "x.sql" ends in .sql, which is added automatically; omit it`,
		"x.":                     `the name "x." ends in a dot, which not every file system supports`,
		strings.Repeat("x", 201): "the name is too long: 201 bytes, the most is 200",
	} {
		made, err := source.NewFiles(fstest.MapFS{}, source.NewOptions{Name: name})
		got := errorText(err)
		if err == nil {
			got = made[0].Name
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", name, got, want)
		}
	}
}

// begun is a folder without migrations. Two tools begin theirs with a file of their own.
func begun(format source.Format) fstest.MapFS {
	switch format {
	case source.Drizzle:
		return files("meta/_journal.json", journalOf())
	case source.Sqitch:
		return files("sqitch.plan", planOf())
	}
	return files()
}

// The files of NewFiles are refused until the up script is written. Then Read reads them in their
// format.
func TestNewFilesCanBeRead(t *testing.T) {
	t.Parallel()
	for _, format := range source.Formats() {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			folder := begun(format)
			for _, name := range []string{"add users", "add users again"} {
				made, err := source.NewFiles(folder, source.NewOptions{Name: name, Format: format})
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range made {
					folder[f.Name] = &fstest.MapFile{Data: []byte(f.Content)}
				}
				set, err := source.Read(folder, source.Options{Format: format})
				if err != nil {
					t.Fatal(err)
				}
				if all := set.All(); all[len(all)-1].Up.Problem == nil {
					t.Errorf("before it was written: %s can be run", all[len(all)-1])
				}
				text := strings.Replace(made[0].Content, "-- whimbrel: unfinished\n", "", 1)
				if at := strings.Index(text, "\n\n"); at >= 0 {
					text = text[:at+1] + up + text[at:]
				}
				folder[made[0].Name] = &fstest.MapFile{Data: []byte(text)}
			}
			set, err := source.Read(folder, source.Options{Format: format})
			if err != nil {
				t.Fatal(err)
			}
			if set.Len() != 2 {
				t.Fatalf("got %d migrations", set.Len())
			}
			for _, m := range set.All() {
				if !strings.HasPrefix(m.Name, "add_users") {
					t.Errorf("got %s", m)
				}
			}
			if format == source.GolangMigrate || format == source.Sqlx { // which have the same names
				format = source.Native
			}
			if got, err := source.Detect(folder); got != format {
				t.Errorf("got %v, want %v", got, format)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}
