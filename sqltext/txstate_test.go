package sqltext_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// TestTxState follows scripts. After each statement it notes the open transaction, by the
// statements that begin another of its kind, with "empty" and "read only"; the statements that wait
// for the next transaction; and with "commits first" that the database commits before the
// statement.
func TestTxState(t *testing.T) {
	tests := []struct {
		name    string
		dialect sqltext.Dialect
		script  string
		want    []string
	}{
		{
			"modes and chains", sqltext.PostgreSQL,
			"SELECT 1; BEGIN; SET TRANSACTION READ ONLY; BEGIN; COMMIT AND CHAIN; SELECT 2; ROLLBACK AND CHAIN; COMMIT",
			[]string{
				"", "[BEGIN] empty", "[BEGIN, SET TRANSACTION READ ONLY] read only", "[BEGIN, SET TRANSACTION READ ONLY] read only",
				"[BEGIN, SET TRANSACTION READ ONLY] empty read only", "[BEGIN, SET TRANSACTION READ ONLY] read only",
				"[BEGIN, SET TRANSACTION READ ONLY] empty read only", "",
			},
		},
		{
			"the session's default", sqltext.PostgreSQL,
			"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY; BEGIN; ROLLBACK; BEGIN TRANSACTION READ WRITE, ISOLATION LEVEL SERIALIZABLE",
			[]string{"", "[BEGIN] empty read only", "", "[BEGIN TRANSACTION READ WRITE, ISOLATION LEVEL SERIALIZABLE] empty"},
		},
		{
			"implicit commits", sqltext.MySQL,
			"BEGIN; INSERT INTO t VALUES (1); CREATE TABLE u (a int); BEGIN; BEGIN; DROP TABLE u; COMMIT",
			[]string{"[BEGIN] empty", "[BEGIN]", "commits first", "[BEGIN] empty", "commits first [BEGIN] empty", "commits first", ""},
		},
		{
			"the next transaction", sqltext.MySQL,
			"SET TRANSACTION READ ONLY; SET @a = 1; BEGIN; COMMIT; SET TRANSACTION READ ONLY; COMMIT; INSERT INTO t VALUES (1)",
			[]string{
				"next [SET TRANSACTION READ ONLY]", "next [SET TRANSACTION READ ONLY]", "[SET TRANSACTION READ ONLY, BEGIN] empty read only", "",
				"next [SET TRANSACTION READ ONLY]", "next [SET TRANSACTION READ ONLY]", "",
			},
		},
		{
			"no implicit commit", sqltext.SQLite,
			"BEGIN; VACUUM; END",
			[]string{"[BEGIN] empty", "[BEGIN]", ""},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			pieces, err := sqltext.Split(test.script, test.dialect, sqltext.Options{})
			if err != nil {
				t.Fatal(err)
			}
			state := sqltext.TxState{Dialect: test.dialect}
			var got []string
			for _, st := range pieces {
				commits := state.CommitsBefore(st)
				state.Follow(st)
				got = append(got, describeTx(state, commits))
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("after the statements (-want +got):\n%s", d)
			}
		})
	}
}

func describeTx(s sqltext.TxState, commits bool) string {
	texts := func(all []sqltext.Statement) string {
		var list []string
		for _, st := range all {
			list = append(list, st.Text)
		}
		return fmt.Sprintf("[%s]", strings.Join(list, ", "))
	}
	var words []string
	for _, w := range []struct {
		is   bool
		word string
	}{
		{commits, "commits first"},
		{s.Open(), texts(s.Begin)},
		{s.Empty, "empty"},
		{s.Open() && s.ReadOnly, "read only"},
		{len(s.Next) > 0, "next " + texts(s.Next)},
	} {
		if w.is {
			words = append(words, w.word)
		}
	}
	return strings.Join(words, " ")
}
