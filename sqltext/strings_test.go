package sqltext

import (
	"strings"
	"testing"
)

// The value of standard_conforming_strings in a script decides where strings end.
func TestConformingStrings(t *testing.T) {
	t.Parallel()
	const escaped, plain = `SELECT 'it\'s; ok'`, `SELECT 'a\'`
	for text, want := range map[string][]string{
		"SET standard_conforming_strings = off; " + escaped:                                                     {escaped},
		"set session Standard_Conforming_Strings TO 'false';" + escaped:                                         {escaped},
		"SET standard_conforming_strings = off; SET standard_conforming_strings = on; " + plain:                 {plain},
		"SET standard_conforming_strings = off; RESET standard_conforming_strings; " + plain:                    {plain},
		"SET standard_conforming_strings = off; RESET ALL; " + plain:                                            {plain},
		"SET standard_conforming_strings = off; SET standard_conforming_strings TO DEFAULT;" + plain:            {plain},
		"SET LOCAL standard_conforming_strings = off; " + escaped:                                               {escaped},
		"BEGIN; SET LOCAL standard_conforming_strings = off; " + escaped + "; COMMIT; " + plain:                 {escaped, plain},
		"BEGIN; SET standard_conforming_strings = off; " + escaped + "; COMMIT; " + escaped:                     {escaped, escaped},
		"BEGIN; SET standard_conforming_strings = off; " + escaped + "; ROLLBACK; " + plain:                     {escaped, plain},
		"BEGIN; SET standard_conforming_strings = off; COMMIT AND CHAIN; " + escaped + "; ROLLBACK; " + escaped: {escaped, escaped},
		plain + "; " + plain: {plain, plain},
		`SET standard_conforming_strings = off; CREATE TABLE "a\" (x text DEFAULT $$\$$); ` + escaped: {`CREATE TABLE "a\" (x text DEFAULT $$\$$)`, escaped},
		`SET standard_conforming_strings = off; DECLARE c CURSOR FOR SELECT '\' WITH HOLD FOR'`:       {`DECLARE c CURSOR FOR SELECT '\' WITH HOLD FOR'`},
	} {
		pieces, err := Split(text, PostgreSQL, Options{})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var got []string
		for _, p := range pieces {
			if first := strings.Fields(p.Text)[0]; first == "SELECT" || first == "CREATE" || first == "DECLARE" {
				got = append(got, p.Text)
			}
		}
		if strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
	_, err := Split("SELECT 1;\nSET standard_conforming_strings = off;\nSELECT 'a\\';\n", PostgreSQL, Options{File: "a.sql"})
	if err == nil {
		t.Fatal("got no error")
	}
	if !strings.HasPrefix(err.Error(), "a.sql:3:8: the string that begins here is not closed") {
		t.Errorf("err.Error() = %q, want a text beginning with %q", err.Error(), "a.sql:3:8: the string that begins here is not closed")
	}
	if !strings.Contains(err.Error(), "standard_conforming_strings is off, from line 2 on") {
		t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), "standard_conforming_strings is off, from line 2 on")
	}
}
