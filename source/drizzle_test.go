package source_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/whimbrel-db/whimbrel/source"
)

// journalOf is a journal with an entry for each tag, as drizzle-kit writes it.
func journalOf(tags ...string) string {
	var b strings.Builder
	b.WriteString("{\n  \"version\": \"7\",\n  \"dialect\": \"postgresql\",\n  \"entries\": [")
	for i, tag := range tags {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString("\n    {\n      \"idx\": " + string(rune('0'+i)) + ",\n      \"version\": \"7\",\n      \"when\": 170000000000" + string(rune('0'+i)) + ",\n      \"tag\": \"" + tag + "\",\n      \"breakpoints\": true\n    }")
	}
	b.WriteString("\n  ]\n}\n")
	return b.String()
}

func TestDrizzle(t *testing.T) {
	const journal = "meta/_journal.json"
	testReadings(t, source.Drizzle, []reading{
		{
			name: "the order of the journal, and its idx",
			files: files(journal, journalOf("0000_old_wolverine", "20240101000000_custom", "plain"), "meta/0000_snapshot.json", "{}",
				"0000_old_wolverine.sql", "CREATE TABLE a (id int);\n--> statement-breakpoint\nCREATE TABLE b (id int);", "20240101000000_custom.sql", up, "plain.sql", up, "relations.ts", "x"),
			want: `0 old_wolverine
  up 0000_old_wolverine.sql "CREATE TABLE a (id int);\n--> statement-breakpoint\nCREATE TABLE b (id int);"
1 custom
  up 20240101000000_custom.sql "SELECT 1;"
2 plain
  up plain.sql "SELECT 1;"`,
		},
		{
			name:  "breakpoints end statements that have no semicolon",
			files: files(journal, journalOf("0000_a"), "0000_a.sql", "SELECT 1 -- x\r\n--> statement-breakpoint\r\nSELECT ';'--> statement-breakpoint\r\nSELECT 3;\r\n--> statement-breakpoint\r\n\r\n--> statement-breakpoint\r\n-- end"),
			want:  `0 a` + "\n" + `  up 0000_a.sql "SELECT 1 -- x\r\n;--> statement-breakpoint\r\nSELECT ';';--> statement-breakpoint\r\nSELECT 3;\r\n--> statement-breakpoint\r\n\r\n--> statement-breakpoint\r\n-- end"`,
		},
		{
			name: "breakpoints where they would do harm",
			files: files(journal, journalOf("0000_a", "0001_b", "0002_c"), "0000_a.sql", "SELECT '\n--> statement-breakpoint\n'", "0001_b.sql", "SELECT 1;\n--> statement-breakpoint SELECT 2;",
				"0002_c.sql", "SELECT 1 -- x --> statement-breakpoint"),
			errors: `0000_a.sql:2:1: a breakpoint in this file is inside a literal or a comment, where Drizzle cuts the text in two; remove it
0001_b.sql:2:25: nothing can follow a breakpoint on its line; move it to the next line
0002_c.sql:1:15: the statement before this breakpoint has no semicolon, and a comment is between them; write the semicolon`,
		},
		{
			name: "what is wrong with entries",
			files: files(journal, `{"version": "7", "entries": [
  {"idx": 1, "when": 5, "tag": "0001_a"},
  {"idx": 1, "when": 6, "tag": "0001_b"},
  {"idx": 2, "when": 7, "tag": "0001_a"},
  {"idx": 3, "when": 7, "tag": "../x"}, {"idx": 4, "when": 7, "tag": "gone"},
  {"idx": -1, "tag": "x"}, {"tag": "y"}, {"idx": 5}, {"idx": 6, "tag": "z", "when": 1e400}
]}`, "0001_a.sql", up, "0001_b.sql", up),
			errors: `meta/_journal.json:3:3: 0001_b has idx 1 and comes after idx 1; Drizzle runs its migrations in the order of the journal; number them in this order
meta/_journal.json:4:3: the tag "0001_a" is also in line 2
meta/_journal.json:5:3: the tag "../x" can't be the name of a file
meta/_journal.json:5:41: there is no file gone.sql
meta/_journal.json:6:3: the entry "x" has no "idx" that is a number from 0
meta/_journal.json:6:28: the entry "y" has no "idx" that is a number from 0
meta/_journal.json:6:42: the entry has no "tag", which names its file
meta/_journal.json:6:54: the entry "z" has a "when" that is no time in milliseconds: 1e400`,
		},
		{
			name:     "what Drizzle skips",
			files:    files(journal, `{"entries": [{"idx": 0, "when": 9, "tag": "0000_a"},{"idx": 1, "when": 8, "tag": "0001_b"}]}`, "0000_a.sql", up, "0001_b.sql", up, "0001_c.sql", up),
			want:     "0 a\n  up 0000_a.sql \"SELECT 1;\"\n1 b\n  up 0001_b.sql \"SELECT 1;\"",
			warnings: "meta/_journal.json:1:53: 0001_b has a \"when\" that is not later than those before it, so Drizzle skips it in a database that has applied them\n0001_c.sql: Drizzle skips this file, so it does not run: it is not in meta/_journal.json",
		},
		{name: "a journal that is no JSON", files: files(journal, "{\n  \"entries\": [\n    {\"idx\": 0,}\n  ]\n}"), errors: "meta/_journal.json:3:15: is not a journal of Drizzle: invalid character '}' looking for beginning of object key string"},
		{name: "a journal that is something else", files: files(journal, "\ufeff[]"), errors: "meta/_journal.json:1:2: is not a journal of Drizzle: expected '{', got ["},
		{name: "a journal without entries", files: files(journal, "{\"a\": 1}"), errors: `meta/_journal.json: has no "entries", so it is not a journal of Drizzle`},
		{name: "a deep journal", files: files(journal, `{"x":`+strings.Repeat("[", 100_000)), errors: "meta/_journal.json:1:10005: is not a journal of Drizzle: invalid character '[' exceeded max depth"},
		{name: "a huge journal", files: files(journal, strings.Repeat(" ", 1<<20)+"{}"), errors: "meta/_journal.json: can't be read: it has more than 1048576 bytes, which is the most that is read"},
		{
			name:  "folders, as of drizzle-kit 1.0",
			files: files("20240102000000_b/migration.sql", up, "20240102000000_b/snapshot.json", "{}", "20240101000000_a/migration.sql", up, "20240101000000_a/snapshot.json", "{}", "docs/x.md", "x"),
			want:  "20240101000000 a\n  up 20240101000000_a/migration.sql \"SELECT 1;\"\n20240102000000 b\n  up 20240102000000_b/migration.sql \"SELECT 1;\"",
		},
		{
			name:   "folders that Drizzle would order differently",
			files:  files("10_b/migration.sql", up, "9_a/migration.sql", up, "x/migration.sql", up),
			errors: "10_b: Drizzle runs its folders in the order of their names, this before 9_a; their versions, which count here, are the other way round; give the versions the same number of digits\nx: has no version: its name has to begin with a number, because Drizzle orders folders by name; names look like 20240131093000_add_users",
		},
	})
}

func TestDrizzleOrigins(t *testing.T) {
	t.Parallel()
	set, err := source.Read(files("meta/_journal.json", journalOf("0000_a", "0001_b"), "0000_a.sql", up, "0001_b.sql", up), source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := set.All()[1]
	if want := time.UnixMilli(1700000000001).UTC(); m.Origin == nil || m.Origin.ID != "0001_b" || !m.Origin.When.Equal(want) {
		t.Errorf("m.Origin = %v, want 0001_b at %v", m.Origin, want)
	}
}

// A file from which another text runs has the checksum that Drizzle computes of it.
func TestDrizzleSum(t *testing.T) {
	t.Parallel()
	const text = "SELECT 1\r\n--> statement-breakpoint\r\nSELECT 2"
	set, err := source.Read(files("meta/_journal.json", journalOf("0000_a", "0001_b"), "0000_a.sql", text, "0001_b.sql", up), source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%x", sha256.Sum256([]byte(strings.ReplaceAll(text, "\r", ""))))
	if got := set.All()[0].Origin.Sum; got != want {
		t.Errorf("Origin.Sum = %v, want %v", got, want)
	}
	if got := set.All()[1].Origin.Sum; got != "" {
		t.Errorf("Origin.Sum = %v, want none", got)
	}
}

// A new migration is in the journal, which is otherwise as it was.
func TestDrizzleNewFiles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ tags, want string }{
		{"0000_a 0001_b", "0002_add_users.sql"},
		{"", "0000_add_users.sql"},
		{"20240101000000_a", time.Now().UTC().Format("2006")},
	} {
		tags := strings.Fields(c.tags)
		folder := files("meta/_journal.json", journalOf(tags...))
		for _, tag := range tags {
			folder[tag+".sql"] = &fstest.MapFile{Data: []byte(up)}
		}
		made, err := source.NewFiles(folder, source.NewOptions{Name: "add users"})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(made[0].Name, c.want) || made[0].Rewrite || !made[1].Rewrite || made[1].Name != "meta/_journal.json" {
			t.Errorf("made = %v", made)
		}
		if version, err := made[0].Version(); version != int64(len(tags)) {
			t.Errorf("version = %v, %v", version, err)
		}
		tag := strings.TrimSuffix(made[0].Name, ".sql")
		got := strings.Replace(made[1].Content, "170000000000", "x", -1)
		want := strings.Replace(journalOf(append(tags, tag)...), "170000000000", "x", -1)
		if lines, wanted := strings.Split(got, "\n"), strings.Split(want, "\n"); len(lines) != len(wanted) {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
		for _, f := range made {
			folder[f.Name] = &fstest.MapFile{Data: []byte(f.Content)}
		}
		set, err := source.Read(folder, source.Options{})
		if err != nil || set.Len() != len(tags)+1 || len(set.Warnings()) > 0 {
			t.Errorf("set = %v, %v, %v", set, err, set.Warnings())
		}
	}
	_, err := source.NewFiles(files("20240101000000_a/migration.sql", up, "20240101000000_a/snapshot.json", "{}"), source.NewOptions{Name: "b"})
	if got := errorText(err); !strings.HasSuffix(got, "create it with: drizzle-kit generate --custom --name=b") {
		t.Errorf("got %s", got)
	}
}
