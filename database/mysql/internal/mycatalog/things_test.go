package mycatalog_test

import (
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// thing is an object that a script creates, and ways to change it.
type thing struct {
	name    string
	create  string
	changes []change
}

// change is a script that changes one thing, and the difference that Compare must report, such as
// "index t.i: unique".
type change struct {
	sql  string
	want []string
}

// maker creates things. choose chooses one of n.
type maker struct {
	choose func(what string, n int) int
	made   int
}

var oddNames = []string{"plain", "With Capitals", "odd \"name\"", "back`tick", "select", "über", "a.b(c, d", "semi;colon", "-- comment", "quote'd"}

// name returns a new name.
func (m *maker) name(what string) string {
	m.made++
	return fmt.Sprintf("%s %s %d", what, oddNames[m.choose("name", len(oddNames))], m.made)
}

func q(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

func oid(kind catalog.Kind, of, name string) string {
	return (&catalog.Object{Kind: kind, Of: of, Name: name}).ID()
}

func (m *maker) things() []func() thing {
	return []func() thing{m.columns, m.constants, m.keyed, m.constrained, m.optioned, m.partitioned, m.versioned, m.view, m.routines, m.triggered, m.event, m.sequence}
}

func (m *maker) columns() thing {
	table, last := m.name("table"), m.name("last")
	alter := "ALTER TABLE " + q(table) + " "
	column := func(name string) string { return oid(catalog.Column, table, name) }
	return thing{
		name:   "columns",
		create: "CREATE TABLE " + q(table) + " (id int PRIMARY KEY AUTO_INCREMENT, a int DEFAULT 1 COMMENT 'it''s', b varchar(10), d datetime, e enum('x','y'), " + q(last) + " int)",
		changes: []change{
			{alter + "MODIFY a bigint DEFAULT 1 COMMENT 'it''s'", []string{column("a") + ": type"}},
			{alter + "MODIFY a int unsigned DEFAULT 1 COMMENT 'it''s'", []string{column("a") + ": type"}},
			{alter + "MODIFY e enum('x','y','z')", []string{column("e") + ": type"}},
			{alter + "ALTER a SET DEFAULT 2", []string{column("a") + ": default"}},
			{alter + "MODIFY a int DEFAULT 1 COMMENT 'other'", []string{column("a") + ": comment"}},
			{alter + "MODIFY a int NOT NULL DEFAULT 1 COMMENT 'it''s'", []string{column("a") + ": not null"}},
			{alter + "MODIFY a int INVISIBLE DEFAULT 1 COMMENT 'it''s'", []string{column("a") + ": invisible"}},
			{alter + "MODIFY b varchar(10) COLLATE utf8mb4_bin", []string{column("b") + ": collation"}},
			{alter + "MODIFY b varchar(10) CHECK (b <> 'x')", []string{column("b") + ": check"}},
			{alter + "MODIFY b varchar(10) COMPRESSED", []string{column("b") + ": type"}},
			{alter + "MODIFY d datetime ON UPDATE current_timestamp()", []string{column("d") + ": on update"}},
			{alter + "MODIFY id int", []string{column("id") + ": auto_increment"}},
			{alter + "DROP " + q(last), []string{column(last) + " removed"}},
			{alter + "ADD c int FIRST", []string{column("c") + " added"}},
			{alter + "RENAME COLUMN " + q(last) + " TO renamed", []string{column(last) + " removed", column("renamed") + " added"}},
			{alter + "MODIFY a int DEFAULT 1 COMMENT 'it''s' AFTER b", []string{oid(catalog.Table, "", table) + ": order of columns"}},
			{alter + "DROP " + q(last) + ", ADD g int GENERATED ALWAYS AS (a + 1) VIRTUAL", []string{column(last) + " removed", column("g") + " added"}},
			{alter + "DROP d, ADD d datetime AFTER b", nil},
			{alter + "DEFAULT CHARACTER SET latin1 COLLATE latin1_bin", []string{oid(catalog.Table, "", table) + ": collation"}},
			{"RENAME TABLE " + q(table) + " TO renamed", []string{oid(catalog.Table, "", table) + " removed", "table renamed added"}},
			{"DROP TABLE " + q(table), []string{oid(catalog.Table, "", table) + " removed"}},
			{"INSERT INTO " + q(table) + " (a) VALUES (1), (2)", nil},
			{alter + "AUTO_INCREMENT = 500", nil},
			{"ANALYZE TABLE " + q(table), nil},
		},
	}
}

func (m *maker) constants() thing {
	table := m.name("table")
	set := func(column, to string) change {
		return change{"ALTER TABLE " + q(table) + " MODIFY " + column + " " + to, []string{oid(catalog.Column, table, column) + ": default"}}
	}
	return thing{
		name:   "constants",
		create: "SET time_zone = '+00:00'; CREATE TABLE " + q(table) + ` (a varchar(20) DEFAULT 'a''b\\c\n?', b varchar(20) DEFAULT '🐦', c varbinary(9) DEFAULT X'FF00', d int DEFAULT (1 + 2), e date DEFAULT '0000-00-00', f timestamp NOT NULL DEFAULT current_timestamp(), g timestamp NOT NULL DEFAULT '2020-01-01 10:00:00', p point REF_SYSTEM_ID = 4326)`,
		changes: []change{
			set("a", `varchar(20) DEFAULT 'a''b\\c\n?🐦'`),
			set("a", "varchar(20)"),
			set("b", "varchar(20) DEFAULT '?'"),
			set("b", "varchar(20) DEFAULT '🐣'"),
			set("c", "varbinary(9) DEFAULT X'FE00'"),
			set("d", "int DEFAULT (1 + 3)"),
			set("f", "timestamp NOT NULL DEFAULT '2020-01-01'"),
			set("g", "timestamp NOT NULL DEFAULT '2020-01-01 10:00:01'"),
			{"SET time_zone = '+02:00'; ALTER TABLE " + q(table) + " MODIFY g timestamp NOT NULL DEFAULT '2020-01-01 12:00:00'; SET time_zone = '+00:00'", nil},
			{"ALTER TABLE " + q(table) + " MODIFY p point REF_SYSTEM_ID = 3857", []string{oid(catalog.Column, table, "p") + ": srid"}},
			{"ALTER TABLE " + q(table) + " MODIFY p point", []string{oid(catalog.Column, table, "p") + ": srid"}},
		},
	}
}

func (m *maker) keyed() thing {
	table, key, unique := m.name("table"), m.name("key"), m.name("unique")
	alter := "ALTER TABLE " + q(table) + " "
	index := func(name string) string { return oid(catalog.Index, table, name) }
	again := func(as string) string { return alter + "DROP KEY " + q(key) + ", ADD " + as }
	primary := oid(catalog.Constraint, table, "PRIMARY")
	return thing{
		name:   "keyed",
		create: fmt.Sprintf("CREATE TABLE %s (a int, b varchar(100), c text, g point NOT NULL, PRIMARY KEY (a), KEY %s (b(10), a), UNIQUE KEY %s (b), FULLTEXT KEY words (c), SPATIAL KEY places (g))", q(table), q(key), q(unique)),
		changes: []change{
			{alter + "DROP KEY " + q(key), []string{index(key) + " removed"}},
			{alter + "ADD KEY another (a)", []string{index("another") + " added"}},
			{again("KEY " + q(key) + " (b(11), a)"), []string{index(key) + ": columns"}},
			{again("KEY " + q(key) + " (b(10) DESC, a)"), []string{index(key) + ": columns"}},
			{again("KEY " + q(key) + " (a, b(10))"), []string{index(key) + ": columns"}},
			{again("UNIQUE KEY " + q(key) + " (b(10), a)"), []string{index(key) + ": unique"}},
			{again("KEY " + q(key) + " (b(10), a) COMMENT 'x'"), []string{index(key) + ": comment"}},
			{again("KEY " + q(key) + " (b(10), a) USING BTREE"), []string{index(key) + ": using"}},
			{again("KEY " + q(key) + " (b(10), a)"), nil},
			{alter + "ALTER INDEX " + q(key) + " IGNORED", []string{index(key) + ": ignored"}},
			{alter + "RENAME KEY " + q(key) + " TO renamed", []string{index(key) + " removed", index("renamed") + " added"}},
			{alter + "DROP KEY words, ADD KEY words (c(5))", []string{index("words") + ": type", index("words") + ": columns"}},
			{alter + "DROP PRIMARY KEY", []string{primary + " removed"}},
			{alter + "DROP PRIMARY KEY, ADD PRIMARY KEY (a, b)", []string{primary + ": definition", oid(catalog.Column, table, "b") + ": not null"}},
		},
	}
}

func (m *maker) constrained() thing {
	table, parent, check, foreign := m.name("table"), m.name("parent"), m.name("check"), m.name("foreign")
	alter := "ALTER TABLE " + q(table) + " "
	id := func(name string) string { return oid(catalog.Constraint, table, name) }
	again := func(kind, name, as string) string {
		return alter + "DROP " + kind + " " + q(name) + "; " + alter + "ADD CONSTRAINT " + q(name) + " " + as
	}
	return thing{
		name: "constrained",
		create: fmt.Sprintf("CREATE TABLE %s (id int PRIMARY KEY, `key` int UNIQUE); CREATE TABLE %s (a int, b int, KEY k (b), CONSTRAINT %s CHECK (a > 0), CONSTRAINT %s FOREIGN KEY (b) REFERENCES %[1]s (id) ON DELETE CASCADE)",
			q(parent), q(table), q(check), q(foreign)),
		changes: []change{
			{alter + "DROP CONSTRAINT " + q(check), []string{id(check) + " removed"}},
			{alter + "DROP FOREIGN KEY " + q(foreign), []string{id(foreign) + " removed"}},
			{again("CONSTRAINT", check, "CHECK (a > 1)"), []string{id(check) + ": definition"}},
			{again("CONSTRAINT", check, "CHECK (a > 0)"), nil},
			{again("FOREIGN KEY", foreign, "FOREIGN KEY (b) REFERENCES "+q(parent)+" (id)"), []string{id(foreign) + ": definition"}},
			{again("FOREIGN KEY", foreign, "FOREIGN KEY (b) REFERENCES "+q(parent)+" (`key`) ON DELETE CASCADE"), []string{id(foreign) + ": definition"}},
			{again("FOREIGN KEY", foreign, "FOREIGN KEY (b) REFERENCES "+q(parent)+" (id) ON DELETE CASCADE"), nil},
			{"SET foreign_key_checks = 0; " + alter + "ADD CONSTRAINT another FOREIGN KEY (b) REFERENCES nowhere (id); SET foreign_key_checks = 1", []string{id("another") + " added"}},
		},
	}
}

func (m *maker) optioned() thing {
	table := m.name("table")
	id := oid(catalog.Table, "", table)
	alter := "ALTER TABLE " + q(table) + " "
	return thing{
		name:   "optioned",
		create: "CREATE TABLE " + q(table) + " (a int) ENGINE = InnoDB ROW_FORMAT = DYNAMIC COMMENT 'AUTO_INCREMENT = 5, (x)'",
		changes: []change{
			{alter + "ENGINE = Aria ROW_FORMAT = DYNAMIC", []string{id + ": engine", id + ": page checksum"}},
			{alter + "ROW_FORMAT = COMPACT", []string{id + ": row format"}},
			{alter + "COMMENT 'other'", []string{id + ": comment"}},
			{alter + "COMMENT ''", []string{id + ": comment"}},
			{alter + "STATS_PERSISTENT = 0", []string{id + ": stats persistent"}},
			{alter + "PAGE_COMPRESSED = 1", []string{id + ": page compressed"}},
			{alter + "COLLATE utf8mb4_bin", []string{id + ": collation"}},
			{alter + "ENGINE = InnoDB", nil},
		},
	}
}

func (m *maker) partitioned() thing {
	table := m.name("table")
	want := []string{oid(catalog.Table, "", table) + ": partition by"}
	alter := "ALTER TABLE " + q(table) + " "
	return thing{
		name:   "partitioned",
		create: "CREATE TABLE " + q(table) + " (a int, b int) PARTITION BY RANGE (a) (PARTITION p0 VALUES LESS THAN (10) COMMENT 'x', PARTITION `p 1` VALUES LESS THAN (20))",
		changes: []change{
			{alter + "ADD PARTITION (PARTITION p2 VALUES LESS THAN MAXVALUE)", want},
			{alter + "DROP PARTITION p0", want},
			{alter + "REMOVE PARTITIONING", want},
			{alter + "PARTITION BY HASH (b) PARTITIONS 3", want},
			{alter + "REORGANIZE PARTITION p0 INTO (PARTITION p0 VALUES LESS THAN (5) COMMENT 'x', PARTITION pn VALUES LESS THAN (10))", want},
		},
	}
}

func (m *maker) versioned() thing {
	table := m.name("table")
	alter := "ALTER TABLE " + q(table) + " "
	id := oid(catalog.Table, "", table)
	return thing{
		name:   "versioned",
		create: "CREATE TABLE " + q(table) + " (a int, b int, since date, until date, PERIOD FOR app (since, until)); CREATE TABLE " + q(table+" 2") + " (a int, b int) WITH SYSTEM VERSIONING; CREATE TABLE " + q(table+" 3") + " (a int) WITH SYSTEM VERSIONING PARTITION BY SYSTEM_TIME INTERVAL 1 DAY AUTO PARTITIONS 3",
		changes: []change{
			{alter + "ADD SYSTEM VERSIONING", []string{id + ": system versioning"}},
			{alter + "DROP PERIOD FOR app", []string{id + ": period for app"}},
			{"ALTER TABLE " + q(table+" 3") + " PARTITION BY SYSTEM_TIME INTERVAL 1 DAY STARTS '2020-01-01 00:00:00' AUTO PARTITIONS 4", nil},
			{"ALTER TABLE " + q(table+" 3") + " PARTITION BY SYSTEM_TIME INTERVAL 2 DAY AUTO PARTITIONS 3", []string{oid(catalog.Table, "", table+" 3") + ": partition by"}},
			{"ALTER TABLE " + q(table+" 3") + " PARTITION BY SYSTEM_TIME INTERVAL 1 DAY PARTITIONS 3", []string{oid(catalog.Table, "", table+" 3") + ": partition by"}},
			{"ALTER TABLE " + q(table+" 2") + " DROP SYSTEM VERSIONING", []string{oid(catalog.Table, "", table+" 2") + ": system versioning"}},
			{"SET STATEMENT system_versioning_alter_history = 'KEEP' FOR ALTER TABLE " + q(table+" 2") + " MODIFY a int WITHOUT SYSTEM VERSIONING", []string{oid(catalog.Column, table+" 2", "a") + ": without system versioning"}},
		},
	}
}

func (m *maker) view() thing {
	table, view, over := m.name("table"), m.name("view"), m.name("a view")
	id := oid(catalog.View, "", view)
	as := " AS SELECT a, b FROM " + q(table) + " WHERE a > 0"
	return thing{
		name:   "view",
		create: fmt.Sprintf("CREATE TABLE %s (a int, b int); CREATE VIEW %s%s; CREATE VIEW %s AS SELECT * FROM %[2]s", q(table), q(view), as, q(over)),
		changes: []change{
			{"CREATE OR REPLACE VIEW " + q(view) + as, nil},
			{"CREATE OR REPLACE VIEW " + q(view) + as + " OR b = 1", []string{id + ": definition"}},
			{"CREATE OR REPLACE ALGORITHM = MERGE VIEW " + q(view) + as, []string{id + ": algorithm"}},
			{"CREATE OR REPLACE SQL SECURITY INVOKER VIEW " + q(view) + as, []string{id + ": security"}},
			{"CREATE OR REPLACE VIEW " + q(view) + as + " WITH CHECK OPTION", []string{id + ": check option"}},
			{"CREATE OR REPLACE DEFINER = 'nobody'@'%' VIEW " + q(table+" v") + " AS SELECT 1; DROP VIEW " + q(table+" v"), nil},
			{"DROP VIEW " + q(over), []string{oid(catalog.View, "", over) + " removed"}},
			{"RENAME TABLE " + q(over) + " TO renamed", []string{oid(catalog.View, "", over) + " removed", "view renamed added"}},
			{"DROP VIEW " + q(view), []string{id + " removed", oid(catalog.View, "", over) + ": valid"}},
		},
	}
}

func (m *maker) routines() thing {
	function, procedure := m.name("function"), m.name("procedure")
	f, p := oid(catalog.Function, "", function), oid(catalog.Procedure, "", procedure)
	fn := func(text string) string { return "CREATE OR REPLACE FUNCTION " + q(function) + text }
	pr := func(text string) string {
		return "DELIMITER //\nCREATE OR REPLACE PROCEDURE " + q(procedure) + text + "\n//\nDELIMITER ;\n"
	}
	body := "\nBEGIN\n\tSELECT ';'; -- it; is\n\tSET b = a;\nEND"
	return thing{
		name:   "routines",
		create: fn("(x int) RETURNS int RETURN x + 1") + ";\n" + pr("(IN a int, OUT b int)"+body),
		changes: []change{
			{fn("(x int) RETURNS int RETURN x + 2"), []string{f + ": definition"}},
			{fn("(x int) RETURNS int RETURN x + 1"), nil},
			{fn("(x bigint) RETURNS int RETURN x + 1"), []string{f + ": parameters"}},
			{fn("(x int) RETURNS bigint RETURN x + 1"), []string{f + ": returns"}},
			{fn("(x int) RETURNS int DETERMINISTIC RETURN x + 1"), []string{f + ": deterministic"}},
			{"ALTER FUNCTION " + q(function) + " NO SQL", []string{f + ": data access"}},
			{"ALTER FUNCTION " + q(function) + " SQL SECURITY INVOKER", []string{f + ": security"}},
			{"ALTER FUNCTION " + q(function) + " COMMENT 'it''s\n    NO SQL'", []string{f + ": comment"}},
			{"SET sql_mode = 'ANSI'; " + fn("(x int) RETURNS int RETURN x + 1") + "; SET sql_mode = DEFAULT", []string{f + ": sql mode"}},
			{pr("(IN a int, OUT b int)" + strings.Replace(body, "it; is", "it was", 1)), []string{p + ": definition"}},
			{pr("(IN a int, OUT b bigint)" + body), []string{p + ": parameters"}},
			{"DROP PROCEDURE " + q(procedure), []string{p + " removed"}},
			{"DROP FUNCTION " + q(function), []string{f + " removed"}},
			{"CREATE OR REPLACE DEFINER = 'nobody'@'%' FUNCTION " + q(function) + "(x int) RETURNS int RETURN x + 1", nil},
		},
	}
}

func (m *maker) triggered() thing {
	table, first, last := m.name("table"), m.name("first"), m.name("a last")
	id := func(name string) string { return oid(catalog.Trigger, table, name) }
	trigger := func(name, when, how string) string {
		return "CREATE OR REPLACE TRIGGER " + q(name) + " " + when + " ON " + q(table) + " FOR EACH ROW " + how
	}
	return thing{
		name:   "triggered",
		create: "CREATE TABLE " + q(table) + " (a int);\n" + trigger(first, "BEFORE INSERT", "SET NEW.a = 1") + ";\n" + trigger(last, "BEFORE INSERT", "SET NEW.a = 2"),
		changes: []change{
			{trigger(last, "BEFORE INSERT", "SET NEW.a = 3"), []string{id(last) + ": definition"}},
			{trigger(last, "BEFORE INSERT", "SET NEW.a = 2"), nil},
			{trigger(last, "BEFORE UPDATE", "SET NEW.a = 2"), []string{id(last) + ": when", id(last) + ": follows"}},
			{trigger(last, "BEFORE INSERT", "PRECEDES "+q(first)+" SET NEW.a = 2"), []string{id(first) + ": follows", id(last) + ": follows"}},
			{"DROP TRIGGER " + q(last), []string{id(last) + " removed"}},
			{"DROP TRIGGER " + q(first), []string{id(first) + " removed", id(last) + ": follows"}},
			{trigger("another", "AFTER INSERT", "BEGIN SET @a = 1; END"), []string{id("another") + " added"}},
			{"SET sql_mode = ''; " + trigger(last, "BEFORE INSERT", "SET NEW.a = 2") + "; SET sql_mode = DEFAULT", []string{id(last) + ": sql mode"}},
		},
	}
}

func (m *maker) event() thing {
	event := m.name("event")
	id := oid(catalog.Event, "", event)
	make := func(text string) string { return "CREATE OR REPLACE EVENT " + q(event) + " ON SCHEDULE " + text }
	return thing{
		name:   "event",
		create: "SET time_zone = 'SYSTEM'; " + make("EVERY 1 DAY DO SELECT 1"),
		changes: []change{
			{make("EVERY 1 DAY DO SELECT 1"), nil},
			{make("EVERY 1 DAY DO SELECT 2"), []string{id + ": definition"}},
			{make("EVERY 2 DAY DO SELECT 1"), []string{id + ": schedule"}},
			{make("EVERY 1 DAY STARTS '2037-01-01' DO SELECT 1"), []string{id + ": schedule"}},
			{make("EVERY 1 DAY ON COMPLETION PRESERVE DO SELECT 1"), []string{id + ": on completion"}},
			{make("EVERY 1 DAY COMMENT 'DISABLE; DO' DO SELECT 1"), []string{id + ": comment"}},
			{"ALTER EVENT " + q(event) + " DISABLE", []string{id + ": status"}},
			{"SET time_zone = '+05:00'; " + make("EVERY 1 DAY DO SELECT 1") + "; SET time_zone = 'SYSTEM'", []string{id + ": time zone"}},
			{"DROP EVENT " + q(event), []string{id + " removed"}},
			{"CREATE EVENT soon ON SCHEDULE AT '2037-01-01' DO SELECT 1", nil}, // which is omitted
		},
	}
}

func (m *maker) sequence() thing {
	sequence, table := m.name("sequence"), m.name("table")
	id := oid(catalog.Sequence, "", sequence)
	alter := "ALTER SEQUENCE " + q(sequence) + " "
	return thing{
		name:   "sequence",
		create: "CREATE SEQUENCE " + q(sequence) + " START WITH 3 INCREMENT BY 2; CREATE TABLE " + q(table) + " (a bigint DEFAULT nextval(" + q(sequence) + "))",
		changes: []change{
			{"SELECT nextval(" + q(sequence) + ")", nil},
			{alter + "RESTART 100", nil},
			{alter + "INCREMENT BY -1", []string{id + ": increment"}},
			{alter + "CYCLE", []string{id + ": cycle"}},
			{alter + "NOCACHE", []string{id + ": nocache", id + ": cache"}},
			{alter + "MAXVALUE 1000", []string{id + ": maxvalue"}},
			{alter + "START 7", []string{id + ": start"}},
			{"DROP SEQUENCE " + q(sequence), []string{id + " removed"}},
		},
	}
}
