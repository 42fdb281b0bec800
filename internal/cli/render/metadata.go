package render

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/metadata/metadb"
)

// Fact is what is known of an object.
type Fact struct {
	Type        string          `json:"type"`
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Owner       string          `json:"owner,omitempty"`
	Tags        []string        `json:"tags,omitempty"`
	Links       []metadata.Link `json:"links,omitempty"`
	Keys        map[string]any  `json:"keys,omitempty"`
}

// Metadata answers metadata export.
type Metadata struct {
	Entries []Fact `json:"entries"`
	File    string `json:"file,omitempty"` // where it was written to
	Text    string `json:"-"`              // as YAML
}

// exact: the YAML is made to be read again.
func (d *Metadata) exact() bool { return d.File == "" }

// NewMetadata makes the answer of a document, and of it as YAML.
func NewMetadata(d *metadata.Document, text string) *Metadata {
	m := &Metadata{Entries: []Fact{}, Text: text}
	for _, e := range d.Entries() {
		m.Entries = append(m.Entries, Fact{
			Type: e.Name.Kind.Type(), Name: e.Name.String(),
			Description: e.Description, Owner: e.Owner, Tags: e.Tags, Links: e.Links, Keys: e.Keys,
		})
	}
	return m
}

func (d *Metadata) write(pg *page) {
	if d.File == "" {
		pg.WriteString(d.Text)
		return
	}
	pg.line("Wrote " + entries(len(d.Entries)) + " to " + d.File + ".")
}

func (*Metadata) pageable() {}

func entries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

// MetadataChange is a difference between what the database keeps and what it is to keep.
type MetadataChange struct {
	Type   string `json:"type"`
	Name   string `json:"name"`
	Change string `json:"change"`
	Fact   string `json:"fact,omitempty"`
	From   string `json:"from,omitempty"`
	To     string `json:"to,omitempty"`

	words string
}

// MetadataComment is a comment that was set; removed, where it is empty.
type MetadataComment struct {
	Type string `json:"type"`
	Name string `json:"name"`
	Text string `json:"text"`
}

// MetadataChanged answers the commands that change the metadata.
type MetadataChanged struct {
	Action   string            `json:"action"`
	Entries  int               `json:"entries"`
	Changes  []MetadataChange  `json:"changes"`
	Comments []MetadataComment `json:"comments"`
	DryRun   bool              `json:"dry_run"`
	Duration Millis            `json:"duration_ms"`
}

// NewMetadataChanged makes the answer of the engine's.
func NewMetadataChanged(r *metadb.Result) *MetadataChanged {
	d := &MetadataChanged{
		Action: r.Action, Entries: r.Entries, DryRun: r.DryRun, Duration: Millis(r.Duration),
		Changes: []MetadataChange{}, Comments: []MetadataComment{},
	}
	for _, c := range r.Changes {
		d.Changes = append(d.Changes, MetadataChange{
			Type: c.Name.Kind.Type(), Name: c.Name.String(), Change: c.Change, Fact: c.Fact, From: c.From, To: c.To, words: c.String(),
		})
	}
	for _, c := range r.Comments {
		d.Comments = append(d.Comments, MetadataComment{c.Name.Kind.Type(), c.Name.String(), c.Text})
	}
	return d
}

func (d *MetadataChanged) write(pg *page) {
	pg.metadataChanges(d.Changes, d.Comments)
	keeps := "The database keeps " + entries(d.Entries)
	if d.DryRun {
		keeps = "The database would keep " + entries(d.Entries)
	}
	switch comments := count(len(d.Comments), "comment"); {
	case len(d.Changes)+len(d.Comments) == 0:
		pg.line("Nothing to change. " + keeps + ".")
	case d.DryRun:
		pg.line(pg.warn(keeps+", and "+comments+" would change."), " Nothing was changed.")
	case len(d.Comments) == 0:
		pg.line(pg.good(keeps + " now."))
	default:
		pg.line(pg.good(keeps + " now; " + comments + " changed."))
	}
}

// shownChanges is how many changes are shown one by one.
const shownChanges = 100

func (pg *page) metadataChanges(changes []MetadataChange, comments []MetadataComment) {
	var lines []string
	for _, c := range changes {
		mark := map[string]string{metadata.Added: "+ ", metadata.Removed: "- "}[c.Change]
		if mark == "" {
			mark = "~ "
		}
		lines = append(lines, mark+clean(c.words))
	}
	if len(changes) == 0 { // which say it else
		for _, c := range comments {
			words := "~ comment of " + c.Type + " " + c.Name
			if c.Text == "" {
				words += " removed"
			} else {
				words += ": " + oneLine(c.Text)
			}
			lines = append(lines, clean(words))
		}
	}
	for i, l := range lines {
		if i == shownChanges && len(lines) > shownChanges+1 {
			pg.line(pg.faint(fmt.Sprintf("  … and %d more", len(lines)-i)))
			break
		}
		pg.line("  ", pg.warn(l))
	}
}

// MetadataDiff answers metadata diff.
type MetadataDiff struct {
	Different bool              `json:"different"`
	Changes   []MetadataChange  `json:"changes"`
	Comments  []MetadataComment `json:"comments"`
}

// NewMetadataDiff makes the answer of what applying would do.
func NewMetadataDiff(r *metadb.Result) *MetadataDiff {
	d := NewMetadataChanged(r)
	return &MetadataDiff{Different: len(d.Changes)+len(d.Comments) > 0, Changes: d.Changes, Comments: d.Comments}
}

func (d *MetadataDiff) write(pg *page) {
	if !d.Different {
		pg.line(pg.good("No difference: the database keeps what the file says."))
		return
	}
	pg.line("Applying the file would change this:")
	pg.metadataChanges(d.Changes, d.Comments)
}

func (*MetadataDiff) pageable() {}

// Inconsistent answers metadata inconsistent.
type Inconsistent []InconsistentEntry

// InconsistentEntry is an entry that is not about what it was made for.
type InconsistentEntry struct {
	Type        string `json:"type"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Reason      string `json:"reason"`
}

// NewInconsistent makes the answer of the engine's.
func NewInconsistent(all []metadata.Inconsistent) Inconsistent {
	d := Inconsistent{}
	for _, i := range all {
		d = append(d, InconsistentEntry{i.Name.Kind.Type(), i.Name.String(), i.Description, i.Reason})
	}
	return d
}

func (d Inconsistent) write(pg *page) {
	if len(d) == 0 {
		pg.line(pg.good("Everything that is said is said of an object that is there."))
		return
	}
	t := table{head: []string{"TYPE", "NAME", "REASON", "DESCRIPTION"}, give: []int{3, 2, 1}}
	for _, i := range d {
		t.add(i.Type, clean(i.Name), clean(i.Reason), oneLine(i.Description))
	}
	pg.table(t)
	pg.line(`To drop them: whimbrel metadata drop-inconsistent. To take renamed ones along: whimbrel metadata reload.`)
}

// MetadataCheck answers metadata check.
type MetadataCheck struct {
	Checked int            `json:"checked"`
	Missing []MissingFacts `json:"missing"`
}

// MissingFacts are those that an object lacks.
type MissingFacts struct {
	Type  string   `json:"type"`
	Name  string   `json:"name"`
	Facts []string `json:"facts"`
}

// NewMetadataCheck makes the answer of the engine's.
func NewMetadataCheck(missing []metadata.Missing, checked int) *MetadataCheck {
	d := &MetadataCheck{Checked: checked, Missing: []MissingFacts{}}
	for _, m := range missing {
		d.Missing = append(d.Missing, MissingFacts{m.Name.Kind.Type(), m.Name.String(), m.Facts})
	}
	return d
}

func (d *MetadataCheck) write(pg *page) {
	if len(d.Missing) == 0 {
		pg.line(pg.good("Checked " + count(d.Checked, "object") + ": nothing is missing."))
		return
	}
	t := table{head: []string{"TYPE", "NAME", "MISSING"}, give: []int{1, 2}}
	for _, m := range d.Missing {
		t.add(m.Type, clean(m.Name), strings.Join(m.Facts, ", "))
	}
	pg.table(t)
	pg.line(pg.bad(fmt.Sprintf("%d of %s lack facts.", len(d.Missing), count(d.Checked, "object"))))
}

// Rows answers metadata query.
type Rows struct {
	Columns []string `json:"columns"`
	Rows    [][]any  `json:"rows"`
	// Changed is the number of rows that the statement changed.
	Changed int64 `json:"changed,omitempty"`

	returns bool // that the statement is one that returns rows
}

// NewRows makes the answer of the database's.
func NewRows(r *database.Rows) *Rows {
	return &Rows{
		Columns: append([]string{}, r.Columns...), Rows: append([][]any{}, r.Rows...), Changed: r.Changed,
		returns: len(r.Columns) > 0,
	}
}

func (d *Rows) write(pg *page) {
	if len(d.Rows) > 0 {
		d.writeTable(pg)
		return
	}
	switch {
	case d.returns:
		pg.line("No rows.")
	case d.Changed > 0:
		pg.line("Done: " + count(d.Changed, "row") + " changed. No rows were returned.")
	default:
		pg.line("Done. No rows were returned.")
	}
}

func (*Rows) pageable() {}

func (d *Rows) writeTable(pg *page) {
	t := table{head: make([]string, len(d.Columns)), right: map[int]bool{}}
	for i, c := range d.Columns {
		t.head[i] = cell(c)
		t.right[i] = true
	}
	for _, row := range d.Rows {
		cells := make([]string, len(row))
		for i, v := range row {
			switch v := v.(type) {
			case nil:
				cells[i] = pg.faint("NULL")
				continue
			case int64, float64, json.Number:
				cells[i] = fmt.Sprint(v)
				continue
			case string:
				cells[i] = cell(v)
			default:
				cells[i] = fmt.Sprint(v)
			}
			t.right[i] = false
		}
		t.add(cells...)
	}
	pg.table(t)
}

// cell shows a text on one line; an empty one as a space, so that its column is there.
func cell(s string) string {
	if s == "" {
		return " "
	}
	return clean(strings.NewReplacer("\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s))
}
