package diagram

import (
	"fmt"
	"html"
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/plaintext"
)

// DOT returns the diagram as a graph for Graphviz: "dot -Tpdf". Each column is a port.
func (d *Diagram) DOT() string {
	var b strings.Builder
	b.WriteString(`digraph schema {
  graph [rankdir=LR, ranksep=1.2, nodesep=0.4, fontname="Helvetica"];
  node [shape=plaintext, margin=0, fontname="Helvetica", fontsize=11];
  edge [color="#64748b", arrowsize=0.8, dir=both];
`)
	for i := range d.Tables {
		d.Tables[i].dot(&b, i)
	}
	for i := range d.Relations {
		r := &d.Relations[i]
		parent, child := "teetee", "crowodot"
		if r.Optional {
			parent = "teeodot"
		}
		if r.Single {
			child = "teeodot"
		}
		fmt.Fprintf(&b, "  t%d%s:e -> t%d%s:w [arrowtail=%s, arrowhead=%s, tooltip=%s];\n",
			r.To+1, d.port(r.To, r.ToColumns), r.From+1, d.port(r.From, r.FromColumns), parent, child, dotText(d.words(r)))
	}
	b.WriteString("}\n")
	return b.String()
}

// port returns the port of the first of the columns, or "" if the table lacks it.
func (d *Diagram) port(table int, columns []string) string {
	if len(columns) > 0 {
		if i := d.Tables[table].index(columns[0]); i >= 0 {
			return fmt.Sprintf(":c%d", i+1)
		}
	}
	return ""
}

func (t *Table) dot(b *strings.Builder, i int) {
	fmt.Fprintf(b, "  t%d [tooltip=%s, label=<<table border=\"0\" cellborder=\"1\" cellspacing=\"0\" cellpadding=\"4\" color=\"#94a3b8\">\n", i+1, dotText(t.Label))
	fmt.Fprintf(b, "    <tr><td bgcolor=\"#e2e8f0\" colspan=\"3\"><b>%s</b></td></tr>\n", dotHTML(t.Label))
	for _, line := range t.facts() {
		fmt.Fprintf(b, "    <tr><td align=\"left\" colspan=\"3\"><font color=\"#475569\">%s</font></td></tr>\n", dotHTML(line))
	}
	for n := range t.Columns {
		c := &t.Columns[n]
		name := c.Name
		if notes := c.notes(); notes != nil {
			name += " (" + strings.Join(notes, "; ") + ")"
		}
		fmt.Fprintf(b, "    <tr><td port=\"c%d\" align=\"left\">%s</td><td align=\"left\">%s</td><td align=\"left\">%s</td></tr>\n",
			n+1, dotHTML(strings.Join(c.Marks(), " ")), dotHTML(name), dotHTML(c.Type))
	}
	b.WriteString("  </table>>];\n")
}

// dotHTML escapes a text in a label. Graphviz refuses empty elements in some places.
func dotHTML(text string) string {
	if text == "" {
		return " "
	}
	return html.EscapeString(plaintext.Line(text))
}

// dotText quotes a text. Graphviz also decodes HTML entities in quoted texts.
func dotText(text string) string {
	escaped := html.EscapeString(plaintext.Line(text))
	return `"` + strings.ReplaceAll(escaped, `\`, `\\`) + `"`
}
