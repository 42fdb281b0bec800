-- One of everything that MariaDB 10.11 has. {db} is the name of the database.
CREATE SEQUENCE numbers START WITH 5 INCREMENT BY -2 MINVALUE -100 MAXVALUE 50 NOCACHE CYCLE COMMENT 'counts down';
CREATE SEQUENCE plain_numbers;

CREATE TABLE parents (id int PRIMARY KEY, code int NOT NULL, UNIQUE KEY code (code)) COMMENT 'it''s a \\ "parent";';
INSERT INTO parents VALUES (1, 2);

CREATE TABLE everything (
	id bigint unsigned NOT NULL AUTO_INCREMENT COMMENT 'a; b -- c',
	`odd ``name, (` varchar(20) DEFAULT 'it''s \\ a\nline, (',
	txt text,
	txt_default text DEFAULT 'x',
	from_sequence int DEFAULT nextval({db}.numbers),
	stored int GENERATED ALWAYS AS (hidden * 2) STORED,
	virtual varchar(30) CHARACTER SET latin1 GENERATED ALWAYS AS (concat(latin, ',)')) VIRTUAL COMMENT 'v',
	doc json,
	stamp datetime(6) NOT NULL DEFAULT current_timestamp(6) ON UPDATE current_timestamp(6),
	zero datetime NOT NULL DEFAULT '0000-00-00 00:00:00',
	latin enum('a','b,c','d''e') CHARACTER SET latin1 COLLATE latin1_bin,
	flags set('x','y') NOT NULL DEFAULT 'x,y',
	hidden int INVISIBLE CHECK (hidden > 0),
	shape geometry NOT NULL,
	place point REF_SYSTEM_ID = 4326 NOT NULL COMMENT 'where',
	parent int,
	late timestamp NULL,
	fixed timestamp NOT NULL DEFAULT '2020-01-01 10:00:00',
	padded decimal(10,2) unsigned zerofill,
	squeezed varchar(1000) COMPRESSED,
	bits bit(4) DEFAULT b'101',
	bytes varbinary(8) DEFAULT X'00FF27',
	computed int DEFAULT (1 + 2),
	today date DEFAULT (curdate() + INTERVAL 1 DAY),
	id6 inet6 DEFAULT '::1', id16 uuid DEFAULT uuid(),
	bird varchar(20) DEFAULT '🐦?\n''', bird_expression varchar(20) DEFAULT (concat('🐦', '?')), question varchar(5) CHARACTER SET latin1 DEFAULT '?é',
	PRIMARY KEY (id, stamp) USING BTREE COMMENT 'the key',
	KEY prefixed (`odd ``name, (`(10), parent DESC) COMMENT 'k',
	FULLTEXT KEY words (txt),
	SPATIAL KEY shapes (shape),
	UNIQUE KEY u (parent, late),
	UNIQUE KEY long_unique (txt_default),
	KEY passed_over (parent) IGNORED,
	CONSTRAINT positive CHECK (hidden > 0 AND padded <> 5 OR latin IN ('a', 'it''s, (\\')),
	CHECK (bits <> 3 AND bird <> '🐦'),
	CONSTRAINT to_parent FOREIGN KEY (parent) REFERENCES parents (id) ON DELETE SET NULL ON UPDATE NO ACTION,
	FOREIGN KEY (parent) REFERENCES {db}.parents (code)
) AUTO_INCREMENT = 1000 COMMENT = 'hello' ROW_FORMAT = DYNAMIC STATS_PERSISTENT = 1 STATS_SAMPLE_PAGES = 30 CHECKSUM = 1;

CREATE TABLE `a. odd "name"` (a int, `b``` int, KEY (`b```)) ENGINE = MyISAM CHARACTER SET latin1 COLLATE latin1_general_cs MAX_ROWS = 1000 DELAY_KEY_WRITE = 1 PACK_KEYS = 1 MIN_ROWS = 3 AVG_ROW_LENGTH = 100;
CREATE TABLE in_memory (a int, b int, KEY (a) USING HASH, KEY ordered (b) USING BTREE) ENGINE = MEMORY;
CREATE TABLE aria (a int) ENGINE = Aria TRANSACTIONAL = 0 PAGE_CHECKSUM = 1 ROW_FORMAT = PAGE;
CREATE TABLE squeezed (a int) PAGE_COMPRESSED = 1 PAGE_COMPRESSION_LEVEL = 4;
CREATE TABLE small (a int, KEY (a) KEY_BLOCK_SIZE = 4) ROW_FORMAT = COMPRESSED KEY_BLOCK_SIZE = 4;
CREATE TABLE merged (a int, `b``` int, KEY (`b```)) ENGINE = MERGE UNION = (`a. odd "name"`) INSERT_METHOD = LAST CHARACTER SET latin1 COLLATE latin1_general_cs;

-- circles, and what is not there
CREATE TABLE one (id int PRIMARY KEY, two int);
CREATE TABLE two (id int PRIMARY KEY, one int, CONSTRAINT two_one FOREIGN KEY (one) REFERENCES one (id));
ALTER TABLE one ADD CONSTRAINT one_two FOREIGN KEY (two) REFERENCES two (id), ADD CONSTRAINT one_one FOREIGN KEY (two) REFERENCES one (id) ON DELETE CASCADE;
SET foreign_key_checks = 0;
CREATE TABLE hanging (id int PRIMARY KEY, CONSTRAINT nowhere FOREIGN KEY (id) REFERENCES not_there (id), CONSTRAINT elsewhere FOREIGN KEY (id) REFERENCES not_there.t (id));
SET foreign_key_checks = 1;

-- versioned, with periods
CREATE TABLE versioned (a int, b int WITHOUT SYSTEM VERSIONING, p int, CONSTRAINT versioned_parent FOREIGN KEY (p) REFERENCES parents (id)) WITH SYSTEM VERSIONING;
CREATE TABLE versioned_by_hand (x int, s timestamp(6) GENERATED ALWAYS AS ROW START INVISIBLE, e timestamp(6) GENERATED ALWAYS AS ROW END INVISIBLE, PERIOD FOR SYSTEM_TIME (s, e))
	WITH SYSTEM VERSIONING PARTITION BY SYSTEM_TIME LIMIT 1000 (PARTITION p0 HISTORY, PARTITION p1 CURRENT);
CREATE TABLE valid_in (x int, since date, until date, PERIOD FOR app (since, until), UNIQUE (x, app WITHOUT OVERLAPS));

-- partitions
CREATE TABLE by_range (a int, b int) PARTITION BY RANGE (a) SUBPARTITION BY HASH (b) SUBPARTITIONS 2 (PARTITION p0 VALUES LESS THAN (10) COMMENT = 'x', PARTITION p1 VALUES LESS THAN MAXVALUE);
CREATE TABLE by_list (a varchar(10)) PARTITION BY LIST COLUMNS (a) (PARTITION p0 VALUES IN ('a', 'b''c'), PARTITION p1 DEFAULT);
CREATE TABLE by_key (a int PRIMARY KEY) PARTITION BY KEY () PARTITIONS 3;
CREATE TABLE by_hash (a date) PARTITION BY LINEAR HASH (year(a)) PARTITIONS 4;

CREATE FUNCTION twice(x int, y varchar(10) CHARSET utf8mb4) RETURNS varchar(20) DETERMINISTIC COMMENT 'c''x; y'
RETURN concat(x, '😀', y);

-- each needs one whose name comes later
CREATE VIEW z_first AS SELECT everything.id, twice(1, 'a') AS f, {db}.twice(2, 'b') AS g, '😀\'\\; "`' AS str, _latin1'x' AS l
	FROM everything JOIN parents ON parents.id = everything.parent WHERE EXISTS (SELECT 1 FROM parents p2);
CREATE ALGORITHM = MERGE SQL SECURITY INVOKER VIEW y_second (a1, b1) AS SELECT id, code FROM {db}.parents WHERE id > 3 WITH LOCAL CHECK OPTION;
CREATE VIEW x_third AS SELECT * FROM y_second WHERE a1 IN (SELECT table_rows FROM information_schema.tables WHERE table_name = '{db}') WITH CASCADED CHECK OPTION;
CREATE ALGORITHM = TEMPTABLE VIEW a_fourth AS SELECT a1, count(*) AS n, row_number() OVER (ORDER BY a1) AS r FROM x_third, z_first GROUP BY a1 HAVING n > 1 ORDER BY n DESC LIMIT 3;
CREATE VIEW with_cte AS WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT i, CASE WHEN i > 2 THEN 'a' ELSE NULL END AS c FROM n LEFT JOIN (a_fourth JOIN one) ON one.id = n.i;
CREATE VIEW next_number AS SELECT nextval(numbers) AS n, lastval({db}.numbers) AS l;
CREATE VIEW `odd ``view` AS SELECT `odd ``name, (` AS `c,``d`, CAST(doc AS char) AS e, trim(BOTH 'x' FROM txt) AS t FROM everything;

-- what the server writes in another way than it was written
CREATE TABLE facts (id int PRIMARY KEY, grp int, n decimal(10,2), s varchar(50), d date, dt datetime, j json, txt text, FULLTEXT (txt), KEY s_key (s)) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE);
ALTER TABLE facts DROP KEY txt;
CREATE TABLE papers (id int, txt text, FULLTEXT (txt));
CREATE TABLE aged (id int, x int) WITH SYSTEM VERSIONING PARTITION BY SYSTEM_TIME INTERVAL 1 DAY (PARTITION h HISTORY, PARTITION c CURRENT);
CREATE VIEW w_frames AS SELECT id, sum(n) OVER w AS s1, lag(n, 2) OVER (PARTITION BY grp ORDER BY id) AS l, avg(n) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND UNBOUNDED FOLLOWING) AS a FROM facts WINDOW w AS (PARTITION BY grp);
CREATE VIEW w_groups AS SELECT grp, group_concat(DISTINCT s ORDER BY s DESC SEPARATOR '; ') AS g, count(DISTINCT id, s) AS c, json_arrayagg(s) AS ja, std(n) AS sd FROM facts GROUP BY grp WITH ROLLUP;
CREATE VIEW w_sets AS (SELECT id FROM facts UNION DISTINCT SELECT grp FROM facts) INTERSECT SELECT 1 EXCEPT SELECT 2 ORDER BY 1 LIMIT 5 OFFSET 2;
CREATE VIEW w_values AS SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v;
CREATE VIEW w_json AS SELECT t.* FROM facts f, JSON_TABLE(f.j, '$[*]' COLUMNS (o FOR ORDINALITY, a int PATH '$.a' DEFAULT '0' ON EMPTY, NESTED PATH '$.b[*]' COLUMNS (b varchar(10) PATH '$'))) AS t;
CREATE VIEW w_times AS SELECT d + INTERVAL 1 DAY AS a, date_sub(dt, INTERVAL '1:2' MINUTE_SECOND) AS b, DATE'2020-01-02' AS c, TIMESTAMP'2020-01-02 03:04:05.6' AS e, extract(YEAR_MONTH FROM d) AS f, timestampdiff(MONTH, d, dt) AS g, now(3) AS h, date_format(d, '%Y-%m') AS i FROM facts;
CREATE VIEW w_casts AS SELECT CAST(s AS decimal(5,1)) AS a, CONVERT(s USING latin1) AS b, s COLLATE utf8mb4_bin AS c, BINARY s AS d, CAST(n AS signed) AS e, CAST(s AS char(3) CHARACTER SET utf8mb4) AS f, _utf8mb4'é' AS g, X'4142' AS h, b'101' AS i, 0xFF AS k, N'n' AS l FROM facts;
CREATE VIEW w_tests AS SELECT id FROM facts WHERE s LIKE 'a\_%' ESCAPE '|' AND s NOT REGEXP '^x' AND n BETWEEN 1 AND 2 AND s <=> NULL AND NOT (n > ALL (SELECT 1)) AND id = ANY (SELECT 2) AND (id, grp) IN (SELECT 1, 2) AND s IS NOT NULL XOR n DIV 2 % 3 = ~1 ^ 2 | 3 & 4 << 1 AND NOT EXISTS (SELECT 1 FROM papers WHERE papers.id = facts.id);
CREATE VIEW w_case AS SELECT CASE grp WHEN 1 THEN 'a' ELSE 'b' END AS a, IF(n > 0, 1, 2) AS b, IFNULL(s, '') AS c, NULLIF(s, 'x') AS d, coalesce(s, 'y') AS e, INTERVAL(3, 1, 2) AS f, -n AS g, - -1 AS h, NOT n AS i, (SELECT max(id) FROM papers) AS k, TRUE AS l, 1e10 AS m, 1.50 AS o FROM facts;
CREATE VIEW w_joins AS SELECT a.id FROM facts PARTITION (p0) a NATURAL JOIN papers b LEFT JOIN papers c USING (id) RIGHT JOIN papers d ON d.id = a.id STRAIGHT_JOIN papers e CROSS JOIN aged FOR SYSTEM_TIME AS OF TIMESTAMP'2020-01-01 00:00:00' f;
CREATE VIEW w_hints AS SELECT SQL_NO_CACHE DISTINCT STRAIGHT_JOIN a.id FROM facts a USE INDEX (s_key) IGNORE INDEX FOR ORDER BY (PRIMARY) WHERE s = 'a';
CREATE VIEW w_match AS SELECT id, MATCH (txt) AGAINST ('+a -b' IN BOOLEAN MODE) AS m, MATCH (txt) AGAINST ('c' WITH QUERY EXPANSION) AS q FROM papers;
CREATE VIEW w_text AS SELECT trim(LEADING 'x' FROM s) AS a, substring(s FROM 2 FOR 3) AS b, position('a' IN s) AS c, char(65, 66 USING utf8mb4) AS d, concat_ws(',', s, 'it''s \\ \n "q" `b`') AS e, weight_string(s) AS f, s || 'x' AS g, json_value(j, '$.a') AS h, JSON_EXTRACT(j, '$.b') AS i, regexp_replace(s, '\\d', '') AS k FROM facts;
CREATE VIEW w_columns (`a b`, `c``d`, `e.f`) AS SELECT 1, 2, id FROM facts AS `odd.alias`;
CREATE VIEW w_unnamed AS SELECT 1 + 1, 'x', count(*), max(n) + 1 FROM facts;
CREATE VIEW w_ctes AS WITH a (x) AS (SELECT 1), b AS (SELECT x + 1 AS y FROM a) SELECT y, (WITH c AS (SELECT 5 AS z) SELECT z FROM c) AS z FROM b;
CREATE VIEW w_users AS SELECT current_user() AS u, database() AS d, connection_id() AS c, version() AS v, uuid() AS i, rand(3) AS r;
CREATE VIEW w_lateral AS SELECT f.id, (SELECT group_concat(p.id) FROM (SELECT id FROM papers WHERE id < 5 ORDER BY id LIMIT 3) p) AS l FROM facts f WHERE f.id IN (1, 2, 3) ORDER BY f.s COLLATE utf8mb4_bin DESC, 1 LIMIT 10;

DELIMITER //
CREATE PROCEDURE {db}.work(IN a int, OUT b varchar(10), INOUT c json) MODIFIES SQL DATA SQL SECURITY INVOKER COMMENT 'y'
BEGIN
	DECLARE x int;
	-- a comment; with a semicolon
	SET b = 'x😀'; # another
END -- behind
//
CREATE PROCEDURE simple() DO 1//
CREATE FUNCTION by_hand(a int) RETURNS int READS SQL DATA
BEGIN
	IF a THEN RETURN 1; END IF;
	RETURN (SELECT count(*) FROM parents);
END//
CREATE AGGREGATE FUNCTION total(x int) RETURNS int
BEGIN
	DECLARE t int DEFAULT 0;
	DECLARE CONTINUE HANDLER FOR NOT FOUND RETURN t;
	LOOP FETCH GROUP NEXT ROW; SET t = t + x; END LOOP;
END//
CREATE TRIGGER {db}.last BEFORE INSERT ON {db}.parents FOR EACH ROW BEGIN SET NEW.code = NEW.id; END//
CREATE TRIGGER first BEFORE INSERT ON parents FOR EACH ROW PRECEDES last SET NEW.code = 2 /* c */
//
CREATE TRIGGER middle /* FOR EACH ROW */ BEFORE INSERT ON parents FOR EACH ROW FOLLOWS first SET NEW.code = 3 -- c
//
CREATE TRIGGER after_delete AFTER DELETE ON parents FOR EACH ROW DELETE FROM one WHERE id = OLD.id//
CREATE EVENT daily ON SCHEDULE EVERY 1 DAY DO BEGIN SELECT 1; END//
CREATE EVENT once ON SCHEDULE AT '2037-01-01' ON COMPLETION PRESERVE DISABLE COMMENT 'z; DO' DO SELECT 2//
SET time_zone = '+03:00'//
CREATE EVENT `odd event` ON SCHEDULE EVERY '1:30' HOUR_MINUTE STARTS '2036-01-01 10:00:00' ENDS '2037-01-01' ON COMPLETION PRESERVE DO CALL simple()//
SET time_zone = 'SYSTEM'//
SET sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT'//
CREATE FUNCTION "in another ""mode"(a text) RETURNS text RETURN a || '\\' || "a"//
CREATE TRIGGER "ansi" AFTER INSERT ON "parents" FOR EACH ROW BEGIN SET @a = '\\;'; SET @b = NEW."id"; END//
SET sql_mode = 'ORACLE'//
CREATE PACKAGE pack AS FUNCTION f(a int) RETURN int; END//
CREATE PACKAGE BODY pack AS
	FUNCTION f(a int) RETURN int AS BEGIN RETURN 1; END;
END//
CREATE PROCEDURE oracle(a int) AS x int; BEGIN x := 1; END//
CREATE FUNCTION oracle_function(a int) RETURN int AS x int; BEGIN RETURN 1; END//
DELIMITER ;
SET sql_mode = DEFAULT;
