package sqltext

var postgresGoldens = []golden{
	{"statements end at semicolons", "SELECT 1; SELECT 2;\nSELECT 3", []string{"1:1 q SELECT 1", "1:11 q SELECT 2", "2:1 q SELECT 3"}},
	{"stray terminators and comments are empty pieces", ";; /* c */ ;\n-- end", []string{"1:1 .", "1:2 .", "1:12 .", "2:7 ."}},
	{"comments lead a statement", "-- a; b\n/* c; */ SELECT 1;", []string{"2:10 q SELECT 1"}},
	{"a file may end in a line comment", "SELECT 1; -- the end;", []string{"1:1 q SELECT 1", "1:22 ."}},
	{"a byte-order mark is white space", "\ufeffSELECT 1;", []string{"1:1 q SELECT 1"}},
	{"CRLF", "SELECT 1;\r\n  SELECT\r\n 2;\r\n", []string{"1:1 q SELECT 1", "2:3 q SELECT 2", "4:1 ."}},
	{"columns count characters", "SELECT 'žluťoučký'; SELECT 2; /* 🐦 */ SELECT 3;", []string{"1:1 q SELECT 'žluťoučký'", "1:21 q SELECT 2", "1:39 q SELECT 3"}},
	{"a non-breaking space is no white space", "SELECT\u00a01;\u00a0", []string{
		"1:1 q SELECT\u00a01",
		"1:10 q \u00a0",
	}},
	{"strings", "SELECT 'a;''b;' || 'it''s;'; SELECT 2;", []string{"1:1 q SELECT 'a;''b;' || 'it''s;'", "1:30 q SELECT 2"}},
	{"backslashes do not escape in plain strings", `SELECT 'C:\'; SELECT 2;`, []string{`1:1 q SELECT 'C:\'`, "1:15 q SELECT 2"}},
	{"backslashes escape in E strings", `SELECT E'a\';b\\'; SELECT e'';`, []string{`1:1 q SELECT E'a\';b\\'`, "1:20 q SELECT e''"}},
	{"an E string continues in later lines", "SELECT E'a'\n  -- more\n  'b\\';c'; SELECT 2;", []string{`1:1 q SELECT E'a' -- more 'b\';c'`, "3:12 q SELECT 2"}},
	{"the E of a longer word is no prefix", `SELECT type'a\'; SELECT 2;`, []string{`1:1 q SELECT type'a\'`, "1:18 q SELECT 2"}},
	{"Unicode strings and names", `SELECT U&'\0061;', U&"d;""\0061" FROM u&t;`, []string{`1:1 q SELECT U&'\0061;', U&"d;""\0061" FROM u&t`}},
	{"quoted names", `SELECT "a;""b;" FROM "x'y;z"; SELECT 2;`, []string{`1:1 q SELECT "a;""b;" FROM "x'y;z"`, "1:31 q SELECT 2"}},
	{
		"dollar quotes", "SELECT $$a;'b$x$ $$, $tag$ $$;$ta$; $tag$; SELECT $ž$;$ž$;",
		[]string{"1:1 q SELECT $$a;'b$x$ $$, $tag$ $$;$ta$; $tag$", "1:44 q SELECT $ž$;$ž$"},
	},
	{"parameters and dollars in names are no quotes", "SELECT $1, a$b$c; SELECT x$$; SELECT $2;", []string{"1:1 q SELECT $1, a$b$c", "1:19 q SELECT x$$", "1:31 q SELECT $2"}},
	{"comments nest", "SELECT /* a /* ; */ ; */ 1; SELECT 2;", []string{"1:1 q SELECT /* a /* ; */ ; */ 1", "1:29 q SELECT 2"}},
	{"operators end where comments begin", "SELECT 1+/*;*/2, 3--;\n;SELECT 4*-5;", []string{"1:1 q SELECT 1+/*;*/2, 3--;", "2:2 q SELECT 4*-5"}},
	{"a lone CR ends a line comment", "SELECT 1 -- a\r; SELECT 2", []string{"1:1 q SELECT 1 -- a", "1:17 q SELECT 2"}},

	{
		"parentheses hold a statement together", "CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM a; DELETE FROM b); SELECT 2;",
		[]string{
			"1:1 q CREATE RULE r AS … a; DELETE FROM b)",
			"1:73 q SELECT 2",
		},
	},
	{"a closing parenthesis too many does not matter", "SELECT 1); SELECT (2;3); SELECT 4;", []string{"1:1 q SELECT 1)", "1:12 q SELECT (2;3)", "1:26 q SELECT 4"}},
	{"an opening one too many takes the rest", "SELECT (1; SELECT 2;", []string{"1:1 q SELECT (1; SELECT 2;"}},

	{"BEGIN ATOMIC bodies", `CREATE OR REPLACE FUNCTION f(a int DEFAULT 1) RETURNS int LANGUAGE sql
BEGIN /* really */ ATOMIC
  SELECT CASE WHEN a > 1 THEN CASE a WHEN 2 THEN 1 END ELSE 2 END;
  SELECT x.end, 1 AS end, 2 end FROM x;
  ;
END;
create procedure p() begin atomic end; SELECT 2;`, []string{
		"1:1 q CREATE OR REPLACE FUNCTION … FROM x; ; END",
		"7:1 q create procedure p() begin atomic end",
		"7:40 q SELECT 2",
	}},
	{
		"BEGIN without ATOMIC is no body", "CREATE FUNCTION begin() RETURNS int AS 'x' LANGUAGE c; BEGIN; SELECT 1; END;",
		[]string{"1:1 q CREATE FUNCTION begin() RETURNS int AS 'x' LANGUAGE c", "1:56 q BEGIN", "1:63 q SELECT 1", "1:73 q END"},
	},
	{
		"BEGIN ATOMIC outside of routines is no body", "CREATE VIEW v AS SELECT begin atomic FROM t; SELECT 2;",
		[]string{"1:1 q CREATE VIEW v AS SELECT begin atomic FROM t", "1:46 q SELECT 2"},
	},
	{
		"a body in dollar quotes", "CREATE FUNCTION f() RETURNS trigger AS $f$\nBEGIN\n  NEW.a = 1;\n  RETURN NEW;\nEND $f$ LANGUAGE plpgsql;\nDO $$ BEGIN END; $$;",
		[]string{
			"1:1 q CREATE FUNCTION f() RETURNS … END $f$ LANGUAGE plpgsql",
			"6:1 q DO $$ BEGIN END; $$",
		},
	},
	{"a body without END", "SELECT 1;\nCREATE FUNCTION f()\n  BEGIN ATOMIC SELECT 1;", []string{
		"1:1 q SELECT 1",
		"error 3:3: the body that begins here is not closed: BEGIN ATOMIC needs an END, after the semicolon of the body's last statement",
	}},

	{"COPY data", "COPY t (a, b) FROM stdin; -- rows\n1\t;'$$\n\\N\t\\\\.\n\\.\nSELECT 1;", []string{
		"1:1 c COPY t (a, b) FROM stdin", "2:1 d 1 ;'$$ \\N \\\\.", "4:1 e \\.", "5:1 q SELECT 1",
	}},
	{"COPY without rows, CRLF", "copy app.\"T\" from STDIN with (format csv);\r\n\\.\r\n;", []string{"1:1 c copy app.\"T\" from STDIN with (format csv)", "2:1 e \\.", "3:1 ."}},
	{"COPY to the end of the text", "COPY t FROM stdin;\n1\n\\.", []string{"1:1 c COPY t FROM stdin", "2:1 d 1", "3:1 e \\."}},
	{"other COPYs have no data", "COPY (SELECT a FROM stdin) TO STDOUT; COPY t FROM '/x'; COPY t TO STDOUT; COPY t FROM PROGRAM 'x';", []string{
		"1:1 q COPY (SELECT a FROM stdin) TO STDOUT", "1:39 q COPY t FROM '/x'", "1:57 q COPY t TO STDOUT", "1:75 q COPY t FROM PROGRAM 'x'",
	}},
	{"COPY data without its end", "SELECT 1;\n COPY t FROM stdin;\n1\n\\.x\n", []string{
		"1:1 q SELECT 1", "2:2 c COPY t FROM stdin", "3:1 d 1 \\.x",
		`error 2:2: the data of this COPY … FROM stdin has no end: a line \. is missing`,
	}},
	{"something behind COPY", "COPY t FROM stdin; SELECT 1;\n1\n\\.\n", []string{
		`error 1:20: the data of COPY … FROM stdin begins on the next line: move what follows the semicolon below the line \. that ends the data`,
	}},
	{"a comment after COPY that continues on later lines", "COPY t FROM stdin; /* a */ /*\n*/\n\\.\n", []string{
		`error 1:28: the data of COPY … FROM stdin begins on the next line: move what follows the semicolon below the line \. that ends the data`,
	}},

	{"pg_dump's restrict lines", "--\n-- dump\n--\n\\restrict abcXYZ\n\nSET a = 1;\n\\unrestrict abcXYZ\n", []string{
		"4:1 - \\restrict abcXYZ", "6:1 q SET a = 1", "7:1 - \\unrestrict abcXYZ",
	}},
	{"restrict amid a statement", "SELECT 1\n\\restrict a\n", []string{`error 2:1: \restrict is a command of psql, not SQL: put it on a line of its own, between statements`}},
	{"restrict with a second command", "\\restrict a \\! rm\n", []string{`error 1:1: \restrict is a command of psql, not SQL: put it on a line of its own, between statements`}},
	{"connect", "SELECT 1;\n\\connect other\n", []string{
		"1:1 q SELECT 1",
		`error 2:1: \connect is a command of psql, not SQL: take it out: a script runs in the database it is opened for, so give each database its own scripts`,
	}},
	{"set", `\set x 1`, []string{`error 1:1: \set is a command of psql, not SQL: write the values out: psql's variables are not known here`}},
	{"if", `\if :x`, []string{`error 1:1: \if is a command of psql, not SQL: write the condition in SQL, in a DO block for instance`}},
	{"gset", `SELECT 1 \gset`, []string{`error 1:10: \gset is a command of psql, not SQL: write the values out: psql's variables are not known here`}},
	{"gexec", `SELECT 1 \gexec`, []string{`error 1:10: \gexec is a command of psql, not SQL: run the generated statements with EXECUTE in a DO block`}},
	{"include", `\i x.sql`, []string{`error 1:1: \i is a command of psql, not SQL: put the other file's text here, or make it a migration of its own`}},
	{"client copy", `\copy t from program 'x'`, []string{`error 1:1: \copy is a command of psql, not SQL: write COPY … FROM stdin with the data below it and a line \. at the end; \copy reads files of the client, and "from program" would run a program`}},
	{"separator", `SELECT 1\; SELECT 2;`, []string{`error 1:9: \ is a command of psql, not SQL: end each statement with a semicolon alone`}},
	{"unknown command", `\frobnicate`, []string{`error 1:1: \frobnicate is a command of psql, not SQL: take it out, and write what it does in SQL`}},
	{"end of data without data", "SELECT 1;\n\\.\n", []string{
		"1:1 q SELECT 1",
		`error 2:1: \. ends the data of COPY … FROM stdin, and there is none here: take the line out, or put the COPY before its data`,
	}},

	{"open string", "SELECT 1;\nSELECT 'a;\n", []string{"1:1 q SELECT 1", "error 2:8: the string that begins here is not closed: its ' is missing"}},
	{"open E string", `SELECT E'a\';`, []string{`error 1:8: the string that begins here is not closed: its ' is missing (in E'…' a backslash escapes a quote)`}},
	{"open name", `SELECT "a;`, []string{`error 1:8: the quoted name that begins here is not closed: its " is missing`}},
	{"open dollar quote", "SELECT $a$ $b$;", []string{"error 1:8: the dollar-quoted string that begins here is not closed: its $a$ is missing"}},
	{"open comment", "SELECT /* /* */ 1;", []string{"error 1:8: the comment that begins here is not closed: its */ is missing (comments nest, so each /* inside it needs its own)"}},
	{"NUL", "SELECT '\x00';\nSELECT \x00;", []string{"1:1 q SELECT '\x00'", "error 2:8: there is a NUL byte here, which no SQL text can have: if the file is UTF-16, save it as UTF-8"}},
	{"NUL in a comment", "-- a\x00\n", []string{"error 1:5: there is a NUL byte here, which no SQL text can have: if the file is UTF-16, save it as UTF-8"}},
	{"bytes that are not UTF-8", "SELECT '\xff\xfe;'; SELECT \xe9;", []string{"1:1 q SELECT '\xff\xfe;'", "1:15 q SELECT \xe9"}},
}
