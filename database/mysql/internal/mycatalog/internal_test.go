package mycatalog

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// TestOneByOne: without blocks the results are the same.
func TestOneByOne(t *testing.T) {
	t.Parallel()
	pool := testdb.OpenMariaDB(t, testdb.MariaDB(t))
	for _, sql := range []string{"CREATE TABLE t (a int PRIMARY KEY)", "CREATE VIEW v AS SELECT a FROM t", "CREATE FUNCTION f() RETURNS int RETURN 1", "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1"} {
		if _, err := pool.Exec(sql); err != nil {
			t.Fatal(err)
		}
	}
	want, err := Read(t.Context(), pool, catalog.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, end, err := begin(t.Context(), pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	r.perBlock = 1
	got, err := r.snapshot(t.Context(), catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("cmp.Diff(want, got): diff = %q, want %q", diff, "")
	} else if len(want.Objects) != 6 {
		t.Errorf("cmp.Diff(want, got): len(want.Objects) = %v, want 6", len(want.Objects))
	}
}

// mysqlTable has the form of MySQL 8, with parts in comments for older versions.
const mysqlTable = "CREATE TABLE `t` (\n" +
	"  `id` int NOT NULL AUTO_INCREMENT,\n" +
	"  `a` varchar(20) CHARACTER SET latin1 COLLATE latin1_bin DEFAULT (_utf8mb4'x, y') /*!80023 INVISIBLE */,\n" +
	"  `b` text COLLATE utf8mb4_0900_bin COMMENT 'b',\n" +
	"  `p` point NOT NULL /*!80003 SRID 4326 */,\n" +
	"  `g` int GENERATED ALWAYS AS ((`id` + 1)) STORED,\n" +
	"  `n` int,\n" +
	"  PRIMARY KEY (`id`),\n" +
	"  KEY `k` (`a`,(lower(`b`)) DESC) /*!80000 INVISIBLE */,\n" +
	"  FULLTEXT KEY `f` (`b`) /*!50100 WITH PARSER `ngram` */ ,\n" +
	"  CONSTRAINT `fk` FOREIGN KEY (`n`) REFERENCES `other` (`id`),\n" +
	"  CONSTRAINT `c` CHECK ((`n` > 0)) /*!80016 NOT ENFORCED */\n" +
	") /*!50100 TABLESPACE `ts` */ ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci COMMENT='t'\n" +
	"/*!50100 PARTITION BY HASH (`id`)\nPARTITIONS 4 */"

// TestMySQLTable: the form that MySQL writes is understood.
func TestMySQLTable(t *testing.T) {
	t.Parallel()
	r := &reader{database: "app"}
	d, err := cutTable(mysqlTable, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.table(&table{name: "t", collation: "utf8mb4_0900_ai_ci", columns: map[string]columnFacts{"a": {collation: "latin1_bin"}}, definition: d}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range r.objects {
		line := o.ID()
		for _, a := range o.Attrs {
			line += "; " + a.Name + ": " + a.Value
		}
		got = append(got, line)
	}
	want := []string{
		"table t; collation: utf8mb4_0900_ai_ci; tablespace: `ts`; engine: InnoDB; comment: 't'; partition by: HASH (`id`) PARTITIONS 4",
		"column t.id; type: int; not null: yes; auto_increment: yes",
		"column t.a; type: varchar(20); collation: latin1_bin; default: (_utf8mb4'x, y'); invisible: yes",
		"column t.b; type: text; comment: 'b'",
		"column t.p; type: point; not null: yes; srid: 4326",
		"column t.g; type: int; generated: ((`id` + 1)) STORED",
		"column t.n; type: int; no default: yes",
		`constraint t."PRIMARY"; definition: PRIMARY KEY (` + "`id`)",
		"index t.k; columns: `a`,(lower(`b`)) DESC; invisible: yes",
		"index t.f; type: fulltext; columns: `b`; options: WITH PARSER `ngram`",
		"constraint t.c; definition: CHECK ((`n` > 0)) NOT ENFORCED",
		"constraint t.fk; definition: FOREIGN KEY (`n`) REFERENCES `other` (`id`)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	statement := strings.Replace(strings.Replace(mysqlTable, "  CONSTRAINT `fk` FOREIGN KEY (`n`) REFERENCES `other` (`id`),\n", "", 1), " AUTO_INCREMENT=7", "", 1)
	statement = strings.Replace(statement, "*/ ,", "*/,", 1)
	if diff := cmp.Diff([]string{statement}, r.objects[0].SQL); diff != "" {
		t.Error(diff)
	}
	if got := r.objects[len(r.objects)-1]; got.Part {
		t.Error("the foreign key is a part of its table: then it comes before the table that it refers to")
	}
	if got := r.objects[len(r.objects)-1].SQL; !cmp.Equal(got, []string{"ALTER TABLE `t` ADD CONSTRAINT `fk` FOREIGN KEY (`n`) REFERENCES `other` (`id`)"}) {
		t.Error(got)
	}
}

// TestZeroDates: a default that a strict server refuses is created in another sql_mode.
func TestZeroDates(t *testing.T) {
	t.Parallel()
	r := &reader{mode: "STRICT_TRANS_TABLES,NO_ZERO_DATE"}
	for name, want := range map[string]int{"2020-01-01": 1, "0000-00-00": 3, "2020-00-00": 3} {
		d, err := cutTable("CREATE TABLE `t` (`a` date NOT NULL DEFAULT '"+name+"')", false)
		if err != nil {
			t.Fatal(err)
		}
		r.objects = nil
		if err := r.table(&table{name: "t", definition: d}); err != nil {
			t.Fatal(err)
		}
		got := r.objects[0].SQL
		if len(got) != want {
			t.Fatalf("default %s: got the statements %q, want %d", name, got, want)
		}
		if want == 1 {
			continue // which needs no other mode
		}
		if got[0] != "SET sql_mode = 'NO_ENGINE_SUBSTITUTION'" {
			t.Errorf("default %s: the first statement is %q", name, got[0])
		}
		if got[2] != "SET sql_mode = 'STRICT_TRANS_TABLES,NO_ZERO_DATE'" {
			t.Errorf("default %s: the last statement is %q", name, got[2])
		}
	}
	for global, want := range map[string]string{"STRICT_TRANS_TABLES": "STRICT_TRANS_TABLES", "": "", "REAL_AS_FLOAT,ANSI_QUOTES": tolerant, "NO_BACKSLASH_ESCAPES": tolerant} {
		if got := usualMode(global); got != want {
			t.Errorf("%s: %s", global, got)
		}
	}
}

// TestMySQLView: MySQL lists the columns, and qualifies less and more.
func TestMySQLView(t *testing.T) {
	t.Parallel()
	r := &reader{database: "app"}
	if err := r.view("v", "CREATE ALGORITHM=UNDEFINED DEFINER=`me`@`%` SQL SECURITY DEFINER VIEW `v` (`a`,`b`) AS select `app`.`t`.`x` AS `x`,`app`.`y` AS `y` from (`app`.`t` join `app`) where (`app`.`f`(1) = 2) WITH CASCADED CHECK OPTION", true); err != nil {
		t.Fatal(err)
	}
	o := r.objects[0]
	if want := "CREATE VIEW `v` (`a`,`b`) AS select `t`.`x` AS `x`,`app`.`y` AS `y` from (`t` join `app`) where (`f`(1) = 2) WITH CASCADED CHECK OPTION"; o.SQL[0] != want {
		t.Errorf("got  %s\nwant %s", o.SQL[0], want)
	}
	if o.Attr("columns") != "`a`,`b`" {
		t.Errorf("o.Attr(\"columns\") = %q, want %q", o.Attr("columns"), "`a`,`b`")
	}
	if o.Attr("check option") != "cascaded" {
		t.Errorf("o.Attr(\"check option\") = %q, want %q", o.Attr("check option"), "cascaded")
	}
}

// TestUnqualified: the database's name is removed, and no other name that is equal.
func TestUnqualified(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ sql, want string }{
		{"select `db`.`db`.`db` AS `db` from `db`.`db`", "select `db`.`db` AS `db` from `db`"},
		{"select `db`.`a`, `x`.`db`.`a` from `x`.`db` join (`db`.`t` `db`)", "select `db`.`a`, `x`.`db`.`a` from `x`.`db` join (`t` `db`)"},
		{"DEFAULT nextval(`db`.`s`)", "DEFAULT nextval(`s`)"},
		{"select '`db`.`t`' from `DB`.`t`", "select '`db`.`t`' from `DB`.`t`"},
		{"select next value for `db`.`s`", "select next value for `s`"},
	} {
		if got := (&reader{database: "db"}).unqualified(c.sql); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.sql, got, c.want)
		}
	}
	if got := (&reader{database: "db", foldCase: true}).unqualified("select 1 from `DB`.`t`"); got != "select 1 from `t`" {
		t.Error(got)
	}
}

// TestCutTrigger: the body is found in every form of a trigger.
func TestCutTrigger(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ sql, when, body string }{
		{"CREATE DEFINER=`me`@`%` trigger if not exists db.tr /* ON */ before\n insert on db.t for each row set @a = 1", "BEFORE INSERT", "set @a = 1"},
		{"CREATE DEFINER=CURRENT_USER() TRIGGER `tr`AFTER DELETE ON`t`FOR EACH ROW FOLLOWS `x` BEGIN END", "AFTER DELETE", "BEGIN END"},
		{"CREATE DEFINER=`me`@`%` TRIGGER tr BEFORE INSERT OR UPDATE ON t FOR EACH ROW SET NEW.a = 'FOR EACH ROW'", "BEFORE INSERT OR UPDATE", "SET NEW.a = 'FOR EACH ROW'"},
	} {
		when, body, err := cutTrigger(c.sql)
		if when != c.when {
			t.Errorf("when = %v, want %v", when, c.when)
		}
		if body != c.body {
			t.Errorf("body = %v, want %v", body, c.body)
		}
		if err != nil {
			t.Error(err)
		}
	}
	if _, _, err := cutTrigger("CREATE TRIGGER t AFTER SUPPER"); err == nil {
		t.Errorf("cutTrigger(\"CREATE TRIGGER t AFTER SUPPER\"): got no error")
	} else if err.Error() != "this is not understood: CREATE TRIGGER t AFTER SUPPER" {
		t.Errorf("cutTrigger(\"CREATE TRIGGER t AFTER SUPPER\"): err.Error() = %q, want %q", err.Error(), "this is not understood: CREATE TRIGGER t AFTER SUPPER")
	}
}

// TestTruncated: a definition that is cut off anywhere gives an error or fewer objects, but never a
// panic.
func TestTruncated(t *testing.T) {
	t.Parallel()
	facts := []string{"FUNCTION", "f", "YES", "CONTAINS SQL", "DEFINER", "", ""}
	for _, c := range []struct {
		sql string
		cut func(r *reader, sql string) error
	}{
		{mysqlTable, func(r *reader, sql string) error {
			d, err := cutTable(sql, false)
			if err != nil {
				return err
			}
			r.mariadb = true
			r.lostElements(&table{definition: d})
			return r.table(&table{name: "t", columns: map[string]columnFacts{"p": {srid: "1"}}, definition: d})
		}},
		{"CREATE ALGORITHM=MERGE DEFINER=`me`@`%` SQL SECURITY INVOKER VIEW `v` (`a`) AS select 1 from `t` WITH LOCAL CHECK OPTION", func(r *reader, sql string) error { return r.view("v", sql, true) }},
		{"CREATE SEQUENCE `s` start with 1 minvalue - 1 increment by 1 cache 1 nocycle ENGINE=InnoDB", func(r *reader, sql string) error { return r.sequence("s", sql) }},
		{"CREATE DEFINER=`me`@`%` FUNCTION `f`(`a` int) RETURNS int\n    DETERMINISTIC\nRETURN 1", func(r *reader, sql string) error {
			return r.routine(&catalog.Object{Kind: catalog.Function}, facts, sql)
		}},
		{"CREATE DEFINER=`me`@`%` TRIGGER tr BEFORE INSERT ON t FOR EACH ROW FOLLOWS x SET @a = 1", func(_ *reader, sql string) error { _, _, err := cutTrigger(sql); return err }},
		{"CREATE EVENT `e` ON SCHEDULE EVERY 1 DAY STARTS '2020-01-01' ON COMPLETION NOT PRESERVE DISABLE COMMENT 'c' DO SELECT 1", func(_ *reader, sql string) error { return event(&catalog.Object{}, sql, true) }},
	} {
		for n := range len(c.sql) {
			c.cut(&reader{database: "app"}, c.sql[:n])
			c.cut(&reader{database: "app"}, strings.Replace(c.sql, c.sql[n:], ")", 1))
			c.cut(&reader{database: "app"}, "CREATE TABLE `t` ("+c.sql[n:])
			withComment(c.sql[:n], "")
		}
		if err := c.cut(&reader{database: "app"}, c.sql); err != nil {
			t.Errorf("%s: %v", c.sql, err)
		}
	}
}
