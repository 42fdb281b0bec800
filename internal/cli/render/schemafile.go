package render

import (
	"strconv"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/schemafile"
)

// SchemaFile is the schema file that a command has written.
type SchemaFile struct {
	File string `json:"file"`
	// Changed is false if the file already had this content.
	Changed bool     `json:"changed"`
	Objects int      `json:"objects"`
	Omitted []string `json:"omitted"` // objects that the file can't contain
}

// NewSchemaFile returns the answer about a written file.
func NewSchemaFile(file string, changed bool, f *schemafile.File) *SchemaFile {
	return &SchemaFile{File: file, Changed: changed, Objects: f.Snapshot.Count(), Omitted: append([]string{}, f.Snapshot.Omitted...)}
}

func (d *SchemaFile) write(pg *page) {
	switch {
	case d == nil:
	case !d.Changed:
		pg.line("The schema file " + clean(d.File) + " is up to date.")
	default:
		pg.line("Wrote the schema file " + clean(d.File) + ".")
		pg.omitted(d.Omitted)
	}
}

// omitted lists objects that a snapshot can't contain.
func (pg *page) omitted(all []string) {
	if len(all) > 0 {
		pg.line(pg.warn("The database also has these, which a snapshot can't contain:"))
	}
	for _, what := range all {
		pg.line("  " + clean(what))
	}
}

// Loaded is the answer of load.
type Loaded struct {
	File string `json:"file"`
	Set  string `json:"set"`
	// Included are the versions that the file includes, Pending those that it lacks, Unknown those
	// that the folder lacks.
	Included []int64 `json:"included"`
	Pending  []int64 `json:"pending"`
	Unknown  []int64 `json:"unknown"`
	// Others are the other sets whose migrations were recorded.
	Others []string `json:"other_sets"`
	// Rows are the statements of included migrations whose effects the file can't contain.
	Rows []RowsOf `json:"rows"`
	// Done is false if the database already had everything that the file includes.
	Done     bool   `json:"done"`
	Duration Millis `json:"duration_ms"`

	dir string
}

// RowsOf are the statements of a migration with effects outside the schema.
type RowsOf struct {
	Version    int64     `json:"version"`
	Name       string    `json:"name"`
	Statements []Problem `json:"statements"`
}

// NewLoaded converts a result. dir is the folder of the migrations.
func NewLoaded(file, dir string, l *schemafile.Loaded) *Loaded {
	return &Loaded{
		File: file, Set: l.Set, Included: append([]int64{}, l.Included...), Pending: append([]int64{}, l.Pending...), Unknown: append([]int64{}, l.Unknown...),
		Others: append([]string{}, l.Others...), Done: l.Done(), Duration: Millis(l.Duration), dir: dir,
		Rows: each(l.Rows, func(r schemafile.Rows) RowsOf {
			of := RowsOf{Version: r.Version, Name: r.Name}
			for _, s := range r.Statements {
				of.Statements = append(of.Statements, Problem{Message: strings.TrimSuffix(s.Why+": "+s.SQL, ": "), File: s.Pos.File, Line: s.Pos.Line, Column: s.Pos.Column})
			}
			return of
		}),
	}
}

// maxRows is the maximum number of statements that load lists.
const maxRows = 10

func (d *Loaded) write(pg *page) {
	if !d.Done {
		pg.line("Nothing to do: the database already has the " + count(len(d.Included), "migration") + " of " + clean(d.File) + ".")
		return
	}
	end := ""
	if n := len(d.Pending); n > 0 {
		end = ", " + strconv.Itoa(n) + " pending"
	}
	pg.line(pg.good("Loaded " + clean(d.File) + " in " + took(time.Duration(d.Duration)) + ": " + count(len(d.Included), "migration") + " recorded as applied" + end + "."))
	if len(d.Others) > 0 {
		pg.line("It also includes the migrations of: " + clean(strings.Join(d.Others, ", ")) + ".")
	}
	if len(d.Unknown) > 0 {
		pg.line(pg.warn("The folder " + clean(d.dir) + " lacks " + count(len(d.Unknown), "version") + " of the file: " + pg.labels(d.Unknown) + "."))
	}
	d.writeRows(pg)
}

// writeRows lists what the file can't contain.
func (d *Loaded) writeRows(pg *page) {
	if len(d.Rows) == 0 {
		return
	}
	pg.line(pg.warn("The file contains no rows. The database lacks the effects of these statements:"))
	listed, all := 0, 0
	for _, r := range d.Rows {
		for _, s := range r.Statements {
			if all++; listed < maxRows {
				pg.line("  " + s.place() + ": " + clean(s.Message))
				listed++
			}
		}
	}
	if all > listed {
		pg.line("  and " + count(all-listed, "more statement") + " (--json lists all)")
	}
}
