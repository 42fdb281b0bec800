package render

import (
	"cmp"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Snapshot is the answer of snapshot.
type Snapshot struct {
	Dialect     string   `json:"dialect"`
	Server      string   `json:"server"`
	Fingerprint string   `json:"fingerprint"`
	Objects     int      `json:"objects"`
	Omitted     []string `json:"omitted"`        // objects that a snapshot can't contain
	File        string   `json:"file,omitempty"` // the file that was written
	Format      string   `json:"format"`         // sql, json, load, mermaid, svg or dot
	Text        string   `json:"text,omitempty"` // the schema in that format, if it was not written to a file

	picture bool // the format is a diagram
	tables  int
}

// NewSnapshot returns the answer for a snapshot whose text was written to a file, or is shown if
// file is "". tables is the number of tables in a diagram, -1 for another format.
func NewSnapshot(s *catalog.Snapshot, format, text string, tables int, file string) *Snapshot {
	d := &Snapshot{
		Dialect: s.Dialect, Server: s.Server, Fingerprint: s.Fingerprint(), Objects: s.Count(),
		Omitted: s.Omitted, Format: format, File: file,
	}
	if d.Omitted == nil {
		d.Omitted = []string{}
	}
	d.picture, d.tables = tables >= 0, tables
	if file == "" {
		d.Text = text
	}
	return d
}

// exact reports whether the answer is for another program, such as psql.
func (d *Snapshot) exact() bool { return d.File == "" }

func (d *Snapshot) write(pg *page) {
	if d.File == "" {
		pg.WriteString(d.Text)
		return
	}
	what := count(d.Objects, "object")
	if d.picture {
		what = count(d.tables, "table")
	}
	pg.line("Wrote " + what + " to " + clean(d.File) + ".")
	if d.picture { // it shows tables only
		return
	}
	pg.omitted(d.Omitted)
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

// NewChanges converts the differences of a comparison, and masks passwords in definitions.
func NewChanges(changes []catalog.Change) []Change {
	return each(changes, func(c catalog.Change) Change {
		c.Expected, c.Found = sqltext.Mask(c.Expected, sqltext.PostgreSQL), sqltext.Mask(c.Found, sqltext.PostgreSQL)
		return Change{
			Kind: string(c.Kind), Name: c.Name, Change: c.Change, Detail: c.Detail,
			Expected: c.Expected, Found: c.Found, Order: c.Order, words: c.String(),
		}
	})
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

// lines shows the differences between two texts, line by line.
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

// Drift is the answer of drift and diff.
type Drift struct {
	Drift   bool     `json:"drift"`
	Objects []Change `json:"objects"`
	// Releases are the two servers' releases, if they differ and may cause the differences.
	Releases []string `json:"releases,omitempty"`

	// Descriptions of the two sides.
	Expected string `json:"-"`
	Found    string `json:"-"`
}

func (d *Drift) write(pg *page) {
	if !d.Drift {
		pg.line(pg.good("No difference: " + d.Found + " matches " + d.Expected + "."))
		return
	}
	pg.line(count(len(d.Objects), "difference") + " between " + d.Expected + " and " + d.Found + " (- only in the first, + only in the second):")
	pg.changes("  ", d.Objects)
	if len(d.Releases) == 2 {
		pg.line("The servers have different releases (" + d.Releases[0] + " and " + d.Releases[1] + "), which may print the same definition differently.")
		pg.line("To compare both on one server, add --scratch with its URL.")
	}
}

// DriftAccepted is the answer of drift --accept.
type DriftAccepted struct {
	Set    string `json:"set"`
	Reason string `json:"reason"`
}

func (d *DriftAccepted) write(pg *page) {
	pg.line(pg.good("Recorded the present schema as the expected one. Nothing was run."))
}
