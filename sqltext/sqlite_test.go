package sqltext

var sqliteGoldens = []golden{
	{
		"every kind of quote", "SELECT 'a;''', \"b;\"\"\", `c;```, [d;'\"]; SELECT 2;",
		[]string{"1:1 q SELECT 'a;''', \"b;\"\"\", `c;```, [d;'\"]", "1:40 q SELECT 2"},
	},
	{"backslashes mean nothing", `SELECT '\'; SELECT 2;`, []string{`1:1 q SELECT '\'`, "1:13 q SELECT 2"}},
	{"comments do not nest", "SELECT /* /* ; */ 1; SELECT 2; --;", []string{"1:1 q SELECT /* /* ; */ 1", "1:22 q SELECT 2", "1:35 ."}},
	{"parentheses do not hold", "SELECT (1; SELECT 2);", []string{"1:1 q SELECT (1", "1:12 q SELECT 2)"}},
	{"parameters", "SELECT $a, @b, :c, ?1; SELECT a$b$c;", []string{"1:1 q SELECT $a, @b, :c, ?1", "1:24 q SELECT a$b$c"}},
	{
		"a trigger", "CREATE TRIGGER t AFTER INSERT ON a WHEN new.x > CASE 1 WHEN 1 THEN 2 END BEGIN\n  UPDATE a SET x = CASE WHEN 1 THEN 2 ELSE 3 END;\n  DELETE FROM b; -- END;\nEND;\nSELECT 2;",
		[]string{
			"1:1 q CREATE TRIGGER t AFTER … b; -- END; END",
			"5:1 q SELECT 2",
		},
	},
	{
		"a temporary trigger, explained", "EXPLAIN QUERY PLAN CREATE TEMP TRIGGER IF NOT EXISTS t BEFORE DELETE ON a BEGIN SELECT 1; END ; SELECT 2",
		[]string{
			"1:1 q EXPLAIN QUERY PLAN CREATE … BEGIN SELECT 1; END",
			"1:97 q SELECT 2",
		},
	},
	{
		"a column called end", "CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE a SET [end] = 1, \"end\" = 2; SELECT end FROM b; END; SELECT 2;",
		[]string{
			"1:1 q CREATE TRIGGER t AFTER … end FROM b; END",
			"1:101 q SELECT 2",
		},
	},
	{"a trigger at the end of the text", "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END", []string{"1:1 q CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END"}},
	{"a trigger without END", "CREATE TRIGGER t AFTER INSERT ON a\nBEGIN SELECT 1;", []string{
		"error 2:1: the trigger's body that begins here is not closed: BEGIN needs an END, after the semicolon of the body's last statement",
	}},
	{"a trigger without a body ends as anything does", "CREATE TRIGGER t; SELECT 2;", []string{"1:1 q CREATE TRIGGER t", "1:19 q SELECT 2"}},
	{"transactions are no bodies", "BEGIN IMMEDIATE; SELECT 1; END;", []string{"1:1 q BEGIN IMMEDIATE", "1:18 q SELECT 1", "1:28 q END"}},
	{"shell commands", "SELECT 1;\n.read x.sql\n", []string{
		"1:1 q SELECT 1",
		"error 2:1: this is a command of the sqlite3 shell, not SQL: take the line out, or write what it does in SQL",
	}},
	{"open string", "SELECT 'a", []string{"error 1:8: the string that begins here is not closed: its ' is missing"}},
	{"open bracket", "SELECT [a", []string{"error 1:8: the quoted name that begins here is not closed: its ] is missing"}},
	{"open backtick", "SELECT `a``", []string{"error 1:8: the quoted name that begins here is not closed: its ` is missing"}},
	{"open comment", "SELECT 1;\n/* /* a", []string{"1:1 q SELECT 1", "error 2:1: the comment that begins here is not closed: its */ is missing"}},
	{"NUL", "SELECT \x00", []string{"error 1:8: there is a NUL byte here, which no SQL text can have: if the file is UTF-16, save it as UTF-8"}},
}
