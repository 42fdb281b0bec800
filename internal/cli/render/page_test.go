package render

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
)

// sized is a terminal of a size.
func sized(out *strings.Builder, width, height int) Stream {
	return Stream{Writer: out, Terminal: true, Width: func() int { return width }, Height: func() int { return height }}
}

// A text that does not fit the screen with a line for the prompt goes to the pager, at the end and
// in one piece. Short answers are never paged.
func TestPaging(t *testing.T) {
	t.Parallel()
	lines := func(n int) string { return strings.Repeat("x\n", n) }
	for _, c := range []struct {
		name   string
		doc    Document
		height int
		paged  bool
	}{
		{"fits", &Snapshot{Text: lines(9)}, 10, false},
		{"a line too many", &Snapshot{Text: lines(10)}, 10, true},
		{"long lines count as they are shown", &Snapshot{Text: strings.Repeat(strings.Repeat("y", 41)+"\n", 4)}, 10, true},
		{"of lines as wide as the screen", &Snapshot{Text: strings.Repeat(strings.Repeat("y", 20)+"\n", 9)}, 10, false},
		{"colours have no width", &Snapshot{Text: strings.Repeat("\x1b[32m"+strings.Repeat("y", 20)+"\x1b[m\n", 9)}, 10, false},
		{"nobody knows the height", &Snapshot{Text: lines(99)}, 0, false},
		{"an answer", &NewFiles{Files: strings.Split(lines(99), "\n")}, 10, false},
	} {
		var out strings.Builder
		var paged []string
		p := New(Options{Out: sized(&out, 20, c.height), Page: func(text string) bool {
			paged = append(paged, text)
			return true
		}})
		p.Show(c.doc)
		if len(paged) > 0 {
			t.Errorf("%s: the pager came before the end", c.name)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if got, want := (len(paged) == 1), c.paged; got != want {
			t.Errorf("%s: (len(paged) == 1) = %v, want %v", c.name, got, want)
		}
		if got, want := (out.Len() == 0), c.paged; got != want {
			t.Errorf("%s: (out.Len() == 0) = %v, want %v", c.name, got, want)
		}
	}
}

func TestFailedPagerWritesText(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	p := New(Options{Out: sized(&out, 20, 3), Page: func(string) bool { return false }})
	p.Show(&Snapshot{Text: "1\n2\n3\n4\n"})
	if err := p.Close(); err != nil {
		t.Errorf("p.Close(): %v", err)
	} else if out.String() != "1\n2\n3\n4\n" {
		t.Errorf("p.Close(): out.String() = %q, want %q", out.String(), "1\n2\n3\n4\n")
	}
}

// At 80 columns everything is readable, at 200 each entry has one line.
func TestHistoryWidths(t *testing.T) {
	t.Parallel()
	at := instant(time.Date(2026, 11, 23, 11, 52, 47, 0, time.UTC))
	reason := "release 2026.11 of the shop, deployed by pipeline 4711 on behalf of somebody who has a long name"
	h := &History{AllSets: true}
	for i := range 4 {
		e := Entry{ID: int64(1000 + i), Set: "default", Version: 20260101120000 + int64(i), Name: fmt.Sprintf("name_%d", i), Direction: "forget", At: at, Duration: Millis(time.Second), User: "app", Host: "ci-7", App: "whimbrel", Reason: reason}
		if i == 3 {
			e.Reason, e.User, e.Host, e.App = "", "", "", ""
		}
		h.Entries = append(h.Entries, e)
	}
	show := func(width int) string {
		var out strings.Builder
		p := New(Options{Out: sized(&out, width, 0)})
		p.Show(h)
		for line := range strings.Lines(out.String()) {
			if n := ansi.StringWidth(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("a line of %d columns at %d: %s", n, width, line)
			}
		}
		return out.String()
	}
	want := `  ID  AT (UTC)             SET      WHAT    VERSION         NAME    TOOK
by app@ci-7 (whimbrel): release 2026.11 of the shop, deployed by pipeline 4711
on behalf of somebody who has a long name
1000  2026-11-23 11:52:47  default  forget  20260101120000  name_0  1.0s
1001  2026-11-23 11:52:47  default  forget  20260101120001  name_1  1.0s
1002  2026-11-23 11:52:47  default  forget  20260101120002  name_2  1.0s
by an unknown user
1003  2026-11-23 11:52:47  default  forget  20260101120003  name_3  1.0s
`
	if got := show(80); got != want {
		t.Errorf("at 80 columns:\n%s\nwant\n%s", got, want)
	}
	if got := show(200); strings.Count(got, "\n") != 5 {
		t.Errorf("show(200): strings.Count(got, \"\\n\") = %v, want 5", strings.Count(got, "\n"))
	} else if strings.Count(got, reason) != 3 {
		t.Errorf("show(200): strings.Count(got, reason) = %v, want 3", strings.Count(got, reason))
	} else if !strings.Contains(got, "BY") {
		t.Errorf("show(200): got %q, want a text containing %q", got, "BY")
	}
	show(40)
}

// A tab in a name does not misalign the columns.
func TestStatusWithATab(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	New(Options{Out: sized(&out, 80, 0)}).Show(&Status{Set: "default", Version: 2, Applied: []int64{1, 2}, Migrations: []MigrationStatus{
		{Version: 1, Name: "a\tb", State: "applied"}, {Version: 2, Name: "abcd", State: "applied"},
	}})
	want := "VERSION  NAME  STATE\n1        a\\tb  applied\n2        abcd  applied\n"
	if got := ansi.Strip(out.String()); !strings.HasPrefix(got, want) {
		t.Errorf("the table is\n%s\nwant\n%s", got, want)
	}
}

// The remarks of status are wrapped between words.
func TestStatusWidths(t *testing.T) {
	t.Parallel()
	s := &Status{Set: "default", Version: 3, Applied: []int64{1, 3}, Pending: []int64{2}, OutOfOrder: []int64{2}, Migrations: []MigrationStatus{
		{Version: 2, Name: "a_name_that_is_far_too_long_to_be_shown_on_a_screen_of_eighty_columns_with_all_the_rest", State: "out_of_order"},
	}}
	for _, width := range []int{80, 200} {
		var out strings.Builder
		p := New(Options{Out: sized(&out, width, 0)})
		p.Show(s)
		for line := range strings.Lines(out.String()) {
			if n := ansi.StringWidth(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("a line of %d columns at %d: %s", n, width, line)
			}
		}
		words := strings.Join(strings.Fields(out.String()), " ")
		if !strings.Contains(words, `Run "whimbrel renumber" to give it the next version, or "whimbrel up --allow-out-of-order".`) {
			t.Errorf("at %d columns:\n%s", width, out.String())
		}
		if whole := strings.Contains(out.String(), s.Migrations[0].Name); whole != (width == 200) {
			t.Errorf("at %d columns:\n%s", width, out.String())
		}
	}
}

// Settings are readable at any width: the reason is never cut, and the meaning is omitted first.
func TestSettingsAtWidths(t *testing.T) {
	t.Parallel()
	at := instant(time.Date(2026, 11, 23, 13, 22, 6, 0, time.UTC))
	reason := "customers are in it, " + strings.Repeat("and more of them come every day, ", 3) + "until the end"
	d := &Settings{Settings: []Setting{
		{Name: "order", Value: "strict", IsDefault: true, Doc: strings.Repeat("what it means ", 6)},
		{Name: "protected", Value: "true", ChangedAt: at, ChangedBy: "app", Reason: reason, Doc: strings.Repeat("what it means ", 6)},
	}}
	for width, below := range map[int]bool{80: true, 200: false, 400: false} {
		var out strings.Builder
		p := New(Options{Out: sized(&out, width, 0)})
		p.Show(d)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		shown := ansi.Strip(out.String())
		for line := range strings.Lines(shown) {
			if n := ansi.StringWidth(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("a line of %d columns at %d: %s", n, width, line)
			}
		}
		if !strings.Contains(strings.Join(strings.Fields(shown), " "), reason) {
			t.Errorf("at %d columns the reason is cut:\n%s", width, shown)
		}
		if got, want := strings.Contains(shown, "\nprotected: customers"), below; got != want {
			t.Errorf("at %d columns: strings.Contains(shown, \"\\nprotected: customers\") = %v, want %v", width, got, want)
		}
		if got, want := strings.Contains(shown, "MEANING"), (width == 400); got != want {
			t.Errorf("at %d columns: strings.Contains(shown, \"MEANING\") = %v, want %v", width, got, want)
		}
	}
}
