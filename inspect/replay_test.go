package inspect

import (
	"fmt"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// TestReplayedTexts: the history decides which texts create the schema, in which order. An entry is
// written as direction, version and text, preceded by its set unless that is "s".
func TestReplayedTexts(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, history, want string }{
		{"nothing", "", ""},
		{"in order of versions", "up 1 a; up 3 c; up 2 b", "a b c"},
		{"what was taken back is not run", "up 1 a; up 2 b; down 2 -b", "a"},
		{"what was applied again is run once", "up 1 a; down 1 -a; up 1 a2", "a2"},
		{"what was marked is run", "mark 1 a; up 2 b", "a b"},
		{"what was forgotten is not", "up 1 a; up 2 b; forget 2 b", "a"},
		{"an accepted edit counts", "up 1 a; accept 1 a2", "a2"},
		{"repeatables come last, as they were last", "up 1 a; repeat -1 r; repeat -1 r2; up 2 b", "a b r2"},
		{"seeds make no schema", "up 1 a; seed -1 s", "a"},
		{"sets one after the other", "up 1 a; other/up 1 x; up 2 b; other/up 2 y", "a b x y"},
		{"a baseline represents what is marked with it", "baseline 3 B; mark 1 a; mark 2 b; mark 3 c; up 4 d", "B d"},
		{"what is marked later is not of the baseline", "baseline 2 B; mark 1 a; up 3 c; mark 2 b", "B b c"},
		{"what a baseline covers can be taken back", "baseline 2 B; mark 1 a; mark 2 b; up 3 c; down 3 -c; down 2 -b; up 2 b2", "B -b b2"},
		{"accepted drift covers all before it", "up 1 a; other/up 1 x; drift -1 D; up 2 b", "D b"},
		{"what it covers can be taken back", "up 1 a; up 2 b; drift -1 D; down 2 -b; up 3 c", "D -b c"},
		{"the newest one counts", "up 1 a; drift -1 D; up 2 b; drift -1 D2; up 3 c", "D2 c"},
		{"a reset ends everything", "up 1 a; drift -1 D; reset -1 ; up 1 a2", "a2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := &replayer{sets: map[string]*setReplay{}}
			for i, e := range strings.Split(tt.history, "; ") {
				if e != "" {
					r.event(parseEvent(t, int64(i+1), e))
				}
			}
			texts, err := r.texts()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, x := range texts {
				got = append(got, x.sql)
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got %q, want %q", strings.Join(got, " "), tt.want)
			}
		})
	}
}

func parseEvent(t *testing.T, id int64, words string) database.Entry {
	t.Helper()
	set := "s"
	if before, after, ok := strings.Cut(words, "/"); ok {
		set, words = before, after
	}
	e := database.Entry{ID: id, Set: set, Name: "n"}
	var text string
	if _, err := fmt.Sscanf(words, "%s %d", &e.Direction, &e.Version); err != nil {
		t.Fatal(err)
	}
	if f := strings.Fields(words); len(f) == 3 {
		text = f[2]
	}
	e.UpText, e.Checksum = text, migration.Sum(text)
	if e.Direction == database.Down {
		e.UpText, e.DownText, e.DownChecksum = "", text, migration.Sum(text)
	}
	return e
}

func TestATextThatIsNotKeptIsAnError(t *testing.T) {
	t.Parallel()
	r := &replayer{sets: map[string]*setReplay{}}
	r.event(database.Entry{ID: 1, Set: "s", Version: 1, Name: "big", Direction: database.Up, Checksum: migration.Sum("x")})
	if _, err := r.texts(); err == nil {
		t.Error("got no error")
	} else if !strings.Contains(err.Error(), "does not keep the text of migration 1 big") {
		t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), "does not keep the text of migration 1 big")
	}
}
