package source_test

import (
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/whimbrel-db/whimbrel/source"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// atlasFolder is a folder whose atlas.sum Atlas itself has written.
func atlasFolder(changes ...string) fstest.MapFS {
	m := files(
		"20240101000000_a.sql", "-- create\nCREATE TABLE a (id int);\n",
		"20240102000000_b.sql", "-- atlas:txmode none\n\nCREATE INDEX CONCURRENTLY i ON a (id);\r\n",
		"20240103000000.sql", "\ufeffSELECT 1;",
		"20240104000000_d.sql", "-- atlas:sum ignore\nSELECT 2;",
		"20240105000000_e.sql", "-- atlas:checkpoint\n\nCREATE TABLE a (id int);\n",
		"atlas.sum", `h1:5+f4zkb1Hx/fq6sIEYFRaZw7otq3BcdSv4pMKfkPVM8=
20240101000000_a.sql h1:ER5bbVFsI6WaHMZviPhpHw+wp+SHXFAtGAWERdeBenA=
20240102000000_b.sql h1:2CZt3kmHR213jQNFBQdfUnAC44Y6QdJtDTr+swfxNSI=
20240103000000.sql h1:KjltQ1KqO+tGIFFl0Qsa5LfxEmZXL4JJ09iCgDPR3TI=
20240105000000_e.sql h1:H7HfV8wi3xVkIbjE26XW3JLjfMr/RIYtOtbHD3ou98I=
`,
	)
	maps.Copy(m, files(changes...))
	maps.DeleteFunc(m, func(_ string, f *fstest.MapFile) bool { return string(f.Data) == "gone" })
	return m
}

func TestAtlas(t *testing.T) {
	const all = `20240101000000 a
  up 20240101000000_a.sql "-- create\nCREATE TABLE a (id int);\n"
20240102000000 b
  up 20240102000000_b.sql [no-transaction] "-- atlas:txmode none\n\nCREATE INDEX CONCURRENTLY i ON a (id);\r\n"
20240103000000
  up 20240103000000.sql "SELECT 1;"
20240104000000 d
  up 20240104000000_d.sql "-- atlas:sum ignore\nSELECT 2;"
`
	const remedy = "; if that is intended, run: atlas migrate hash"
	testReadings(t, source.Atlas, []reading{
		{name: "a folder of Atlas, with its sum", files: atlasFolder(), want: all},
		{
			name:  "a text that is not in the sum can change",
			files: atlasFolder("20240104000000_d.sql", "-- atlas:sum ignore\nSELECT 3;"),
			want:  strings.ReplaceAll(all, "SELECT 2", "SELECT 3"),
		},
		{
			name:   "an edited file",
			files:  atlasFolder("20240102000000_b.sql", "-- atlas:txmode none\n\nCREATE INDEX CONCURRENTLY i ON a (id);\n"),
			errors: "20240102000000_b.sql: has been changed since atlas.sum was written (line 3); files after it may have been, too, which the sum can't tell" + remedy,
		},
		{
			name:   "files that the sum or the folder lacks, each named",
			files:  atlasFolder("20240101000000_a.sql", "gone", "20240103000000.sql", "gone", "20240102000000_new.sql", "SELECT 1"),
			errors: "20240102000000_new.sql: version 20240102000000 is used twice: 20240102000000_b.sql and 20240102000000_new.sql; change the version of one\n20240102000000_new.sql: is not in atlas.sum" + remedy + "\natlas.sum:2:1: 20240101000000_a.sql is in the sum, but not in the folder" + remedy + "\natlas.sum:4:1: 20240103000000.sql is in the sum, but not in the folder" + remedy,
		},
		{
			name:   "a file whose text is no longer summed",
			files:  atlasFolder("20240103000000.sql", "-- atlas:sum ignore\nSELECT 1;"),
			errors: `atlas.sum:4:1: 20240103000000.sql is in the sum, but says "atlas:sum ignore"` + remedy,
		},
		{
			name:   "no sum",
			files:  atlasFolder("atlas.sum", "gone"),
			errors: "atlas.sum: is missing; a folder of Atlas has one, with the hashes of its files: atlas migrate hash writes it",
		},
		{
			name:   "a sum with a merge conflict",
			files:  atlasFolder("atlas.sum", "<<<<<<< HEAD\nh1:5+f4zkb1Hx/fq6sIEYFRaZw7otq3BcdSv4pMKfkPVM8=\n"),
			errors: "atlas.sum:1:1: the file has a merge conflict; resolve it with: atlas migrate hash",
		},
		{
			name:   "an edited sum",
			files:  files("atlas.sum", "\ufeffh1:5+f4zkb1Hx/fq6sIEYFRaZw7otq3BcdSv4pMKfkPVM8=\r\n1_a.sql h1:ER5bbVFsI6WaHMZviPhpHw+wp+SHXFAtGAWERdeBenA=\r\n"),
			errors: "atlas.sum:1:1: the first line is not the sum of the others: the file was edited or merged; check the migrations and run: atlas migrate hash",
		},
		{
			name:   "a sum that is none",
			files:  files("atlas.sum", "h1:5+f4zkb1Hx/fq6sIEYFRaZw7otq3BcdSv4pMKfkPVM8=\n1_a.sql h1:abc\n"),
			errors: "atlas.sum:2:1: the line is not a sum of Atlas, which looks like: 20240131093000_add_users.sql h1:HASH",
		},
		{
			name:  "names, and their order",
			files: files("10_a.sql", "-- atlas:sum ignore\n", "9_b.sql", "-- atlas:sum ignore\n", "v1.sql", "-- atlas:sum ignore\n", "99999999999999999999_x.sql", "-- atlas:sum ignore\n", "notes.txt", "x"),
			errors: `99999999999999999999_x.sql: the version 99999999999999999999 is too large; the largest is 9223372036854775807
9_b.sql: Atlas runs its files in the order of their names, this after 10_a.sql; their versions, which count here, are the other way round; give the versions the same number of digits
v1.sql: its version, "v1", is not a number, as Atlas allows; names look like 20240131093000_add_users.sql`,
		},
		{
			name: "directives",
			files: files(
				"1_a.sql", "-- atlas:sum ignore\n-- atlas:txmode all\n-- atlas:txmode x\n\nSELECT 1;",
				"2_b.sql", "-- atlas:sum ignore\n# atlas:txtar\n--atlas:assert x\n-- atlas:import y.sql\n-- atlas:frobnicate\n\nSELECT 1;",
				"3_c.sql", "-- atlas:sum ignore\n-- atlas:nolint destructive\n\n-- atlas:nolint\nSELECT 1;",
			),
			errors: `1_a.sql:2:1: atlas:txmode all can't be in a file; Atlas refuses it, too
1_a.sql:3:1: a second atlas:txmode; remove one
1_a.sql:3:1: unknown atlas:txmode "x"; valid modes: none, file
2_b.sql:2:1: atlas:txtar puts checks and a migration into one file, which Whimbrel doesn't read; leave the migration alone in the file
2_b.sql:3:1: atlas:assert checks the database before the migration, which Whimbrel doesn't; write the check as a statement that fails
2_b.sql:4:1: atlas:import takes the text from another file, which Whimbrel doesn't read; put the text here
2_b.sql:5:1: unknown directive atlas:frobnicate`,
		},
		{
			name:     "directives that Atlas takes for comments",
			files:    files("1_a.sql", "-- atlas:sum ignore\n-- atlas:txmode none\nSELECT 1;", "2_b.sql", "-- atlas:sum ignore\n-- atlas:delimiter \\n\\n\n\nSELECT 1;"),
			want:     "1 a\n  up 1_a.sql \"-- atlas:sum ignore\\n-- atlas:txmode none\\nSELECT 1;\"\n2 b\n  up 2_b.sql \"-- atlas:sum ignore\\n-- atlas:delimiter \\\\n\\\\n\\n\\nSELECT 1;\"",
			warnings: "1_a.sql:2:1: atlas:txmode has no effect: Atlas reads it only if an empty line follows the comments at the top of the file\n2_b.sql:2:1: atlas:delimiter has no effect: Atlas reads it only in the first line",
		},
	})
}

func TestAtlasCheckpointIsABaseline(t *testing.T) {
	t.Parallel()
	set, err := source.Read(atlasFolder(), source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	all := set.Baselines()
	if len(all) != 1 || all[0].Version != 20240105000000 || all[0].Name != "e" || all[0].Origin.ID != "20240105000000" {
		t.Errorf("set.Baselines() = %v", all)
	}
	if m, _ := set.Get(20240101000000); m.Origin == nil || m.Origin.Sum != "ER5bbVFsI6WaHMZviPhpHw+wp+SHXFAtGAWERdeBenA=" {
		t.Errorf("m.Origin = %v", m.Origin)
	}
}

// A file with a delimiter runs as the same statements, in the same lines and columns. Its checksum
// is that of the file.
func TestAtlasDelimiter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"-- atlas:delimiter //\nSELECT 1 // SELECT '//';//\n-- //\n// SELECT (1 // 2)", "-- atlas:delimiter //\nSELECT 1 ;  SELECT '//';  \n-- //\n   SELECT (1 // 2)"},
		{"-- atlas:delimiter \\n\\n\\n\nSELECT 1\n\n\nSELECT 2 -- x\n\n\n\nSELECT 3;\n\n\nSELECT $$a\n\n\nb$$", "-- atlas:delimiter \\n\\n\\n\nSELECT 1;\n\n\nSELECT 2 -- x\n;\n\n\nSELECT 3;\n\n\nSELECT $$a\n\n\nb$$"},
		{"-- atlas:delimiter -- end\nSELECT 1\n-- end\nSELECT 2;\n-- end\n", "-- atlas:delimiter -- end\nSELECT 1\n;     \nSELECT 2;\n      \n"},
		{"-- atlas:delimiter ;\nSELECT 1;", "-- atlas:delimiter ;\nSELECT 1;"},
	} {
		folder := files("1_a.sql", c.text)
		plain := files("1_a.sql", strings.Replace(c.text, "-- atlas:delimiter", "-- atlas:nolint   ", 1))
		read := func(folder fstest.MapFS) string {
			_, err := source.Read(folder, source.Options{Format: source.Atlas})
			return errorText(err)
		}
		if got := read(folder); !strings.Contains(got, "atlas.sum: is missing") || read(plain) != got {
			t.Errorf("got %v", got)
		}
		folder["atlas.sum"] = &fstest.MapFile{Data: []byte(source.AtlasSumOf("1_a.sql", c.text))}
		set, err := source.Read(folder, source.Options{Format: source.Atlas, Dialect: sqltext.PostgreSQL})
		if err != nil {
			t.Fatal(err)
		}
		m := set.All()[0]
		got, _, err := m.Up.Text(1000)
		if err != nil || got != c.want {
			t.Errorf("got  %q\nwant %q (%v)", got, c.want, err)
		}
		native, err := source.Read(files("1_a.up.sql", c.text), source.Options{Format: source.Native})
		if err != nil {
			t.Fatal(err)
		}
		if want := native.All()[0].Up.Checksum; m.Up.Checksum != want {
			t.Errorf("m.Up.Checksum = %v, want %v", m.Up.Checksum, want)
		}
	}
}
