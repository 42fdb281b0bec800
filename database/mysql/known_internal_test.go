package mysql

import (
	"testing"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Whether an object exists is looked up, unless the object is the only one of a DROP, or an index
// that the table can't have, because the run has just created it.
func TestWhatIsKnownWithoutAQuery(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"DROP TABLE a":           false,
		"DROP INDEX i ON a":      false,
		"DROP TABLE a, b":        false,
		"CREATE TABLE a (b int)": false,
		"CREATE TABLE a (b int); CREATE INDEX i ON a (b)":                                 true,
		"CREATE TABLE a (b int); CREATE INDEX i ON A (b)":                                 false, // names are case-sensitive here
		"CREATE TABLE a (b int); CREATE INDEX i ON x.a (b)":                               false,
		"CREATE TABLE a (b int); CREATE INDEX i ON a (b); CREATE UNIQUE INDEX j ON a (b)": true,
		"CREATE TABLE a (b int); CREATE INDEX i ON a (b); CREATE INDEX I ON a (b)":        false,
		"CREATE TABLE a (b int, KEY i (b)); CREATE INDEX i ON a (b)":                      false,
		"CREATE TABLE a (b int, KEY `I` (b)); CREATE INDEX i ON a (b)":                    false,
		"CREATE TABLE a (b int UNIQUE, UNIQUE (b)); CREATE INDEX b_2 ON a (b)":            false,
		"CREATE TABLE a LIKE c; CREATE INDEX i ON a (b)":                                  false,
		"CREATE TABLE a AS SELECT 1 AS b; CREATE INDEX i ON a (b)":                        false,
		"CREATE TABLE a (b int); ALTER TABLE a ADD KEY i (b); CREATE INDEX i ON a (b)":    false,
		"CREATE TABLE a (b int); CREATE TABLE c (b int); CREATE INDEX i ON a (b)":         false,
		"CREATE TABLE a (b int); SET x = 1; CREATE INDEX i ON a (b)":                      false,
		"CREATE TABLE a (b int); CREATE VIEW v AS SELECT 1 AS b":                          false,
		"CREATE TABLE IF NOT EXISTS a (b int); CREATE INDEX i ON a (b)":                   false,
	} {
		all, err := sqltext.Split(text, sqltext.MySQL, sqltext.Options{})
		if err != nil {
			t.Fatal(err)
		}
		r, got := &run{}, false
		for _, st := range all {
			var b *before
			if about, known := subjectOf(st, "d", false); known && !repeatable(st) {
				b = &before{Objects: about.objects}
			}
			r.made.announce(st, b)
			got = r.knows(b)
			r.made.follow(st, nil)
		}
		if got != want {
			t.Errorf("%s: the last is known: %v, want %v", text, got, want)
		}
	}
}
