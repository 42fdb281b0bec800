package diagram

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/whimbrel-db/whimbrel/internal/plaintext"
)

// Mermaid returns the diagram as an erDiagram of Mermaid, which GitHub, GitLab and many editors
// draw. Mermaid allows few characters in types and names of columns: others become underscores, and
// the comment beside the column has the name.
func (d *Diagram) Mermaid() string {
	var b strings.Builder
	b.WriteString("erDiagram\n")
	for i := range d.Tables {
		d.Tables[i].mermaid(&b, i)
	}
	for i := range d.Relations {
		r := &d.Relations[i]
		fmt.Fprintf(&b, "    t%d %s t%d : \"%s\"\n", r.To+1, r.crowFeet(), r.From+1, mermaidText(strings.Join(r.FromColumns, ", ")))
	}
	return b.String()
}

// crowFeet returns the line between the referenced table and the one with the foreign key.
func (r *Relation) crowFeet() string {
	line := "||--o{"
	if r.Optional {
		line = "|o--o{"
	}
	if r.Single {
		return line[:4] + "o|"
	}
	return line
}

func (t *Table) mermaid(b *strings.Builder, i int) {
	label := t.Label
	if facts := t.facts(); len(facts) > 0 {
		label += " (" + strings.Join(facts, "; ") + ")"
	}
	fmt.Fprintf(b, "    t%d[\"%s\"] {\n", i+1, mermaidText(label))
	for n := range t.Columns {
		c := &t.Columns[n]
		parts := []string{mermaidWord(c.Type, "untyped"), mermaidWord(c.Name, "column")}
		if marks := c.Marks(); marks != nil {
			parts = append(parts, strings.Join(marks, ", "))
		}
		notes := c.notes()
		if parts[1] != c.Name {
			notes = append([]string{c.Name}, notes...)
		}
		if notes != nil {
			parts = append(parts, `"`+mermaidText(strings.Join(notes, "; "))+`"`)
		}
		fmt.Fprintf(b, "        %s\n", strings.Join(parts, " "))
	}
	b.WriteString("    }\n")
}

// facts returns a line for each fact about the table, besides its name and columns.
func (t *Table) facts() []string {
	lines := []string{}
	if t.Comment != "" {
		lines = append(lines, t.Comment)
	}
	if t.Owner != "" {
		lines = append(lines, "owner "+t.Owner)
	}
	if len(t.Tags) > 0 {
		lines = append(lines, "tags "+strings.Join(t.Tags, ", "))
	}
	for _, key := range t.Uniques {
		lines = append(lines, "unique ("+strings.Join(key, ", ")+")")
	}
	if t.Partitions > 0 {
		lines = append(lines, fmt.Sprintf("%d partitions", t.Partitions))
	}
	return lines
}

// notes returns the facts about a column besides its keys.
func (c *Column) notes() (notes []string) {
	if c.Comment != "" {
		notes = append(notes, c.Comment)
	}
	if c.Owner != "" {
		notes = append(notes, "owner "+c.Owner)
	}
	if len(c.Tags) > 0 {
		notes = append(notes, "tags "+strings.Join(c.Tags, ", "))
	}
	return notes
}

// mermaidText escapes a text between quotes, and in a comment. Mermaid decodes such numbers.
func mermaidText(text string) string {
	var b strings.Builder
	for _, r := range plaintext.Line(text) {
		if strings.ContainsRune("\"%\\<>#;&{}", r) || r == '`' {
			fmt.Fprintf(&b, "#%d;", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// mermaidWord returns a text as a word that begins with a letter.
func mermaidWord(text, empty string) string {
	var b strings.Builder
	for i, r := range text {
		letter := r < unicode.MaxASCII && (unicode.IsLetter(r) || r == '_') || r >= 0xc0 && r <= 0xffff && unicode.IsLetter(r)
		switch {
		case letter, i > 0 && (r >= '0' && r <= '9' || strings.ContainsRune("-[]()", r)):
			b.WriteRune(r)
		case i == 0 && r >= '0' && r <= '9':
			b.WriteString("_" + string(r))
		case r == ',':
			b.WriteByte('-')
		default:
			b.WriteByte('_')
		}
	}
	if b.Len() == 0 {
		return empty
	}
	return b.String()
}
