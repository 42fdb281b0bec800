package testdb_test

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

func TestTapReadsWhatPasses(t *testing.T) {
	t.Parallel()
	var heard []string
	url := testdb.Postgres(t)
	tap := testdb.NewTap(t, url, func(_ int, m any) {
		switch m := m.(type) {
		case *pgproto3.StartupMessage:
			heard = append(heard, "startup "+m.Parameters["user"])
		case *pgproto3.Query:
			heard = append(heard, m.String)
		case *pgproto3.Parse:
			m.Query = "SELECT 2"
		case *pgproto3.NoticeResponse:
			heard = append(heard, "notice: "+m.Message)
		case *pgproto3.ErrorResponse:
			heard = append(heard, "error: "+m.Message)
		case *pgproto3.ReadyForQuery:
			heard = append(heard, "ready "+string(m.TxStatus))
		}
	})
	conn := connect(t, tap.URL)
	query(t, conn, "BEGIN; DO $$ BEGIN RAISE NOTICE 'hello'; END $$")
	if _, err := conn.Exec(t.Context(), "SELECT 1 / 0").ReadAll(); err == nil {
		t.Error("no error")
	}
	query(t, conn, "ROLLBACK")
	if got := string(conn.ExecParams(t.Context(), "SELECT 1", nil, nil, nil, nil).Read().Rows[0][0]); got != "2" {
		t.Errorf("a statement that was changed on the way answers %s", got)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"startup postgres", "ready I", "BEGIN; DO $$ BEGIN RAISE NOTICE 'hello'; END $$", "notice: hello", "ready T",
		"SELECT 1 / 0", "error: division by zero", "ready E", "ROLLBACK", "ready I", "ready I",
	}
	if !slices.Equal(heard, want) {
		t.Errorf("heard %q, want %q", heard, want)
	}
}
