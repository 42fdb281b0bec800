package database_test

import (
	"errors"
	"io"
	"iter"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// pieces returns the pieces of a script, the COPY data among them cut small.
func pieces(script string) iter.Seq2[sqltext.Statement, error] {
	return sqltext.NewScanner(iotest.OneByteReader(strings.NewReader(script)), sqltext.PostgreSQL, sqltext.Options{}).All()
}

func TestCopyData(t *testing.T) {
	for _, data := range []string{"", "1\ta\n", "1\n2\n3\n", "\\N\t;\n", strings.Repeat("a row of many\n", 10_000)} {
		next, stop := iter.Pull2(pieces("COPY t FROM stdin;\n" + data + "\\.\nSELECT 1;"))
		defer stop()
		if st, err, ok := next(); err != nil {
			t.Fatalf("next(): %v", err)
		} else if !ok {
			t.Fatalf("next(): ok = false, want true")
		} else if st.Kind != sqltext.CopyIn {
			t.Fatalf("next(): st.Kind = %v, want %v", st.Kind, sqltext.CopyIn)
		}
		r := database.CopyData(next)
		got, err := io.ReadAll(iotest.HalfReader(r))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != data {
			t.Errorf("string(got) = %q, want %q", string(got), data)
		}
		if n, err := r.Read(make([]byte, 1)); n != 0 {
			t.Errorf("r.Read(make([]byte, 1)): n = %v, want 0", n)
		} else if err != io.EOF {
			t.Errorf("r.Read(make([]byte, 1)): err = %v, want %v", err, io.EOF)
		}
		if st, err, ok := next(); err != nil {
			t.Errorf("next(): %v", err)
		} else if !ok {
			t.Errorf("next(): ok = false, want true")
		} else if st.Text != "SELECT 1" {
			t.Errorf("next(): st.Text = %q, want %q", st.Text, "SELECT 1")
		}
	}
}

func TestCopyDataFails(t *testing.T) {
	broken := errors.New("broken")
	calls := 0
	r := database.CopyData(func() (sqltext.Statement, error, bool) {
		if calls++; calls > 1 {
			return sqltext.Statement{}, broken, true
		}
		return sqltext.Statement{Kind: sqltext.CopyData, Raw: "row\n"}, nil, true
	})
	if got, err := io.ReadAll(r); string(got) != "row\n" {
		t.Errorf("io.ReadAll(r): string(got) = %q, want %q", string(got), "row\n")
	} else if err != broken {
		t.Errorf("io.ReadAll(r): err = %v, want %v", err, broken)
	}
	if _, err := r.Read(make([]byte, 1)); err != broken {
		t.Errorf("r.Read(make([]byte, 1)): err = %v, want %v", err, broken)
	} else if calls != 2 {
		t.Errorf("r.Read(make([]byte, 1)): calls = %v, want 2", calls)
	}
}

func TestCopyDataEndsWithTheScript(t *testing.T) {
	r := database.CopyData(func() (sqltext.Statement, error, bool) { return sqltext.Statement{}, nil, false })
	if got, err := io.ReadAll(r); len(got) != 0 {
		t.Errorf("io.ReadAll(r): len(got) = %v, want 0", len(got))
	} else if err != nil {
		t.Errorf("io.ReadAll(r): %v", err)
	}
}
