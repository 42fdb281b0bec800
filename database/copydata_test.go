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
		if st, err, ok := next(); err != nil || !ok || st.Kind != sqltext.CopyIn {
			t.Fatalf("%+v, %v", st, err)
		}
		r := database.CopyData(next)
		got, err := io.ReadAll(iotest.HalfReader(r))
		if err != nil || string(got) != data {
			t.Errorf("read %.40q, %v, want %.40q", got, err, data)
		}
		if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("behind the end: %d, %v", n, err)
		}
		if st, err, ok := next(); err != nil || !ok || st.Text != "SELECT 1" {
			t.Errorf("behind the data comes %+v, %v", st, err)
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
	if got, err := io.ReadAll(r); string(got) != "row\n" || err != broken {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := r.Read(make([]byte, 1)); err != broken || calls != 2 {
		t.Errorf("after the error: %v, after %d calls", err, calls)
	}
}

func TestCopyDataEndsWithTheScript(t *testing.T) {
	r := database.CopyData(func() (sqltext.Statement, error, bool) { return sqltext.Statement{}, nil, false })
	if got, err := io.ReadAll(r); len(got) != 0 || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
}
