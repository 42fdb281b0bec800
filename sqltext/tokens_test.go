package sqltext

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	tests := []struct {
		d    Dialect
		text string
		want []string // kind, text and offset
	}{
		{PostgreSQL, `a."B" /* c /* d */ */ = E'\'' -- e`, []string{"word a 0", "punct . 1", `name "B" 2`, "punct = 22", `string E'\'' 24`}},
		{PostgreSQL, "f($1, $x$;$x$);\\q", []string{
			"word f 0", "punct ( 1", "punct $1 2", "punct , 4", "string $x$;$x$ 6",
			"punct ) 13", "punct ; 14", "punct \\ 15", "word q 16",
		}},
		{PostgreSQL, "a 'b", []string{"word a 0", "broken 'b 2"}},
		{SQLite, "[a] `b` 0x1F 1.5", []string{"name [a] 0", "name `b` 4", "number 0x1F 8", "number 1.5 13"}},
		{MySQL, "a # b\n/*!40101 \"c\" */ /* d */ `e`", []string{"word a 0", `string "c" 15`, "name `e` 30"}},
		{0, "a--b", []string{"word a 0"}},
		{PostgreSQL, " \n", nil},
	}
	kinds := map[TokenKind]string{TokenWord: "word", TokenName: "name", TokenString: "string", TokenNumber: "number", TokenPunct: "punct", TokenBroken: "broken"}
	for _, tt := range tests {
		var got []string
		for tok := range Tokens(tt.text, tt.d) {
			got = append(got, fmt.Sprintf("%s %s %d", kinds[tok.Kind], tok.Text, tok.Pos))
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s, as %v: (-want +got)\n%s", tt.text, tt.d, diff)
		}
	}
}

func TestTokenNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 62)
	for _, tt := range []struct {
		d                 Dialect
		text, name, value string
	}{
		{PostgreSQL, "ÄBc", "Äbc", ""},
		{PostgreSQL, `"A""b"`, `A"b`, ""},
		{PostgreSQL, `U&"\0061"`, "a", ""},
		{PostgreSQL, long + "äö", long, ""},
		{PostgreSQL, `E'a\n\'b'`, "", "a\n'b"},
		{PostgreSQL, "$a$'$a$", "", "'"},
		{SQLite, "Ab", "Ab", ""},
		{SQLite, "[A]", "A", ""},
		{SQLite, `'a''\n'`, "", `a'\n`},
		{MySQL, "`a``b`", "a`b", ""},
		{MySQL, `"a""b"`, `a"b`, `a"b`},
		{MySQL, `'a''\'\n\%\0'`, "", "a''\n%\x00"},
		{MySQL, "12", "", ""},
	} {
		tok := List(tt.text, tt.d).At(0)
		if tok.Text != tt.text {
			t.Errorf("%s, as %v, is more than one token", tt.text, tt.d)
		}
		if got := tok.Name(); got != tt.name {
			t.Errorf("the name of %s, as %v, is %q, want %q", tt.text, tt.d, got, tt.name)
		}
		if got := tok.Value(); got != tt.value {
			t.Errorf("the value of %s, as %v, is %q, want %q", tt.text, tt.d, got, tt.value)
		}
	}
}

func TestTokenList(t *testing.T) {
	t.Parallel()
	l := List(`create "Table" (a (b), c) x (`, PostgreSQL)
	for _, tt := range []struct {
		what string
		is   bool
	}{
		{"a keyword in another case", l.Is(0, "CREATE")},
		{"a quoted name is no keyword", !l.Is(1, "TABLE")},
		{"several in a row", l.Is(2, "(", "a", "(")},
		{"nothing behind the end", !l.Is(12, "x")},
		{"nothing before the beginning", !l.Is(-1, "create")},
		{"one of several", l.Any(3, "b", "A")},
		{"the place of several", l.Index(",", "c") == 7},
		{"no place", l.Index("c", ",") == -1},
		{"what is passed over", l.Skip(2, "(", "a") == 5},
		{"the parenthesis that closes", l.Closing(2) == 10},
		{"one that is not closed", l.Closing(11) == len(l)},
		{"no token", l.At(99) == Token{}},
	} {
		if !tt.is {
			t.Errorf("%s: not so", tt.what)
		}
	}
}

func TestVerb(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"select 1": "SELECT", "(( /* a */ Select 1": "SELECT", "/*!40101 SET a = 1 */": "SET", "": "", `"a"`: "", "DROP": "DROP", "1": "",
	} {
		if got := (Statement{Text: text}).Verb(); got != want {
			t.Errorf("the verb of %s is %q, want %q", text, got, want)
		}
	}
}

func TestCreatedSchema(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"CREATE SCHEMA A": "a",
		`create /* a /* b */ */ schema --c` + "\n" + `"A"`: "A",
		"CREATE SCHEMA IF NOT EXISTS a AUTHORIZATION b":    "a",
		"CREATE SCHEMA AUTHORIZATION b":                    "b",
		"CREATE TABLE schema (a int)":                      "",
		"DROP SCHEMA a":                                    "",
		"CREATE SCHEMA":                                    "",
	} {
		if got := (Statement{Text: text}).CreatedSchema(PostgreSQL); got != want {
			t.Errorf("%s creates %q, want %q", text, got, want)
		}
	}
}

func TestSetsSession(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"SET a = 1": true, "RESET ALL": true, "SELECT pg_catalog.set_config('a', 'b', false)": true,
		"SELECT 'set_config('": false, "SELECT 1": false, "CREATE TEMP TABLE a (b int)": false, "LISTEN a": false,
	} {
		pieces, err := Split(text, PostgreSQL, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := pieces[0].SetsSession(); got != want {
			t.Errorf("that %s sets the session is %v, want %v", text, got, want)
		}
	}
}

func TestNumbersAreOneToken(t *testing.T) {
	t.Parallel()
	common := []string{"1", "1.5", "1.", ".5", "1e5", "1E+5", "1.5e-5", "1.e5", ".5e5", "0x1F", "1_000.000_1"}
	for _, tt := range []struct {
		d    Dialect
		text string
		want []string // text of each token
	}{
		{PostgreSQL, "1..10", []string{"1", ".", ".", "10"}},
		{PostgreSQL, "1e5..2", []string{"1e5", ".", ".", "2"}},
		{PostgreSQL, "a[1:.5]", []string{"a", "[", "1", ":", ".5", "]"}},
		{PostgreSQL, "1e-- 5", []string{"1e"}},
		{PostgreSQL, "1.from t", []string{"1.", "from", "t"}},
		{SQLite, "1.5-2.5", []string{"1.5", "-", "2.5"}},
		{SQLite, "1e+x", []string{"1e", "+", "x"}},
		{SQLite, "0x1e+5", []string{"0x1e", "+", "5"}},
		{MySQL, "a.1b.`c`.2d", []string{"a", ".", "1b", ".", "`c`", ".", "2d"}},
		{MySQL, "1b.2c", []string{"1b", ".", "2c"}},
	} {
		checkTokenTexts(t, tt.d, tt.text, tt.want)
	}
	for _, d := range []Dialect{PostgreSQL, SQLite, MySQL} {
		for _, number := range common {
			checkTokenTexts(t, d, number, []string{number})
			checkTokenTexts(t, d, "(-"+number+")", []string{"(", "-", number, ")"})
			if kind := List(number, d).At(0).Kind; kind != TokenNumber {
				t.Errorf("%s, as %v: kind %d, want a number", number, d, kind)
			}
		}
	}
}

func checkTokenTexts(t *testing.T, d Dialect, text string, want []string) {
	t.Helper()
	var got []string
	for tok := range Tokens(text, d) {
		got = append(got, tok.Text)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s, as %v: (-want +got)\n%s", text, d, diff)
	}
}
