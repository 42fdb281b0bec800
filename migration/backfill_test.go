package migration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

const wholeHead = `-- Lower-case copies of the addresses.
-- whimbrel: backfill public.users
-- whimbrel: key tenant_id, "Id"
-- whimbrel: batch 1000
-- whimbrel: target 500ms
-- whimbrel: parallel 4
-- whimbrel: pause 50ms
-- whimbrel: timeout 30s
-- whimbrel: attempts 3
-- whimbrel: check: SELECT count(*) FROM users
-- whimbrel: check  WHERE email_lower IS NULL
-- whimbrel: recheck
-- whimbrel: sync
-- whimbrel: detach
-- whimbrel: max-lag 10s
-- whimbrel: max-slot-wal 10GB
-- whimbrel: max-wal-rate 50MB/s
-- whimbrel: wait-for-autovacuum
-- whimbrel: max-flow-control 0.1
-- whimbrel: throttle SELECT false
-- whimbrel: after 12
-- whimbrel: lock-timeout 2s

UPDATE users SET email_lower = lower(email) WHERE (tenant_id, "Id") BETWEEN (:first) AND (:last);
`

func TestParseBackfill(t *testing.T) {
	t.Parallel()
	s, err := ParseBackfill("0013_lower.backfill.sql", wholeHead, sqltext.PostgreSQL)
	if err != nil {
		t.Fatal(err)
	}
	want := &Backfill{
		Table: "public.users", Key: []string{"tenant_id", "Id"}, Batch: 1000, Target: 500 * time.Millisecond, Parallel: 4, Pause: 50 * time.Millisecond,
		Timeout: 30 * time.Second, Attempts: 3, Check: "SELECT count(*) FROM users\nWHERE email_lower IS NULL", Recheck: true, Sync: true, Detach: true,
		Throttle: Throttle{Lag: 10 * time.Second, SlotWAL: 10 << 30, WALRate: 50 << 20, Autovacuum: true, FlowControl: 0.1, Query: "SELECT false"},
	}
	if diff := cmp.Diff(want, s.Backfill); diff != "" {
		t.Errorf("Backfill (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int64{12}, s.After); diff != "" {
		t.Errorf("After (-want +got):\n%s", diff)
	}
	if s.LockTimeout != 2*time.Second {
		t.Errorf("LockTimeout = %v, want 2s", s.LockTimeout)
	}
	if got := s.Place("key", sqltext.PostgreSQL).String(); got != "0013_lower.backfill.sql:3:1" {
		t.Errorf(`Place("key") = %s`, got)
	}
	if got := s.Place("no such word", sqltext.PostgreSQL).String(); got != "0013_lower.backfill.sql:2:1" {
		t.Errorf("Place of a missing word = %s, want that of backfill", got)
	}
}

func TestParseBackfillRefuses(t *testing.T) {
	t.Parallel()
	for head, want := range map[string]string{
		"":                                 `f.sql:1:1: a backfill needs the table whose rows it changes; write "-- whimbrel: backfill TABLE" before its statements`,
		"backfill":                         `f.sql:1:1: directive "backfill" needs an argument such as "backfill public.users" (got "")`,
		"backfill a b":                     `f.sql:1:1: directive "backfill" needs an argument such as "backfill public.users" (got "a b")`,
		"backfill t|backfill u":            `f.sql:2:1: directive "backfill" is given twice; remove one`,
		"backfill t|key a, a":              `f.sql:2:1: directive "key" names the column "a" twice; remove one`,
		"backfill t|key a b":               `f.sql:2:1: directive "key" needs an argument such as "key tenant_id, id" (got "a b")`,
		"backfill t|batch 0":               `f.sql:2:1: directive "batch" needs a number from 1 to 1000000 (got "0")`,
		"backfill t|batch many":            `f.sql:2:1: directive "batch" needs an argument such as "batch 1000" (got "many")`,
		"backfill t|batch 1|batch 2":       `f.sql:3:1: directive "batch" is given twice; remove one`,
		"backfill t|target 1":              `f.sql:2:1: directive "target" needs an argument such as "target 250ms" (got "1")`,
		"backfill t|pause 0s":              `f.sql:2:1: directive "pause" needs a duration of at least 1ms (got "0s")`,
		"backfill t|sync now":              `f.sql:2:1: directive "sync" takes no argument (got "now")`,
		"backfill t|max-slot-wal 10":       `f.sql:2:1: directive "max-slot-wal" needs an argument such as "max-slot-wal 10GB" (got "10")`,
		"backfill t|max-flow-control 2":    `f.sql:2:1: directive "max-flow-control" needs a share of time above 0 and up to 1 (got "2")`,
		"backfill t|max-flow-control NaN":  `f.sql:2:1: directive "max-flow-control" needs a share of time above 0 and up to 1 (got "NaN")`,
		"backfill t|recheck":               `f.sql:2:1: directive "recheck" needs a query that counts the rows still to change; write "-- whimbrel: check SELECT count(*) …"`,
		"backfill t|no-transaction":        "f.sql:2:1: a backfill executes each batch in a transaction; remove the directive",
		"backfill t|empty":                 "f.sql:2:1: a backfill needs a statement; remove the directive",
		"backfill t|retry-for 1m":          `f.sql:2:1: a backfill tries a lane again as often as "attempts" says; remove the directive`,
		"backfill t|after x":               `f.sql:2:1: directive "after" needs the version of a backfill, such as "after 12" (got "x")`,
		"backfill t|after 1|after 1":       `f.sql:3:1: directive "after" names version 1 twice; remove one`,
		"backfill t|paralel 2":             `; did you mean "parallel 2"?`,
		"backfill t|targt 1s|attempts 0":   `did you mean "target 1s"?` + "\n" + `f.sql:3:1: directive "attempts" needs a number from 1 to 1000 (got "0")`,
		"backfill t|throttle":              `f.sql:2:1: directive "throttle" needs an argument such as "throttle SELECT count(*) > 100 FROM queue" (got "")`,
		"backfill t|replaces 1 " + someSum: "f.sql:2:1: a backfill can't replace migrations; remove the directive",
	} {
		text := ""
		for line := range strings.SplitSeq(head, "|") {
			text += "-- whimbrel: " + line + "\n"
		}
		if head == "" {
			text = ""
		}
		_, err := ParseBackfill("f.sql", text+"DELETE FROM t WHERE id BETWEEN :first AND :last", sqltext.PostgreSQL)
		if err == nil {
			t.Errorf("%q: got no error", head)
		} else if got := err.Error(); got != want && !(strings.Contains(want, "did you mean") && strings.HasSuffix(got, want)) {
			t.Errorf("%q:\n got %s\nwant %s", head, got, want)
		}
	}
}

const someSum = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

func TestBody(t *testing.T) {
	t.Parallel()
	if s, err := ParseBackfill("f.sql", "-- whimbrel: backfill t\nSELECT touch(:first, :last)", sqltext.PostgreSQL); err != nil {
		t.Error(err)
	} else if _, err := s.Body(sqltext.PostgreSQL); err != nil {
		t.Errorf("a call of a function: %v", err)
	}
	const text = "-- whimbrel: backfill t\nUPDATE t SET a = ':first' WHERE (a, b) >= (:first) AND b <= :last.b;\nDELETE FROM u WHERE id = :first\n"
	s, err := ParseBackfill("f.sql", text, sqltext.PostgreSQL)
	if err != nil {
		t.Fatal(err)
	}
	body, err := s.Body(sqltext.PostgreSQL)
	if err != nil {
		t.Fatal(err)
	}
	var got [][]string
	var params [][]BodyParam
	for _, st := range body.Statements {
		got, params = append(got, st.Parts), append(params, st.Params)
	}
	if diff := cmp.Diff([][]string{{"UPDATE t SET a = ':first' WHERE (a, b) >= (", ") AND b <= ", ""}, {"DELETE FROM u WHERE id = ", ""}}, got); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([][]BodyParam{{{}, {Last: true, Column: "b"}}, {{}}}, params); diff != "" {
		t.Errorf("parameters (-want +got):\n%s", diff)
	}
	if pos := body.Statements[1].Pos.String(); pos != "f.sql:3:1" {
		t.Errorf("the second statement is at %s, want f.sql:3:1", pos)
	}
}

func TestBodyRefuses(t *testing.T) {
	t.Parallel()
	const between = " BETWEEN :first AND :last"
	for body, want := range map[string]string{
		"":                                      "f.sql:1:1: the backfill has no statement; write one that changes the rows from :first to :last",
		"UPDATE t SET a = 1":                    `f.sql:2:1: the statement has neither :first nor :last, so each batch would execute it for all rows; add a condition such as "id BETWEEN :first AND :last"`,
		"UPDATE t SET a = 1 WHERE id >= :first": `f.sql:2:1: no statement has both :first and :last, the keys between which a batch changes rows; add a condition such as "id BETWEEN :first AND :last"`,
		"DELETE FROM t WHERE id >= :frist":      "f.sql:2:27: unknown parameter :frist; the parameters of a backfill are :first and :last; did you mean :first?",
		"DELETE FROM t WHERE id >= :start":      "f.sql:2:27: unknown parameter :start; the parameters of a backfill are :first and :last",
		"DELETE FROM t WHERE id > $1":           "f.sql:2:26: $1 has no value here; the parameters of a backfill are :first and :last",
		"CREATE TABLE x (a int)":                "f.sql:2:1: a backfill can only change data, with INSERT, UPDATE, DELETE, MERGE or a SELECT that calls a function; move this CREATE statement to a migration",
		"BEGIN":                                 "f.sql:2:1: a backfill executes each batch in a transaction, so it can't control transactions itself; remove the BEGIN",
		"VACUUM t":                              "f.sql:2:1: VACUUM can't be in a transaction, and a backfill executes each batch in one; move it to a migration",
		"SELECT * INTO u FROM t WHERE a" + between: "f.sql:2:1: SELECT INTO creates a table, and a backfill can only change data; move it to a migration",
		"COPY t FROM stdin;\n1\n\\.\n":             "a backfill can't copy data from its script; write an INSERT",
		"SELECT set_config('a.b', :first, false)":  "f.sql:2:1: the statement may change the session, which other batches use too; move it to a migration",
		"UPDATE t SET a = 'x":                      "f.sql:2:18: the string that begins here is not closed: its ' is missing",
	} {
		s, err := ParseBackfill("f.sql", "-- whimbrel: backfill t\n"+body, sqltext.PostgreSQL)
		if err != nil {
			t.Errorf("%q: %v", body, err)
			continue
		}
		_, err = s.Body(sqltext.PostgreSQL)
		if err == nil {
			t.Errorf("%q: got no error", body)
		} else if got := err.Error(); got != want && !strings.Contains(got, want) {
			t.Errorf("%q:\n got %s\nwant %s", body, got, want)
		}
		if _, aerr := s.Analyze(sqltext.PostgreSQL, nil); aerr == nil {
			t.Errorf("%q: Analyze got no error", body)
		}
	}
	for query, want := range map[string]string{
		"DELETE FROM t":             `f.sql:2:1: directive "check" needs a query, such as SELECT …; it must not change anything`,
		"SELECT 1; SELECT 2":        `f.sql:2:1: directive "check" needs one query, and has several statements`,
		"SELECT 1 WHERE a > :first": `f.sql:2:1: directive "check" can't have parameters (:first): its query is about all rows`,
		"SELECT 'a":                 `f.sql:2:1: directive "check" has a query that can't be read: the string that begins here is not closed: its ' is missing`,
		"-- nothing":                `f.sql:2:1: directive "check" needs a query, such as SELECT …`,
	} {
		s, err := ParseBackfill("f.sql", "-- whimbrel: backfill t\n-- whimbrel: check "+query+"\nDELETE FROM t WHERE id"+between, sqltext.PostgreSQL)
		if err != nil {
			t.Errorf("%q: %v", query, err)
		} else if _, err := s.Body(sqltext.PostgreSQL); err == nil || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", query, err, want)
		}
	}
}

func TestDirectivesOfBackfillsElsewhere(t *testing.T) {
	t.Parallel()
	err := Text("f.sql", "").Direct("batch 10")
	want := `directive "batch" belongs to a backfill, which is a file named VERSION_name.backfill.sql; rename the file, or remove the directive`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestAfter(t *testing.T) {
	t.Parallel()
	fill := func(file string) *Script {
		s := Text(file, "")
		s.Backfill = &Backfill{Table: "t"}
		return s
	}
	after := func(file string, versions ...int64) *Script {
		text := "-- a comment\n"
		for _, v := range versions {
			text += fmt.Sprintf("--  whimbrel: After 00%d\n", v)
		}
		s := Text(file, text)
		s.After = versions
		return s
	}
	squash := Text("5_s.up.sql", "")
	squash.Replaces = []Replaced{{Version: 2}, {Version: 5}}
	for name, c := range map[string]struct {
		Contents
		want string
	}{
		"a backfill":                         {Contents{Migrations: []Migration{{Version: 2, Up: fill("2")}, {Version: 3, Up: after("3", 2)}}}, ""},
		"a version of a squash":              {Contents{Migrations: []Migration{{Version: 5, Up: squash}, {Version: 6, Up: after("6", 2)}}}, ""},
		"a squash":                           {Contents{Migrations: []Migration{{Version: 5, Up: squash}, {Version: 6, Up: after("6", 5)}}}, ""},
		"a version before a baseline":        {Contents{Baselines: []Migration{{Version: 4, Up: Text("B4", "")}}, Migrations: []Migration{{Version: 6, Up: after("6", 2)}}}, ""},
		"itself":                             {Contents{Migrations: []Migration{{Version: 3, Up: after("3", 3)}}}, "3:2:1: a migration can't wait for itself; remove the directive, or name another version"},
		"a later one":                        {Contents{Migrations: []Migration{{Version: 4, Up: fill("4")}, {Version: 3, Up: after("3", 4)}}}, "3:2:1: version 4 comes later, so this migration can't wait for it; remove the directive, or give this migration a higher version"},
		"an unknown one":                     {Contents{Migrations: []Migration{{Version: 3, Up: after("3", 2)}}}, "3:2:1: the set has no version 2"},
		"an ordinary one, and an unknown":    {Contents{Migrations: []Migration{{Version: 1, Up: fill("1")}, {Version: 2, Up: Text("2", "")}, {Version: 4, Up: after("4", 2, 3)}}}, "4:2:1: version 2 is not a backfill, so it is done as soon as it is applied; remove the directive; did you mean \"after 1\"?\n4:3:1: the set has no version 3; did you mean \"after 1\"?"},
		"of a down script":                   {Contents{Migrations: []Migration{{Version: 2, Up: fill("2"), Down: after("2.down", 1)}}}, "2.down:2:1: a down script can't wait for a backfill; only the up script of a migration can; remove the directive"},
		"of a repeatable script":             {Contents{Repeatables: []Named{{Name: "v", Script: after("R", 1)}}}, "R:2:1: a repeatable script can't wait for a backfill; only the up script of a migration can; remove the directive"},
		"a baseline that is a backfill":      {Contents{Baselines: []Migration{{Version: 4, Up: fill("B4")}}}, "B4: a baseline can't be a backfill; only the up script of a migration can"},
		"a backfill in Go without its table": {Contents{Migrations: []Migration{{Version: 4, Up: &Script{File: "go", Backfill: &Backfill{}}}}}, "go: the backfill has no table"},
	} {
		_, err := c.Set("")
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}
