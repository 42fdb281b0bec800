package mysql

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Only statements that insert rows of constants may be in a group.
func TestRowsOf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"INSERT INTO a VALUES (1, 'x;y', NULL, -2.5, x'00')":           "`a`",
		"insert a (b, c) values (default, now(6)), (1, uuid())":        "`a`",
		"REPLACE INTO `d`.`a` (b) VALUES ('it''s')":                    "`d`.`a`",
		"INSERT IGNORE INTO a VALUES (_utf8mb4'x') -- a comment":       "`a`",
		"INSERT INTO a VALUES ('a\\'b')":                               "`a`",
		"INSERT INTO a VALUES (\"a\\\"b\")":                            "", // depends on sql_mode
		"INSERT INTO a VALUES (f(1))":                                  "",
		"INSERT INTO a VALUES (now ())":                                "", // a function of the user
		"INSERT INTO a VALUES (@x)":                                    "",
		"INSERT INTO a VALUES (`b`)":                                   "",
		"INSERT INTO a VALUES ((SELECT 1))":                            "",
		"INSERT INTO a VALUES (last_insert_id())":                      "",
		"INSERT INTO a VALUES (1) ON DUPLICATE KEY UPDATE b = 2":       "",
		"INSERT INTO a VALUES (1) RETURNING b":                         "",
		"INSERT INTO a VALUES (1) /*! ; DROP TABLE b */":               "",
		"INSERT INTO a SELECT 1":                                       "",
		"INSERT INTO a SET b = 1":                                      "",
		"INSERT LOW_PRIORITY INTO a VALUES (1)":                        "",
		"INSERT INTO a PARTITION (p) VALUES (1)":                       "",
		"UPDATE a SET b = 1":                                           "",
		"DELETE FROM a":                                                "",
		"SELECT 1":                                                     "",
		"CREATE TABLE a (b int)":                                       "",
		"WITH a AS (SELECT 1) SELECT * FROM a":                         "",
		"INSERT INTO a VALUES (1); INSERT INTO a VALUES (2)":           "`a`", // the first
		"INSERT INTO a VALUES (LOAD_FILE('/etc/passwd'))":              "",
		"INSERT INTO a VALUES (nextval(s))":                            "",
		"INSERT INTO a VALUES (1 + 1, (2 - 1.5e3), CURRENT_TIMESTAMP)": "`a`",
	} {
		var got string
		all, err := sqltext.Split(text, sqltext.MySQL, sqltext.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if table, ok := rowsOf(all[0]); ok {
			got = table.quoted()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

// A group's tables are those of all its statements, whatever they begin with.
func TestTablesOfAGroup(t *testing.T) {
	t.Parallel()
	var all []sqltext.Statement
	size := 0
	for _, text := range []string{
		"INSERT INTO a VALUES (1)", "INSERT INTO a VALUES (2)", "INSERT INTO a VALUE (3)", "INSERT INTO a VALUES(4)",
		"INSERT INTO ab VALUES (1)", "INSERT INTO a.b VALUES (1)", "INSERT INTO a (b) VALUES (1)", "INSERT INTO ab VALUES (2)",
	} {
		all = append(all, sqltext.Statement{Text: text})
		size += len(text) + len(terminator)
	}
	tables, n, err := groupTablesOf(all)
	if want := []table{{"", "a"}, {"", "ab"}, {"a", "b"}}; err != nil || n != size || !slices.Equal(tables, want) {
		t.Errorf("got %v, %d, %v; want %v, %d", tables, n, err, want, size)
	}
	if _, _, err := groupTablesOf(append(all, sqltext.Statement{Text: "INSERT INTO a SELECT 1"})); err == nil {
		t.Error("a SELECT is in a group")
	}
}

// The answers to the statements of a message are read as they arrive, in whatever pieces, up to the
// first that is an error.
func TestAnswers(t *testing.T) {
	t.Parallel()
	ok := "\x07\x00\x00\x01\x00\x01\x05\x0a\x00\x02\x00" // one row; the id 5; another answer follows; two warnings
	failed := "\x09\x00\x00\x03\xff\x26\x04#23000"
	columns := "\x01\x00\x00\x01\x02" + "\x02\x00\x00\x02\x03d" + "\x02\x00\x00\x03\x03d"
	row := "\x04\x00\x00\x04\x02ab\xfb"
	oldEnd, end := "\x05\x00\x00\x05\xfe\x00\x00\x0a\x00", "\x07\x00\x00\x05\xfe\x00\x00\x0a\x00\x00\x00"
	for text, want := range map[string]string{
		"":                                      "",
		ok:                                      "5/2",
		ok + ok:                                 "5/2 5/2",
		ok + failed + ok:                        "5/2",
		ok + ok[:5]:                             "5/2",
		columns + row + row + end + ok:          "[[ab ] [ab ]] 5/2",
		columns + end + ok:                      "[] 5/2",
		columns + oldEnd + row + oldEnd + ok:    "[[ab ]] 5/2",
		columns + oldEnd + oldEnd + ok + failed: "[] 5/2",
		columns + row + failed + ok:             "",
	} {
		for size := range max(1, len(text)) {
			var got []string
			a := answers{each: func(a answer) {
				if a.id > 0 {
					got = append(got, fmt.Sprintf("%d/%d", a.id, a.warnings))
					return
				}
				got = append(got, fmt.Sprint(a.rows))
			}}
			for piece := range slices.Chunk([]byte(text), size+1) {
				a.add(piece)
			}
			if got := strings.Join(got, " "); got != want {
				t.Errorf("%q in pieces of %d: got %s, want %s", text, size+1, got, want)
			}
		}
	}
}
