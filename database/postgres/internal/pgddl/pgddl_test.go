package pgddl

import (
	"fmt"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	kinds := map[Kind]string{Other: "other", Again: "again", CreateIndex: "create index", DropIndex: "drop index", Reindex: "reindex", Detach: "detach", Exists: "exists", Publications: "publications"}
	for sql, want := range map[string]string{
		`CREATE INDEX CONCURRENTLY i ON t (x)`:                                                         `create index "i" of "t"; 1 btree`,
		`create unique index concurrently if not exists I on only A."T ""1" (x, lower(y))`:             `create index "i" of "a"."T ""1"; 2 btree unique if not exists`,
		"CREATE /* a /* b */ */ INDEX -- c\n CONCURRENTLY ON t USING gin (f(a, 'x,(', $$($$)) WHERE y": `create index of "t"; 1 gin`,
		`CREATE INDEX CONCURRENTLY "If" ON "On"."Über" ((a[1, 2]), b DESC) INCLUDE (c)`:                `create index "If" of "On"."Über"; 2 btree`,
		`CREATE INDEX CONCURRENTLY ÄB ON t (E'\',(' COLLATE "C")`:                                      `create index "Äb" of "t"; 1 btree`,
		`CREATE INDEX CONCURRENTLY U&"\0061" ON t (x)`:                                                 `other`,
		`CREATE INDEX CONCURRENTLY i ON t (x`:                                                          `other`,
		`CREATE INDEX i ON t (x)`:                                                                      `other`,
		`CREATE TABLE t (x int)`:                                                                       `other`,
		`DROP INDEX CONCURRENTLY IF EXISTS a . "B" CASCADE`:                                            `drop index "a"."B"`,
		`DROP INDEX i`:                                    `other`,
		`DROP TABLE t`:                                    `other`,
		`REINDEX INDEX CONCURRENTLY s.i`:                  `reindex INDEX "s"."i"`,
		`REINDEX (VERBOSE, CONCURRENTLY) TABLE t`:         `reindex TABLE "t"`,
		`REINDEX (CONCURRENTLY ON, TABLESPACE x) TABLE t`: `reindex TABLE "t"`,
		`REINDEX (CONCURRENTLY FALSE) TABLE t`:            `again`,
		`REINDEX DATABASE CONCURRENTLY`:                   `reindex DATABASE`,
		`REINDEX SCHEMA CONCURRENTLY`:                     `other`,
		`REINDEX SCHEMA public`:                           `again`,
		`VACUUM (FULL) t`:                                 `again`,
		`CLUSTER`:                                         `again`,
		`DISCARD ALL`:                                     `again`,
		`ALTER SYSTEM SET work_mem = '1MB'`:               `again`,
		`ALTER DATABASE d SET TABLESPACE x`:               `again`,
		`ALTER SUBSCRIPTION s REFRESH PUBLICATION`:        `again SUBSCRIPTION "s"`,
		`ALTER SUBSCRIPTION s ADD PUBLICATION p`:          `publications SUBSCRIPTION "s"`,
		`ALTER TABLE IF EXISTS ONLY a.p * DETACH PARTITION "P1" CONCURRENTLY`: `detach "P1" of "a"."p"`,
		`ALTER TABLE p DETACH PARTITION p1 FINALIZE`:                          `other`,
		`ALTER TABLE p ADD x int`:                                             `other`,
		`CREATE DATABASE "D" TEMPLATE x`:                                      `exists DATABASE "D"`,
		`DROP DATABASE IF EXISTS d (FORCE)`:                                   `exists DATABASE "d"`,
		`CREATE TABLESPACE x LOCATION '/x'`:                                   `exists TABLESPACE "x"`,
		`DROP SUBSCRIPTION s`:                                                 `exists SUBSCRIPTION "s"`,
		`COMMIT PREPARED 'it''s'`:                                             `exists PREPARED "it's"`,
		`ROLLBACK PREPARED E'x'`:                                              `other`,
		`CALL f()`:                                                            `other`,
		``:                                                                    `other`,
		`CREATE INDEX CONCURRENTLY ` + strings.Repeat("I", 62) + `äö ON t (x)`: `create index "` + strings.Repeat("i", 62) + `" of "t"; 1 btree`,
		`CREATE`: `other`,
	} {
		s := Parse(sql)
		got := kinds[s.Kind]
		if s.Object != "" && s.Kind != CreateIndex && s.Kind != DropIndex && s.Kind != Detach {
			got += " " + s.Object
		}
		if s.Name != nil {
			got += " " + s.Name.String()
		}
		if s.Table != nil {
			got += " of " + s.Table.String()
		}
		if s.Kind == CreateIndex {
			got += fmt.Sprintf("; %d %s", s.Keys, s.Method)
			if s.Unique {
				got += " unique"
			}
			if s.IfNotExists {
				got += " if not exists"
			}
		}
		if s.Kind == Other {
			got = "other"
		}
		if got != want {
			t.Errorf("%s is %s, want %s", sql, got, want)
		}
	}
}

func TestMentions(t *testing.T) {
	t.Parallel()
	s := Parse(`CREATE INDEX CONCURRENTLY ON t (X, "Y z", lower('w')) WHERE /* c */ v > 0`)
	for name, want := range map[string]bool{"x": true, "X": false, "Y z": true, "w": false, "v": true, "c": false} {
		if s.Mentions(name) != want {
			t.Errorf("that %q is in the statement is %v", name, !want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`CREATE UNIQUE INDEX CONCURRENTLY "a" ON b.c USING d (e, 'f', $g$h$g$)`)
	f.Add(`REINDEX (CONCURRENTLY) TABLE /* x`)
	f.Add(`ALTER TABLE U&"x" DETACH PARTITION E'\'`)
	f.Fuzz(func(t *testing.T, sql string) {
		if s := Parse(sql); s.Concurrently() && s.Object != "DATABASE" && s.Object != "SYSTEM" && s.Name == nil && s.Table == nil {
			t.Errorf("%q is %+v, of which nothing is named", sql, s)
		}
	})
}
