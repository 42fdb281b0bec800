package source_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/whimbrel-db/whimbrel/source"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// head is the first line of a changelog.
const head = "--liquibase formatted sql\n"

func TestLiquibase(t *testing.T) {
	set := func(id, text string) string { return "--changeset alice:" + id + "\n" + text + "\n" }
	testReadings(t, source.Liquibase, []reading{
		{
			name: "one file without a number",
			files: files("changelog.sql", head+"-- a licence;\n\n--changeset alice:create-users splitStatements:false stripComments:true\n--comment: users\nCREATE TABLE users (id int);\n--rollback DROP TABLE users;\n\n"+
				"-- ChangeSet bob:2 runInTransaction:false\nCREATE INDEX CONCURRENTLY i\n  ON users (id);\n--rollback DROP INDEX\n--rollback   i;\n\n--changeset \"Carol X\":\"three or so\"\nSELECT 3;\n"),
			want: `1 create-users
  up changelog.sql:5 "--comment: users\nCREATE TABLE users (id int);"
  down changelog.sql:7 "           DROP TABLE users;"
2 2
  up changelog.sql:10 [no-transaction] "CREATE INDEX CONCURRENTLY i\n  ON users (id);"
  down changelog.sql:12 [no-transaction] "           DROP INDEX\n             i;"
3 three or so
  up changelog.sql:16 "SELECT 3;"`,
		},
		{
			name: "several files, with a byte-order mark and CRLF",
			files: files("0002_b.sql", "\ufeff\r\n  -- Liquibase Formatted SQL\r\n\t--changeset alice:1\r\nSELECT 1;\r\n--rollback SELECT 2;\r\n", "0001_a.sql", head+set("1", "SELECT 3;")+set("2", "SELECT 4;"),
				"db.changelog-master.yaml", "databaseChangeLog:\n  - include:\n      file: db/0001_a.sql\n  - include: {file: 0002_b.sql}\n"),
			want: `1001 1
  up 0001_a.sql:3 "SELECT 3;"
1002 2
  up 0001_a.sql:5 "SELECT 4;"
2001 1
  up 0002_b.sql:4 "SELECT 1;"
  down 0002_b.sql:5 "           SELECT 2;"`,
		},
		{
			name: "rollbacks",
			files: files("c.sql", head+set("1", "SELECT 1;\n--rollback empty")+set("2", "SELECT 2;\n--rollback not required")+set("3", "SELECT 3;\n/* liquibase rollback\n  DROP TABLE a;\nDROP TABLE b; */\nSELECT 4;")+
				set("4", "SELECT 5;\n--rollback changesetId:1 changesetAuthor:alice")+set("5", "SELECT '--rollback x';\n--rollback")),
			want: `1 1
  up c.sql:3 "SELECT 1;"
  down c.sql:4 [empty] ""
2 2
  up c.sql:6 "SELECT 2;"
  down c.sql:7 [empty] ""
3 3
  up c.sql:9 "SELECT 3;\n\n\n\nSELECT 4;"
  down c.sql:10 "\n  DROP TABLE a;\nDROP TABLE b;"
4 4
  up c.sql:15 "SELECT 5;"
  down c.sql:3 "SELECT 1;"
5 5
  up c.sql:18 "SELECT '--rollback x';\n--rollback"`,
		},
		{
			name:  "changesets for other databases, and ignored ones",
			files: files("1.sql", head+set("a dbms:postgresql,h2", up)+set("b dbms:oracle", up)+set("c dbms:!postgresql", up)+set("d dbms:!oracle", up)+set("e ignore:true", up)+set("f dbms:all", up)),
			opts:  source.Options{Dialect: sqltext.PostgreSQL},
			want:  "1001 a\n  up 1.sql:3 \"SELECT 1;\"\n1004 d\n  up 1.sql:9 \"SELECT 1;\"\n1006 f\n  up 1.sql:13 \"SELECT 1;\"",
			warnings: `1.sql:4:1: the changeset alice:b does not run: it is for other databases (dbms:oracle)
1.sql:6:1: the changeset alice:c does not run: it is for other databases (dbms:!postgresql)
1.sql:10:1: the changeset alice:e does not run: ignore:true`,
		},
		{
			name: "what is refused, by name",
			files: files("1.sql", head+"--property name=x value:y other:z\n--ignoreLines:2\nSELECT 0;\n"+
				set("1 dbms:oracle context:test contextFilter:\"a and b\" labels:x", up)+
				set("2 runAlways:true failOnError:false endDelimiter:/ rollbackEndDelimiter:// runWith:psql runWithSpoolFile:x", up)+
				set("3 runOnChange:yes", "--preconditions onFail:MARK_RAN\n--precondition-sql-check expectedResult:0 SELECT 1\n"+up)+
				"--changeset alice\n--changesets\n--changeset alice:1\n"+up+"\n--changeset alice:9\n\n--changset alice:10\n"+up+"\n--rollback: x\n--rollback changesetId:7\n"+
				set("11", up+"\n--rollback changesetId:7 changesetAuthor:alice")+set("12", "/* liquibase rollback\n x")+set("13", head+up)),
			errors: `1.sql:2:1: a property is a value that Liquibase puts into the scripts, which Whimbrel doesn't; write the value where it belongs
1.sql:3:1: ignoreLines leaves lines out, which Whimbrel doesn't; remove them, or make them comments
1.sql:4:1: a statement is before the first changeset, where nothing would run it
1.sql:5:21: dbms:oracle decides by the database whether the changeset runs, and the dialect is not known; give it
1.sql:5:33: context decides whether a changeset runs, which Whimbrel doesn't support; remove it, or move the changeset to another folder
1.sql:5:46: contextFilter decides whether a changeset runs, which Whimbrel doesn't support; remove it, or move the changeset to another folder
1.sql:5:70: labels decides whether a changeset runs, which Whimbrel doesn't support; remove it, or move the changeset to another folder
1.sql:7:21: runAlways:true runs a changeset every time, which Whimbrel doesn't; with runOnChange:true it runs when it has changed
1.sql:7:36: failOnError:false goes on after an error, which Whimbrel doesn't; write statements that can't fail, such as CREATE … IF NOT EXISTS
1.sql:7:54: endDelimiter ends statements with something else than a semicolon, which Whimbrel doesn't support; write semicolons
1.sql:7:69: rollbackEndDelimiter ends statements with something else than a semicolon, which Whimbrel doesn't support; write semicolons
1.sql:7:93: runWith runs a changeset with another program, which Whimbrel doesn't; remove it if the changeset is SQL
1.sql:7:106: runWithSpoolFile writes to a file, which Whimbrel doesn't; remove it
1.sql:9:21: runOnChange is neither true nor false: "yes"
1.sql:10:1: a precondition decides whether a changeset runs, which Whimbrel doesn't support; write a statement that fails, or that does nothing, where the condition does not hold
1.sql:11:1: a precondition decides whether a changeset runs, which Whimbrel doesn't support; write a statement that fails, or that does nothing, where the condition does not hold
1.sql:13:1: is not the line of a changeset, which looks like: --changeset alice:1
1.sql:14:1: is not the line of a changeset, which looks like: --changeset alice:1
1.sql:15:1: the changeset alice:1 is also in line 5
1.sql:19:1: this line looks like a marker of liquibase, but is not one; if you mean it, write: --changeset author:id
1.sql:21:1: this line looks like a marker of liquibase, but is not one; if you mean it, write: --rollback SQL
1.sql:22:1: a rollback that names a changeset needs changesetId and changesetAuthor
1.sql:25:1: the rollback names a changeset alice:7, which the folder doesn't have
1.sql:27:1: the rollback comment has no end
1.sql:30:1: a second line "--liquibase formatted sql"`,
		},
		{
			name:     "what is only a warning",
			files:    files("1.sql", head+"--changeset a:1 runOnchange:false created:today\n--validCheckSum: 8:abc\nSELECT '${x}', '${ }';\n"),
			want:     "1001 1\n  up 1.sql:3 \"--validCheckSum: 8:abc\\nSELECT '${x}', '${ }';\"",
			warnings: "1.sql:2:1: unknown attribute \"created:today\", which Liquibase ignores\n1.sql:3:1: validCheckSum has no effect: the history has the text of each script, and repair accepts another\n1.sql:4:9: ${x} stays as it is; Liquibase replaces it if it has a parameter of this name",
		},
		{
			name:   "a changeset without SQL",
			files:  files("1.sql", head+"--changeset a:1\n\n--changeset a:2\n-- nothing\n"),
			errors: "1.sql:2:1: the changeset a:1 has no SQL, which Liquibase refuses",
		},
		{
			name:   "files that don't fit",
			files:  files("1.sql", head, "01_x.sql", head, "a.sql", head, "2.sql", up, "99999999999999999999.sql", head, "9223372036854775.sql", head),
			errors: "1.sql: has the number of 01_x.sql; give each changelog a number of its own\n2.sql: its first line is not \"--liquibase formatted sql\": Liquibase runs it as one changeset, raw:includeAll, or not at all; write that line, and a changeset below it\n9223372036854775.sql: the number 9223372036854775 is too large: versions are 1000 times it\n99999999999999999999.sql: the version 99999999999999999999 is too large; the largest is 9223372036854775807\na.sql: has no number at the beginning of its name, which several changelogs in one folder need; names look like 0001_users.sql",
		},
		{
			name:   "files that includeAll would order differently",
			files:  files("10_b.sql", head+set("1", up), "9_a.sql", head+set("1", up)),
			errors: "10_b.sql: Liquibase's includeAll reads files in the order of their names, this before 9_a.sql; their numbers, which count here, are the other way round; give them the same number of digits",
		},
		{
			name:   "a changelog that orders them differently, and others that have changesets",
			files:  files("1_a.sql", head+set("1", up), "2_b.sql", head+set("1", up), "x.xml", `<databaseChangeLog><include file="2_b.sql"/><include file="1_a.sql"/></databaseChangeLog>`, "y.json", `{"databaseChangeLog": [{"changeSet": {}}]}`, "z.yaml", "a: b"),
			errors: "2_b.sql: x.xml includes this before 1_a.sql; their numbers, which count here, are the other way round; renumber them\ny.json: has changesets that are not SQL, which Whimbrel doesn't read; write them as formatted SQL",
		},
		{
			name:     "a changelog that orders them as it likes, and leaves one out",
			files:    files("9_a.sql", head+set("1", up), "10_b.sql", head+set("1", up), "11_c.sql", head+set("1", up), "x.xml", `<databaseChangeLog><include file="9_a.sql"/><include file="10_b.sql"/></databaseChangeLog>`),
			want:     "9001 1\n  up 9_a.sql:3 \"SELECT 1;\"\n10001 1\n  up 10_b.sql:3 \"SELECT 1;\"\n11001 1\n  up 11_c.sql:3 \"SELECT 1;\"",
			warnings: "11_c.sql: x.xml does not include this file, so Liquibase does not run it; Whimbrel does",
		},
	})
}

func TestLiquibaseOriginsAndRepeatables(t *testing.T) {
	t.Parallel()
	set, err := source.Read(files(
		"changelog.sql", "--liquibase formatted sql logicalFilePath:db/log.sql\n--changeset a:1\n"+up+"\n--changeset a:v runOnChange:true\n"+up+"\n--rollback SELECT 2;\n--changeset b:v runOnChange:true logicalFilePath:x\n"+up+"\n--changeset a:2 logicalFilePath:x\n"+up+"\n",
	), source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range set.All() {
		got = append(got, fmt.Sprint(m.Version, " ", m.Origin.ID))
	}
	for _, r := range set.Repeatables() {
		got = append(got, r.Name)
	}
	if want := []string{"1 a:1@db/log.sql", "4 a:2@x", "a_v", "b_v"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if len(set.Warnings()) != 1 {
		t.Errorf("set.Warnings() = %v", set.Warnings())
	}
}

// What takes a changeset back is no part of its checksum.
func TestLiquibaseRollbackIsNotInTheChecksum(t *testing.T) {
	t.Parallel()
	read := func(rollback string) string {
		set, err := source.Read(files("c.sql", head+"--changeset a:1\nSELECT 1;\n"+rollback), source.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return set.All()[0].Up.Checksum.String()
	}
	want := read("")
	for _, rollback := range []string{"--rollback SELECT 2;", "--rollback SELECT 2;\n--rollback SELECT 3;\n", "/* liquibase rollback\nSELECT 3;\n*/\n"} {
		if got := read(rollback); got != want {
			t.Errorf("%q: got %v, want %v", rollback, got, want)
		}
	}
}

// The order of versions is that of the files' names, and of the changesets in them.
func TestLiquibaseOrderIsThatOfTheFiles(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 2))
		folder := fstest.MapFS{}
		var want []string
		number := 0
		for n := range 1 + r.IntN(5) {
			number += 1 + r.IntN(3)
			text := head
			for i := range 1 + r.IntN(12) {
				sql := fmt.Sprintf("SELECT %d, %d;", n, i)
				text += fmt.Sprintf("--changeset x:%d\n%s\n", r.Uint32(), sql)
				want = append(want, sql)
			}
			folder[fmt.Sprintf("%03d_%c.sql", number, 'a'+rune(r.IntN(26)))] = &fstest.MapFile{Data: []byte(text)}
		}
		set, err := source.Read(folder, source.Options{})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		var got []string
		for _, m := range set.All() {
			text, _, _ := m.Up.Text(100)
			got = append(got, text)
		}
		if !slices.Equal(got, want) {
			t.Errorf("seed %d: got %v, want %v", seed, got, want)
		}
	}
}

func TestLiquibaseNewFiles(t *testing.T) {
	t.Parallel()
	folder := files("changelog.sql", head+"--changeset a:1\n"+up)
	for i := range 2 {
		made, err := source.NewFiles(folder, source.NewOptions{Name: fmt.Sprint("add users ", i)})
		if err != nil {
			t.Fatal(err)
		}
		if len(made) != 1 || !made[0].Rewrite || made[0].Name != "changelog.sql" {
			t.Fatalf("made = %v", made)
		}
		if version, err := made[0].Version(); version != int64(i+2) {
			t.Errorf("version = %v, %v", version, err)
		}
		folder["changelog.sql"] = &fstest.MapFile{Data: []byte(made[0].Content)}
		set, err := source.Read(folder, source.Options{})
		if err != nil || set.Len() != i+2 || set.All()[i+1].Up.Problem == nil || set.All()[i+1].Down != nil {
			t.Errorf("set = %v, %v", set, err)
		}
	}
	made, err := source.NewFiles(files("0007_a.sql", head), source.NewOptions{Name: "b"})
	if err != nil || made[0].Name != "0008_b.sql" || made[0].Rewrite {
		t.Errorf("made = %v, %v", made, err)
	} else if version, _ := made[0].Version(); version != 8001 {
		t.Errorf("version = %v", version)
	}
}
