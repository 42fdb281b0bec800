package sqltext

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// golden is a text and its pieces: "line:column kind text", and "error …" in the
// end where there is one. Kinds: q SQL, c CopyIn, d CopyData, e CopyEnd,
// - Client, . Empty; Tx follows where it is not TxAny.
type golden struct {
	name string
	text string
	want []string
}

func (g golden) run(t *testing.T, d Dialect) {
	t.Parallel()
	checkText(t, g.text, d)
	pieces, err := Split(g.text, d, Options{})
	got := []string{}
	for _, p := range pieces {
		got = append(got, describe(p))
	}
	if err != nil {
		got = append(got, "error "+err.Error())
	}
	if diff := cmp.Diff(g.want, got); diff != "" {
		t.Errorf("pieces of\n%s\n(- wanted, + got)\n%s", g.text, diff)
	}
}

// describe abridges a long statement to its first and last words.
func describe(p Statement) string {
	words := strings.FieldsFunc(p.Text, func(r rune) bool { return strings.ContainsRune(" \t\n\v\f\r", r) })
	if n := len(words); n > 12 {
		words = append(append(words[:4:4], "…"), words[n-4:]...)
	}
	s := Position{Line: p.Pos.Line, Column: p.Pos.Column}.String() + " " + string("qcde-."[p.Kind]) + " " + strings.Join(words, " ")
	return strings.TrimRight(s, " ")
}

func runGoldens(t *testing.T, d Dialect, goldens []golden) {
	t.Parallel()
	for _, g := range goldens {
		t.Run(g.name, func(t *testing.T) { g.run(t, d) })
	}
}

func TestPostgreSQL(t *testing.T) { runGoldens(t, PostgreSQL, postgresGoldens) }
func TestSQLite(t *testing.T)     { runGoldens(t, SQLite, sqliteGoldens) }
func TestMySQL(t *testing.T)      { runGoldens(t, MySQL, mysqlGoldens) }
