package sqltext

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func FuzzPostgreSQL(f *testing.F) { fuzzScanner(f, PostgreSQL, postgresGoldens) }
func FuzzSQLite(f *testing.F)     { fuzzScanner(f, SQLite, sqliteGoldens) }
func FuzzMySQL(f *testing.F)      { fuzzScanner(f, MySQL, mysqlGoldens) }

func fuzzScanner(f *testing.F, d Dialect, seeds []golden) {
	for _, g := range seeds {
		f.Add(g.text)
	}
	for _, text := range fragments {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { checkText(t, text, d) })
}

// fragments are texts that are difficult for lexers.
var fragments = []string{
	"", ";", "\ufeff", "\ufeffSELECT 1", "'", "''''", "E'\\'", "E'a'\n--c\n'\\''", "$$", "$a$;$a$", "a$b$;c$b$", "$1;$$;$$",
	"/*", "/*/", "/*/*/**/*/;", "--", "--\r;", "-- \x00", "\x00", "U&\"a;\"", "U&'\\0061'", "[;]", "`;``;`", "#;\n;", "--;\n", "-- ;\n",
	"(;);", ");(;", "COPY t FROM stdin;\n1\n\\.\n", "COPY t FROM stdin;\n\\.", "COPY t FROM stdin; x", "COPY t FROM stdin -- x\n;--y\n\\.\r\n;",
	"\\restrict a\n;", "\\restrict \\\n", "a\\gset", "\\", "DELIMITER $$\nx;y$$\nDELIMITER ;\n;", "DELIMITER go\ngoa; go\n", "delimiter", "DELIMITER '\n",
	"/*!1 a;*/;", "/*!999999 ; */;", "/*M!1 ; /* ; */ ; */;", "CREATE PROCEDURE p() BEGIN IF a THEN b; END IF; END;x;",
	"CREATE FUNCTION f() BEGIN ATOMIC SELECT 1; END;x;", "CREATE TRIGGER t BEGIN SELECT 1; END;x;", "BEGIN NOT ATOMIC a; END;",
	"CREATE PROCEDURE p() DECLARE CONTINUE HANDLER FOR NOT FOUND, 1 BEGIN a; END;", "CREATE EVENT e DO l: LOOP a; END LOOP l; b;",
	"ALTER TYPE t ADD VALUE $$v$$;ALTER TYPE t ADD VALUE E'\\x41\\u0041\\", "SET @@autocommit=1", "PRAGMA a.b=1;PRAGMA(", "REINDEX(", "\\N;\\G",
	"CREATE FUNCTION f() RETURNS INT LANGUAGE JAVASCRIPT AS $$ a; $$;", "EXPLAIN CREATE TEMP TRIGGER BEGIN ; END",
	"UPDATE t SET a=':first' WHERE id>=:first.a::int AND b[1::int:last]<=:last", "-- whimbrel: batch 1\n#a\n/*!1 */--\r-- b", "SELECT ARRAY[[:first],[:last]],$1,?2,@a:=:first",
}

// checkText checks what is true of every text.
func checkText(t *testing.T, text string, d Dialect) {
	t.Helper()
	opts := Options{File: "f.sql", Reserved: []string{"a", "whimbrel_history"}}
	pieces, err := Split(text, d, opts)
	checkPieces(t, text, pieces, err)
	for name, r := range map[string]io.Reader{
		"OneByteReader": iotest.OneByteReader(strings.NewReader(text)),
		"HalfReader":    iotest.HalfReader(strings.NewReader(text)),
		"DataErrReader": iotest.DataErrReader(strings.NewReader(text)),
	} {
		got, gotErr := collect(NewScanner(r, d, opts))
		if !slices.Equal(pieces, got) {
			t.Fatalf("%s: other pieces than from the whole text:\n%s", name, cmp.Diff(pieces, got))
		}
		if !sameError(err, gotErr) {
			t.Fatalf("%s: the error is %v; from the whole text it is %v", name, gotErr, err)
		}
	}
	checkTokens(t, text, d)
	checkHead(t, text, d)
	for _, p := range pieces {
		checkParams(t, p, d)
	}
	delimiter := false
	for _, p := range pieces {
		delimiter = delimiter || d == MySQL && p.Kind == Client
		// Alone, some texts mean something else: MySQL takes "--" at the end for a
		// comment, and a byte-order mark is one only at the beginning.
		odd := d == MySQL && strings.HasSuffix(p.Text, "--") || strings.HasPrefix(p.Text, byteOrderMark)
		if p.Kind == SQL && !delimiter && !odd {
			checkWhole(t, p, d, opts)
		}
	}
}

func sameError(a, b error) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Error() == b.Error()
}

// checkPieces checks that the pieces joined are the text, or the part before the error, and that
// each is at its position.
func checkPieces(t *testing.T, text string, pieces []Statement, err error) {
	t.Helper()
	offset, index := 0, 0
	for i, p := range pieces {
		if p.Raw == "" {
			t.Fatalf("piece %d is empty", i)
		}
		if !strings.HasPrefix(text[offset:], p.Raw) {
			t.Fatalf("piece %d is %q, the text continues with %q", i, p.Raw, text[offset:])
		}
		if p.Start != positionAt(text, offset) {
			t.Fatalf("piece %d starts at %+v, not at %+v", i, p.Start, positionAt(text, offset))
		}
		at := int(p.Pos.Offset)
		if at < offset {
			t.Fatalf("piece %d: at = %v, want at least %v", i, at, offset)
		}
		if at+len(p.Text) > offset+len(p.Raw) {
			t.Fatalf("piece %d: at+len(p.Text) = %v, want at most %v", i, at+len(p.Text), offset+len(p.Raw))
		}
		if got, want := text[at:at+len(p.Text)], p.Text; got != want {
			t.Fatalf("piece %d: text[at:at+len(p.Text)] = %v, want %v", i, got, want)
		}
		if p.Pos != positionAt(text, at) {
			t.Fatalf("piece %d: p.Pos = %v, want %v", i, p.Pos, positionAt(text, at))
		}
		if p.Kind != CopyData && p.Text != strings.Trim(p.Text, " \t\n\v\f\r") {
			t.Fatalf("piece %d: text %q is not trimmed", i, p.Text)
		}
		if (p.Text == "") != (p.Kind == Empty) {
			t.Fatalf("piece %d: kind %d with text %q", i, p.Kind, p.Text)
		}
		if p.Index != index {
			t.Fatalf("piece %d has the index %d, not %d", i, p.Index, index)
		}
		if p.Kind == SQL || p.Kind == CopyIn {
			index++
		}
		offset += len(p.Raw)
	}
	if e := (*Error)(nil); errors.As(err, &e) {
		if e.Pos != positionAt(text, int(e.Pos.Offset)) {
			t.Fatalf("error at %+v, not at %+v", e.Pos, positionAt(text, int(e.Pos.Offset)))
		}
	} else if err != nil {
		t.Fatalf("unexpected kind of error: %v", err)
	} else if offset != len(text) {
		t.Fatalf("pieces end at %d of %d", offset, len(text))
	}
}

// checkTokens checks that each token is at its offset, after the previous one, and that its Name
// and Value can be called.
func checkTokens(t *testing.T, text string, d Dialect) {
	t.Helper()
	end := 0
	for tok := range Tokens(text, d) {
		if tok.Pos < end {
			t.Fatalf("tok.Pos = %v, want at least %v", tok.Pos, end)
		}
		if tok.End() > len(text) {
			t.Fatalf("tok.End() = %v, want at most %v", tok.End(), len(text))
		}
		if got, want := text[tok.Pos:tok.End()], tok.Text; got != want {
			t.Fatalf("text[tok.Pos:tok.End()] = %v, want %v", got, want)
		}
		if tok.Text == "" && tok.Kind != TokenBroken {
			t.Fatal("got tok.Text == \"\" && tok.Kind != TokenBroken")
		}
		if mayName := tok.Kind == TokenWord || tok.Kind == TokenName || d == MySQL && (tok.Kind == TokenString || tok.Kind == TokenNumber); tok.Name() != "" && !mayName {
			t.Fatalf("token %q has the name %q", tok.Text, tok.Name())
		}
		if tok.Value() != "" && tok.Kind != TokenString {
			t.Fatalf("token %q has the value %q", tok.Text, tok.Value())
		}
		end = tok.End()
	}
	st := Statement{Text: text}
	st.Verb()
	st.CreatedSchema(d)
}

// checkWhole: a statement alone is still one statement, of the same sort.
func checkWhole(t *testing.T, p Statement, d Dialect, opts Options) {
	t.Helper()
	for _, text := range []string{p.Raw, p.Text} {
		again, err := Split(text, d, opts)
		if err != nil {
			t.Fatalf("%q alone: %v", text, err)
		}
		if len(again) != 1 {
			t.Fatalf("%q alone is %d pieces", text, len(again))
		}
		q := again[0]
		q.Raw, q.Start, q.Pos, q.Index = p.Raw, p.Start, p.Pos, p.Index
		if p != q {
			t.Fatalf("%q alone is another statement:\n%s", text, cmp.Diff(p, q))
		}
	}
}

// positionAt is the plain way to find a position.
func positionAt(text string, offset int) Position {
	p := Position{File: "f.sql", Offset: int64(offset), Line: 1, Column: 1}
	before := text[:offset]
	if i := strings.LastIndexByte(before, '\n'); i >= 0 {
		p.Line += strings.Count(before, "\n")
		before = before[i+1:]
	} else {
		before = strings.TrimPrefix(before, "\ufeff")
	}
	for _, c := range []byte(before) {
		if c < 0x80 || c >= 0xc0 {
			p.Column++
		}
	}
	return p
}

func collect(s *Scanner) ([]Statement, error) {
	var all []Statement
	for st, err := range s.All() {
		if err != nil {
			return all, err
		}
		all = append(all, st)
	}
	return all, nil
}
