package render

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/metadata/metadb"
)

// Fact is the metadata of an object.
type Fact struct {
	Type        string          `json:"type"`
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Owner       string          `json:"owner,omitempty"`
	Tags        []string        `json:"tags,omitempty"`
	Links       []metadata.Link `json:"links,omitempty"`
	Keys        map[string]any  `json:"keys,omitempty"`
}

// Metadata is the answer of metadata export.
type Metadata struct {
	Entries []Fact `json:"entries"`
	File    string `json:"file,omitempty"` // the file that was written
	Text    string `json:"-"`              // as YAML
}

// exact reports whether the answer is YAML that can be applied.
func (d *Metadata) exact() bool { return d.File == "" }

// NewMetadata returns the answer for a document and its YAML text.
func NewMetadata(d *metadata.Document, text string) *Metadata {
	return &Metadata{Text: text, Entries: each(d.Entries(), func(e metadata.Entry) Fact {
		return Fact{
			Type: e.Name.Kind.Type(), Name: e.Name.String(),
			Description: e.Description, Owner: e.Owner, Tags: e.Tags, Links: e.Links, Keys: e.Keys,
		}
	})}
}

func (d *Metadata) write(pg *page) {
	if d.File == "" {
		pg.WriteString(d.Text)
		return
	}
	pg.line("Wrote " + plural(len(d.Entries), "1 entry", fmt.Sprintf("%d entries", len(d.Entries))) + " to " + d.File + ".")
}

func (*Metadata) pageable() {}

// MetadataChange is a change to the stored metadata.
type MetadataChange struct {
	Type   string `json:"type"`
	Name   string `json:"name"`
	Change string `json:"change"`
	Fact   string `json:"fact,omitempty"`
	From   string `json:"from,omitempty"`
	To     string `json:"to,omitempty"`

	words string
}

// MetadataComment is a comment that was set or, if Text is empty, removed.
type MetadataComment struct {
	Type string `json:"type"`
	Name string `json:"name"`
	Text string `json:"text"`
}

// MetadataChanged is the answer of the commands that change metadata.
type MetadataChanged struct {
	Action   string            `json:"action"`
	Entries  int               `json:"entries"`
	Changes  []MetadataChange  `json:"changes"`
	Comments []MetadataComment `json:"comments"`
	DryRun   bool              `json:"dry_run"`
	// Frozen reports, for a dry run, that the database is frozen, so that the change would be refused.
	Frozen   bool   `json:"frozen"`
	Duration Millis `json:"duration_ms"`

	frozen string // by whom, since when and why; "" if the database is not frozen
}

// SetFrozen has the answer of a dry run say that the settings freeze the database, if they do.
func (d *MetadataChanged) SetFrozen(s database.Settings) {
	d.frozen = FrozenBy(s)
	d.Frozen = d.frozen != ""
}

// NewMetadataChanged converts a result.
func NewMetadataChanged(r *metadb.Result) *MetadataChanged {
	return &MetadataChanged{
		Action: r.Action, Entries: r.Entries, DryRun: r.DryRun, Duration: Millis(r.Duration),
		Changes: each(r.Changes, func(c metadata.Difference) MetadataChange {
			return MetadataChange{Type: c.Name.Kind.Type(), Name: c.Name.String(), Change: c.Change, Fact: c.Fact, From: c.From, To: c.To, words: c.String()}
		}),
		Comments: each(r.Comments, func(c metadata.Comment) MetadataComment {
			return MetadataComment{c.Name.Kind.Type(), c.Name.String(), c.Text}
		}),
	}
}

func (d *MetadataChanged) write(pg *page) {
	if d.Frozen {
		pg.whileFrozen(d.frozen, "this change")
	}
	pg.metadataChanges(d.Changes, d.Comments)
	has := "The database has metadata of " + count(d.Entries, "object")
	switch comments := count(len(d.Comments), "comment"); {
	case len(d.Changes)+len(d.Comments) == 0:
		pg.line("Nothing to change. " + has + ".")
	case d.DryRun:
		pg.line(pg.warn("The database would have metadata of "+count(d.Entries, "object")+", and "+comments+" would change."), " Nothing was changed.")
	case len(d.Comments) == 0:
		pg.line(pg.good(has + "."))
	default:
		pg.line(pg.good(has + "; " + comments + " changed."))
	}
}

// shownChanges is the maximum number of changes that are listed.
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
	if len(changes) == 0 { // changes include those of comments
		for _, c := range comments {
			text := ": " + oneLine(c.Text)
			if c.Text == "" {
				text = " removed"
			}
			lines = append(lines, clean("~ comment of "+c.Type+" "+c.Name+text))
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

// MetadataDiff is the answer of metadata diff.
type MetadataDiff struct {
	Different bool              `json:"different"`
	Changes   []MetadataChange  `json:"changes"`
	Comments  []MetadataComment `json:"comments"`
}

// NewMetadataDiff converts the result of a dry run of apply.
func NewMetadataDiff(r *metadb.Result) *MetadataDiff {
	d := NewMetadataChanged(r)
	return &MetadataDiff{Different: len(d.Changes)+len(d.Comments) > 0, Changes: d.Changes, Comments: d.Comments}
}

func (d *MetadataDiff) write(pg *page) {
	if !d.Different {
		pg.line(pg.good("No difference: the stored metadata matches the file."))
		return
	}
	pg.line("Applying the file would make these changes:")
	pg.metadataChanges(d.Changes, d.Comments)
}

func (*MetadataDiff) pageable() {}

// Inconsistent is the answer of metadata inconsistent.
type Inconsistent []InconsistentEntry

// InconsistentEntry is an entry whose object is missing or was replaced.
type InconsistentEntry struct {
	Type        string `json:"type"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Reason      string `json:"reason"`
}

// NewInconsistent converts a list of entries.
func NewInconsistent(all []metadata.Inconsistent) Inconsistent {
	return each(all, func(i metadata.Inconsistent) InconsistentEntry {
		return InconsistentEntry{i.Name.Kind.Type(), i.Name.String(), i.Description, i.Reason}
	})
}

func (d Inconsistent) write(pg *page) {
	if len(d) == 0 {
		pg.line(pg.good("All entries describe existing objects."))
		return
	}
	t := table{head: []string{"TYPE", "NAME", "REASON", "DESCRIPTION"}, give: []int{3, 2, 1}}
	for _, i := range d {
		t.add(i.Type, clean(i.Name), clean(i.Reason), oneLine(i.Description))
	}
	pg.table(t)
	pg.line(pg.aim.at(`To delete these entries, run "whimbrel metadata drop-inconsistent". To move the entries of renamed objects, run "whimbrel metadata reload".`))
}

// MetadataCheck is the answer of metadata check.
type MetadataCheck struct {
	Checked int            `json:"checked"`
	Missing []MissingFacts `json:"missing"`
}

// MissingFacts lists the required metadata that an object lacks.
type MissingFacts struct {
	Type  string   `json:"type"`
	Name  string   `json:"name"`
	Facts []string `json:"facts"`
}

// NewMetadataCheck converts the result of a check.
func NewMetadataCheck(missing []metadata.Missing, checked int) *MetadataCheck {
	return &MetadataCheck{Checked: checked, Missing: each(missing, func(m metadata.Missing) MissingFacts {
		return MissingFacts{m.Name.Kind.Type(), m.Name.String(), m.Facts}
	})}
}

func (d *MetadataCheck) write(pg *page) {
	if len(d.Missing) == 0 {
		pg.line(pg.good("Checked " + count(d.Checked, "object") + ": no required metadata is missing."))
		return
	}
	t := table{head: []string{"TYPE", "NAME", "MISSING"}, give: []int{1, 2}}
	for _, m := range d.Missing {
		t.add(m.Type, clean(m.Name), strings.Join(m.Facts, ", "))
	}
	pg.table(t)
	pg.line(pg.bad(fmt.Sprintf("%d of %s %s required metadata.", len(d.Missing), count(d.Checked, "object"), plural(len(d.Missing), "lacks", "lack"))))
}

// Rows is the answer of sql.
type Rows struct {
	Columns []string `json:"columns"`
	Rows    [][]any  `json:"rows"`
	// Changed is the number of rows that the statement changed.
	Changed int64 `json:"changed,omitempty"`

	returns bool // the statement can return rows
}

// NewRows converts the rows of a query.
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

// cell returns a text on one line, and a space for an empty one, so that its column is not omitted.
func cell(s string) string {
	if s == "" {
		return " "
	}
	return clean(strings.NewReplacer("\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s))
}
