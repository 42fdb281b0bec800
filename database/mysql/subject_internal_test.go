package mysql

import (
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// TestSubject: only the grammar of a statement says what it is about. The names of columns,
// aliases, indexes and constraints, and what is in strings, don't, even if databases and tables
// have the same names.
func TestSubject(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"CREATE TABLE t (id int, a int)":                                                                         "table d.t",
		"CREATE TABLE other.t3 (c int, INDEX t3 (c), other int DEFAULT 1)":                                       "table other.t3",
		"create table `T` (c int comment 'c.t3') comment 'see `other`.`t3`'":                                     "table d.T",
		"CREATE TABLE t AS SELECT c.t3 AS other FROM t2 AS c JOIN other.t4 AS d":                                 "table d.t",
		"CREATE TABLE t LIKE c.t3":                                                                               "table d.t",
		"CREATE TABLE t (a int, CONSTRAINT t3 FOREIGN KEY (a) REFERENCES c.t3 (c))":                              "table d.t",
		`CREATE TABLE "t" (c int)`:                                                                               "table d.t",
		"CREATE TABLE `a``b`.`c d` (x int)":                                                                      "table a`b.c d",
		"/*!50001 CREATE */ /*!50013 DEFINER=`view`@`table` */ /*!50001 VIEW v AS SELECT 1 */":                   "view d.v",
		"CREATE ALGORITHM = MERGE DEFINER = CURRENT_USER() SQL SECURITY INVOKER VIEW c.v AS SELECT t3.c FROM t3": "view c.v",
		"CREATE DEFINER = root@localhost PROCEDURE p(c int) SELECT c FROM t3":                                    "procedure d.p",
		"CREATE AGGREGATE FUNCTION f(c int) RETURNS int RETURN c":                                                "function d.f",
		"CREATE SEQUENCE s START WITH 3":                                                                         "sequence d.s",
		"CREATE EVENT c.e ON SCHEDULE EVERY 1 DAY DO DELETE FROM t3":                                             "event c.e",
		"CREATE PACKAGE BODY p AS PROCEDURE q AS BEGIN NULL; END; END":                                           "package body d.p",
		"CREATE DATABASE c CHARACTER SET utf8mb4":                                                                "schema c",
		"CREATE UNIQUE INDEX t3 ON t (c)":                                                                        "index d.t.t3",
		"CREATE INDEX c USING BTREE ON c.t3 (t, other)":                                                          "index c.t3.c",
		"CREATE SPATIAL INDEX c ON t (g)":                                                                        "index d.t.c",
		"CREATE TRIGGER c BEFORE INSERT ON t3 FOR EACH ROW SET NEW.other = 1":                                    "trigger d.t3.c",
		"ALTER TABLE t ADD COLUMN c int DEFAULT 't3', RENAME INDEX t3 TO other":                                  "deep table d.t",
		"ALTER ONLINE IGNORE TABLE c.t RENAME TO d.t3":                                                           "deep table c.t",
		"ALTER VIEW v AS SELECT c FROM t3":                                                                       "deep view d.v",
		"ALTER EVENT e RENAME TO c.t3":                                                                           "deep event d.e",
		"RENAME TABLE t TO c.t3, t4 WAIT 3 TO t":                                                                 "deep table d.t, table c.t3, table d.t4, table d.t",
		"DROP TABLE t, c.t3 RESTRICT":                                                                            "table d.t, table c.t3",
		"DROP VIEW v":                                                                                            "view d.v",
		"DROP INDEX t3 ON t":                                                                                     "index d.t.t3",
		"DROP INDEX `PRIMARY` ON t3":                                                                             "index d.t3.PRIMARY",
		"DROP TRIGGER c.t3":                                                                                      "trigger c.t3",
		"DROP SCHEMA c":                                                                                          "schema c",
		"DROP FUNCTION c.f":                                                                                      "function c.f",
		"CREATE USER c":                                                                                          "outside",
		"ALTER INSTANCE ROTATE INNODB MASTER KEY":                                                                "outside",
		"CREATE SPATIAL REFERENCE SYSTEM 4120 NAME 'c'":                                                          "outside",
		"RENAME USER c TO t3":                                                                                    "outside",
		"DROP SERVER c":                                                                                          "outside",
		"CALL c.t3()":                                                                                            "unknown",
		"INSERT INTO t VALUES (1)":                                                                               "unknown",
		"CREATE NOVELTY c":                                                                                       "unknown",
		"DROP PREPARE c":                                                                                         "unknown",
		"CREATE TABLE":                                                                                           "unknown",
		"DROP TABLE t, 'c'":                                                                                      "unknown",
	} {
		s, known := subjectOf(sqltext.Statement{Text: text}, "d", false)
		var all []string
		for _, o := range s.objects {
			name := o.Name
			if o.Of != "" {
				name = o.Of + "." + name
			}
			if o.Schema != "" {
				name = o.Schema + "." + name
			}
			all = append(all, string(o.Kind)+" "+name)
		}
		got := strings.Join(all, ", ")
		switch {
		case s.outside:
			got = "outside"
		case !known:
			got = "unknown"
		case s.deep:
			got = "deep " + got
		}
		if got != want {
			t.Errorf("%s: the subject is %s, want %s", text, got, want)
		}
	}
}

// TestSubjectFolded: a server that ignores the case of tables' names stores them in lower case.
func TestSubjectFolded(t *testing.T) {
	t.Parallel()
	s, _ := subjectOf(sqltext.Statement{Text: "CREATE INDEX Name ON Shop.Goods (Id)"}, "d", true)
	if got := s.objects[0].FullName(); got != `shop.goods."Name"` && got != "shop.goods.Name" {
		t.Errorf("the subject is %s", got)
	}
}

// TestWarningsIn: only an answer that is one OK packet has a known number of warnings.
func TestWarningsIn(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]int{
		"\x07\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00":                     0,
		"\x07\x00\x00\x01\x00\x01\x00\x02\x00\x03\x01":                     259,
		"\x0a\x00\x00\x01\x00\xfc\x00\x01\xfc\xff\xff":                     -1, // cut
		"\x0b\x00\x00\x01\x00\xfc\x00\x01\xfc\xff\xff\x02\x00\x02\x00":     2,
		"\x08\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00":                     -1, // another length
		"\x0c\x00\x00\x01\x00\xfc\x00\x01\xfd\xff\xff\x01\x02\x00\x02\x00": 2,
		"\x07\x00\x00\x01\x00\x00\x00\x0a\x00\x00\x00":                     -1, // more follow
		"\x01\x00\x00\x01\x02":                                             -1, // columns
		"\x07\x00\x00\x01\xff\x00\x00\x02\x00\x00\x00":                     -1, // an error
		"\x01\x00\x00\x01\x00":                                             -1,
		"\x00":                                                             -1,
		"":                                                                 -1,
	} {
		if got := warningsIn([]byte(answer)); got != want {
			t.Errorf("the answer %q has %d warnings, want %d", answer, got, want)
		}
	}
}
