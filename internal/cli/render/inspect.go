package render

import (
	"cmp"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Snapshot answers snapshot.
type Snapshot struct {
	Dialect     string   `json:"dialect"`
	Server      string   `json:"server"`
	Fingerprint string   `json:"fingerprint"`
	Objects     int      `json:"objects"`
	Omitted     []string `json:"omitted"`        // what the database has and a snapshot can't hold
	File        string   `json:"file,omitempty"` // where it was written to
	Text        string   `json:"text,omitempty"` // the SQL, if it was not written to a file
}

// NewSnapshot tells of a snapshot that was written to a file, or that is to be shown.
func NewSnapshot(s *catalog.Snapshot, file string) *Snapshot {
	d := &Snapshot{Dialect: s.Dialect, Server: s.Server, Fingerprint: s.Fingerprint(), Objects: s.Count(), Omitted: s.Omitted, File: file}
	if d.Omitted == nil {
		d.Omitted = []string{}
	}
	if file == "" {
		d.Text = s.Text()
	}
	return d
}

// exact: the SQL is made to be executed again.
func (d *Snapshot) exact() bool { return d.File == "" }

func (d *Snapshot) write(pg *page) {
	if d.File == "" {
		pg.WriteString(d.Text)
		return
	}
	pg.line("Wrote " + count(d.Objects, "object") + " to " + clean(d.File) + ".")
	if len(d.Omitted) > 0 {
		pg.line(pg.warn("The database has more, which is not in it:"))
	}
	for _, what := range d.Omitted {
		pg.line("  " + clean(what))
	}
}

// Change is a difference between two schemas.
type Change struct {
	Kind     string `json:"kind"`
	Name     string `json:"name"`
	Change   string `json:"change"`
	Detail   string `json:"detail,omitempty"`
	Expected string `json:"expected"`
	Found    string `json:"found"`
	Order    bool   `json:"order,omitempty"`

	words string
}

// NewChanges makes the changes of a comparison, with the passwords masked that definitions can have.
func NewChanges(changes []catalog.Change) []Change {
	all := []Change{}
	for _, c := range changes {
		c.Expected, c.Found = sqltext.Mask(c.Expected, sqltext.PostgreSQL), sqltext.Mask(c.Found, sqltext.PostgreSQL)
		all = append(all, Change{
			Kind: string(c.Kind), Name: c.Name, Change: c.Change, Detail: c.Detail,
			Expected: c.Expected, Found: c.Found, Order: c.Order, words: c.String(),
		})
	}
	return all
}

func (pg *page) changes(indent string, changes []Change) {
	for _, c := range changes {
		text := c.words
		switch c.Change {
		case catalog.Added:
			text = "+ " + text
		case catalog.Removed:
			text = "- " + text
		default:
			text = "~ " + text
			if strings.Contains(c.Expected+c.Found, "\n") {
				pg.line(indent + pg.warn(clean("~ "+c.Kind+" "+c.Name+": "+c.Detail)))
				pg.lines(indent+"    ", c.Expected, c.Found)
				continue
			}
		}
		pg.line(indent + pg.warn(clean(text)))
	}
}

// lines shows which lines of a text are different.
func (pg *page) lines(indent, expected, found string) {
	text := func(s string) []byte { return []byte(strings.TrimSuffix(cmp.Or(s, "none"), "\n") + "\n") }
	changes := string(diff.Diff("expected", text(expected), "found", text(found)))
	if _, hunks, ok := strings.Cut(changes, "\n+++ found\n"); ok {
		changes = hunks
	}
	for line := range strings.Lines(changes) {
		if !strings.HasPrefix(line, "@@") {
			pg.line(indent + pg.diff(clean(strings.TrimSuffix(line, "\n"))))
		}
	}
}

// Drift answers drift and diff.
type Drift struct {
	Drift   bool     `json:"drift"`
	Objects []Change `json:"objects"`
	// Releases are those of the two servers, if a difference may only be in how they write a definition.
	Releases []string `json:"releases,omitempty"`

	// What the two sides are, in words.
	Expected string `json:"-"`
	Found    string `json:"-"`
}

func (d *Drift) write(pg *page) {
	if !d.Drift {
		pg.line(pg.good("No difference: " + d.Found + " is what " + d.Expected + " says."))
		return
	}
	pg.line(count(len(d.Objects), "difference") + " between " + d.Expected + " and " + d.Found + " (+ only in the second, - only in the first):")
	pg.changes("  ", d.Objects)
	if len(d.Releases) == 2 {
		pg.line("The servers have different releases (" + d.Releases[0] + " and " + d.Releases[1] + "), which can write one definition in two ways.")
		pg.line("Add --scratch with the URL of a server to compare what that one says of both.")
	}
}

// DriftAccepted answers drift --accept.
type DriftAccepted struct {
	Set    string `json:"set"`
	Reason string `json:"reason"`
}

func (d *DriftAccepted) write(pg *page) {
	pg.line(pg.good("Recorded that the database is meant to be as it is now. Nothing was changed."))
}
