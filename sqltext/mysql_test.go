package sqltext

var mysqlGoldens = []golden{
	{"NO_BACKSLASH_ESCAPES", "SELECT 1;\n/* x */ SET SESSION sql_mode = 'no_backslash_escapes';\nINSERT INTO t VALUES ('C:\\', 'x; y');", []string{
		"1:1 q SELECT 1",
		"error 2:9: this sets the sql_mode NO_BACKSLASH_ESCAPES, with which a string may end at another place than Whimbrel assumes: leave that mode out, and double each backslash in the strings that follow",
	}},
	{"without NO_BACKSLASH_ESCAPES", "SET sql_mode = REPLACE(@@sql_mode, 'NO_BACKSLASH_ESCAPES', ''); SET @a = 'NO_BACKSLASH_ESCAPES';", []string{
		"1:1 q SET sql_mode = REPLACE(@@sql_mode, 'NO_BACKSLASH_ESCAPES', '')", "1:65 q SET @a = 'NO_BACKSLASH_ESCAPES'",
	}},
	{"every kind of quote", "SELECT 'a;\\'''', \"b;\\\"\"\"\", `c;``\\`; SELECT 2;", []string{"1:1 q SELECT 'a;\\'''', \"b;\\\"\"\"\", `c;``\\`", "1:37 q SELECT 2"}},
	{"comments", "SELECT 1 # a;'\n-- b;'\n/* c; /* */ + 1; SELECT 1--;1", []string{"1:1 q SELECT 1 # a;' -- b;' /* c; /* */ + 1", "3:18 q SELECT 1--", "3:29 q 1"}},
	{"two dashes need white space", "SELECT 5--1; SELECT 2; --\n;--", []string{"1:1 q SELECT 5--1", "1:14 q SELECT 2", "2:1 .", "2:4 ."}},
	{"hints are comments", "SELECT /*+ MAX_EXECUTION_TIME(1000); */ 1;", []string{"1:1 q SELECT /*+ MAX_EXECUTION_TIME(1000); */ 1"}},
	{
		"versioned comments are SQL", "/*!40101 SET NAMES utf8 */;\n/*!40000 ALTER TABLE t /* c */ DISABLE KEYS */; SELECT /*! 1; */ 2;\n/*!50003 */",
		[]string{"1:1 q /*!40101 SET NAMES utf8 */", "2:1 q /*!40000 ALTER TABLE t /* c */ DISABLE KEYS */", "2:49 q SELECT /*! 1; */ 2", "3:1 q /*!50003 */"},
	},
	{"the sandbox line of mariadb-dump is a comment", "/*M!999999\\- enable the sandbox mode */\n/*M!100616 SET a=1 */;", []string{"2:1 q /*M!100616 SET a=1 */"}},
	{"an open versioned comment", "SELECT 1;\n/*!40101 SET a=1;", []string{"1:1 q SELECT 1", "error 2:1: the versioned comment that begins here is not closed: its */ is missing"}},
	{"NULL in the manner of LOAD DATA", `SELECT \N; SELECT 2;`, []string{`1:1 q SELECT \N`, "1:12 q SELECT 2"}},
	{"client commands", `SELECT 1\G`, []string{`error 1:9: \G is a command of the mysql client, not SQL: end the statement with its delimiter, and leave the client's commands out`}},
	{"source", "source x.sql\n", []string{"error 1:1: SOURCE is a command of the mysql client, not SQL: put the other file's text here, or make it a migration of its own"}},
	{"system", "system ls\n", []string{"error 1:1: SYSTEM is a command of the mysql client, not SQL: take it out, a script cannot reach the computer that runs it"}},

	{"delimiters", "DELIMITER $$\nCREATE PROCEDURE p() BEGIN SELECT '$$'; END$$\n\ndelimiter //\r\nSELECT 1; SELECT 2//SELECT 3 / 4 //\nDELIMITER ; -- back\nSELECT 5;SELECT 6", []string{
		"1:1 - DELIMITER $$", "2:1 q CREATE PROCEDURE p() BEGIN SELECT '$$'; END", "4:1 - delimiter //", "5:1 q SELECT 1; SELECT 2",
		"5:21 q SELECT 3 / 4", "6:1 - DELIMITER ; -- back", "7:1 q SELECT 5", "7:10 q SELECT 6",
	}},
	{"a delimiter that is a word", "DELIMITER go\nSELECT category; SELECT gopher go SELECT 2\nGO go", []string{
		"1:1 - DELIMITER go", "2:1 q SELECT category; SELECT gopher", "2:35 q SELECT 2 GO",
	}},
	{"quoted delimiters", "DELIMITER '|'\nSELECT 1|DELIMITER \";\"\nSELECT 2;", []string{"1:1 - DELIMITER '|'", "2:1 q SELECT 1", `2:10 - DELIMITER ";"`, "3:1 q SELECT 2"}},
	{"a delimiter in comments and strings", "DELIMITER ;;\nSELECT ';;' /* ;; */ -- ;;\n;;\n", []string{"1:1 - DELIMITER ;;", "2:1 q SELECT ';;' /* ;; */ -- ;;", "4:1 ."}},
	{"no delimiter", "DELIMITER\n", []string{"error 1:1: DELIMITER needs the new delimiter after it, as in DELIMITER //"}},
	{"a delimiter with a backslash", `DELIMITER \\`, []string{`error 1:1: DELIMITER cannot contain a backslash: choose another, as in DELIMITER //`}},
	{"a delimiter and more", "DELIMITER // SELECT 1//\n", []string{"error 1:1: nothing but the delimiter can be on a DELIMITER line (the mysql client would ignore it): move it to the next line"}},

	{"mysqldump's triggers", "/*!50003 SET sql_mode = '' */ ;\nDELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`%`*/ /*!50003 TRIGGER t BEFORE INSERT ON a FOR EACH ROW BEGIN\n  SET NEW.a = 1;\nEND */;;\nDELIMITER ;\n/*!50003 SET sql_mode = @x */ ;\n", []string{
		"1:1 q /*!50003 SET sql_mode = '' */",
		"2:1 - DELIMITER ;;",
		"3:1 q /*!50003 CREATE*/ /*!50017 DEFINER=`root`@`%`*/ … = 1; END */",
		"6:1 - DELIMITER ;",
		"7:1 q /*!50003 SET sql_mode = @x */",
		"8:1 .",
	}},
	{
		"the same without DELIMITER", "/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`%`*/ /*!50003 TRIGGER t BEFORE INSERT ON a FOR EACH ROW BEGIN\n  SET NEW.a = 1;\nEND */; SELECT 2;",
		[]string{
			"1:1 q /*!50003 CREATE*/ /*!50017 DEFINER=`root`@`%`*/ … = 1; END */",
			"3:9 q SELECT 2",
		},
	},
	{"a procedure with everything", `CREATE DEFINER = CURRENT_USER() PROCEDURE IF NOT EXISTS app.p(IN begin INT, OUT r VARCHAR(10))
  COMMENT 'BEGIN; all' SQL SECURITY INVOKER READS SQL DATA
top: BEGIN
  DECLARE done INT DEFAULT IF(begin, 1, 0);
  DECLARE c CURSOR FOR SELECT a, CASE WHEN b THEN 1 ELSE 2 END FROM t;
  DECLARE CONTINUE HANDLER FOR NOT FOUND, SQLSTATE VALUE '23000', 1062 SET done = IF(1, 2, 3);
  DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN ROLLBACK; RESIGNAL; END;
  DECLARE EXIT HANDLER FOR SQLWARNING IF done THEN SELECT 1; END IF;
  IF (begin > 1) THEN SELECT end FROM t; ELSEIF 2 THEN SET r = CASE 1 WHEN 1 THEN CASE 2 WHEN 2 THEN 3 END END; ELSE BEGIN END; END IF;
  CASE begin WHEN 1 THEN SELECT IF(1, 2, 3); WHEN 2 THEN IF 1 THEN DO IF(1, 2, 3); END IF; ELSE BEGIN END; END CASE;
  l1: LOOP LEAVE l1; END LOOP l1;
  WHILE done < REPEAT('1', 2) DO SET done = done + 1; DO SLEEP(1); END WHILE;
  REPEAT SET done = REPEAT('x', 3); UNTIL done END REPEAT;
  DROP TABLE IF EXISTS x;
  SET @end = t.case, NEW.end = 1;
  SELECT CASE WHEN a THEN IF(b, 1, 2) ELSE IF(c, 1, 2) END;
END top;
SELECT 2;`, []string{
		"1:1 q CREATE DEFINER = CURRENT_USER() … 2) END; END top",
		"18:1 q SELECT 2",
	}},
	{"functions", "CREATE FUNCTION f(a INT) RETURNS SET('x','y') CHARSET utf8mb4 DETERMINISTIC RETURN IF(a, CASE a WHEN 1 THEN 'x' END, 'y');\nCREATE FUNCTION g() RETURNS CHAR(3) CHARACTER SET latin1 BEGIN RETURN 1; END;\nCREATE AGGREGATE FUNCTION h RETURNS STRING SONAME 'x.so';", []string{
		"1:1 q CREATE FUNCTION f(a INT) … THEN 'x' END, 'y')",
		"2:1 q CREATE FUNCTION g() RETURNS CHAR(3) CHARACTER SET latin1 BEGIN RETURN 1; END",
		"3:1 q CREATE AGGREGATE FUNCTION h RETURNS STRING SONAME 'x.so'",
	}},
	{"triggers", "CREATE TRIGGER a BEFORE UPDATE ON t FOR EACH ROW SET NEW.x = IF(1,2,3);\nCREATE TRIGGER b AFTER INSERT ON t FOR EACH ROW FOLLOWS begin IF NEW.x THEN SET @a = 1; END IF;\nCREATE TRIGGER c AFTER DELETE ON t FOR EACH ROW BEGIN END;", []string{
		"1:1 q CREATE TRIGGER a BEFORE … SET NEW.x = IF(1,2,3)",
		"2:1 q CREATE TRIGGER b AFTER … = 1; END IF",
		"3:1 q CREATE TRIGGER c AFTER DELETE ON t FOR EACH ROW BEGIN END",
	}},
	{"events", "CREATE EVENT begin ON SCHEDULE EVERY IF(1, 2, 3) DAY DO BEGIN DELETE FROM t; END;\nALTER EVENT e DO lbl: REPEAT SELECT 1; UNTIL 1 END REPEAT lbl;\nALTER EVENT e DISABLE; CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1;", []string{
		"1:1 q CREATE EVENT begin ON … DELETE FROM t; END",
		"2:1 q ALTER EVENT e DO … 1 END REPEAT lbl",
		"3:1 q ALTER EVENT e DISABLE",
		"3:24 q CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1",
	}},
	{"simple bodies", "CREATE PROCEDURE p() SELECT IF(1,2,3), CASE 1 WHEN 1 THEN 2 END; CREATE PROCEDURE app . q (a ENUM('b', 'c')) UPDATE t SET a = REPEAT('x', 2); SELECT 3;", []string{
		"1:1 q CREATE PROCEDURE p() SELECT IF(1,2,3), CASE 1 WHEN 1 THEN 2 END",
		"1:66 q CREATE PROCEDURE app . … a = REPEAT('x', 2)",
		"1:143 q SELECT 3",
	}},
	{"compound statements of MariaDB", "BEGIN NOT ATOMIC SELECT 1; END; IF 1 THEN SELECT 2; END IF; FOR i IN 1..3 DO SELECT i; END FOR; x: WHILE 1 DO LEAVE x; END WHILE; SELECT 3;", []string{
		"1:1 q BEGIN NOT ATOMIC SELECT 1; END", "1:33 q IF 1 THEN SELECT 2; END IF", "1:61 q FOR i IN 1..3 DO SELECT i; END FOR",
		"1:97 q x: WHILE 1 DO LEAVE x; END WHILE", "1:131 q SELECT 3",
	}},
	{"a transaction is no body", "BEGIN; SELECT 1; BEGIN WORK; XA BEGIN 'x'; SELECT CASE 1 WHEN 1 THEN 2 END; COMMIT;", []string{
		"1:1 q BEGIN", "1:8 q SELECT 1", "1:18 q BEGIN WORK", "1:30 q XA BEGIN 'x'", "1:44 q SELECT CASE 1 WHEN 1 THEN 2 END", "1:77 q COMMIT",
	}},
	{"definers may be any words", "CREATE DEFINER=admin@event PROCEDURE p() BEGIN SELECT 1; END; CREATE DEFINER='a'@'b' VIEW v AS SELECT 1; SELECT 2;", []string{
		"1:1 q CREATE DEFINER=admin@event PROCEDURE p() BEGIN SELECT 1; END",
		"1:63 q CREATE DEFINER='a'@'b' VIEW v AS SELECT 1",
		"1:106 q SELECT 2",
	}},
	{"JavaScript", "CREATE FUNCTION f(a INT) RETURNS INT LANGUAGE JAVASCRIPT AS $js$ let b = a; return b; $js$; SELECT $a$ FROM t;", []string{
		"1:1 q CREATE FUNCTION f(a INT) … a; return b; $js$",
		"1:93 q SELECT $a$ FROM t",
	}},
	{"Oracle's manner", "CREATE PROCEDURE p AS a INT; BEGIN SELECT 1; END;", []string{
		"error 1:20: this routine is written as with sql_mode=ORACLE: write DELIMITER // on a line above it, // after it, and DELIMITER ; below",
	}},
	{"packages", "CREATE OR REPLACE PACKAGE p AS END;", []string{
		"error 1:19: CREATE PACKAGE is full of semicolons: write DELIMITER // on a line above it, // after it, and DELIMITER ; below",
	}},
	{"a block without END", "CREATE PROCEDURE p()\nBEGIN\n  SELECT 1;", []string{"error 2:1: the BEGIN that begins here is not closed: its END is missing"}},
	{"an IF without END IF", "CREATE PROCEDURE p()\nBEGIN\n  IF 1 THEN SELECT 1;", []string{"error 3:3: the IF that begins here is not closed: its END IF is missing"}},
	{"an END that closes something else", "CREATE PROCEDURE p() BEGIN IF 1 THEN SELECT 1; END; END;", []string{"error 1:48: this END does not close the IF that is open here: its END IF is missing"}},
	{"open string", `SELECT 'a\';`, []string{"error 1:8: the string that begins here is not closed: its ' is missing"}},
	{"open double quote", `SELECT "a;`, []string{`error 1:8: the string that begins here is not closed: its " is missing`}},
	{"open comment", "SELECT /* a;", []string{"error 1:8: the comment that begins here is not closed: its */ is missing"}},
}
