package diagram

import (
	_ "embed"
	"fmt"
	"html"
	"strconv"
	"strings"

	"golang.org/x/text/width"

	"github.com/whimbrel-db/whimbrel/internal/plaintext"
)

// The measures of a picture, in pixels. Fixed-width fonts have the same advance on all systems, so
// a text's width is known without the font.
const (
	advance    = 7.25 // of a character of 12 px
	headHeight = 28.0
	factHeight = 18.0
	rowHeight  = 20.0
	padding    = 10.0
	minWidth   = 150.0
	margin     = 24.0
	maxName    = 40 // characters of a name, of a type and of a comment that are shown
	maxType    = 28
	maxComment = 48
	// manyTables is the number of tables above which a picture shows only the columns of keys.
	manyTables = 100
)

//go:embed diagram.css
var style string

// Picture is a diagram as an SVG document, and its size in pixels.
type Picture struct {
	SVG           string
	Width, Height float64
}

// SVG returns the document of the Picture.
func (d *Diagram) SVG() string { return d.Picture().SVG }

// Picture returns the diagram as a picture in one file, without scripts and references to others.
// It adapts to dark mode and to paper. Each table and each relation has a title that a screen
// reader reads and a browser shows. With more than 100 tables, the picture shows only the columns
// of keys.
func (d *Diagram) Picture() Picture {
	p := d.arrange()
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" class="wd" role="img" viewBox="0 0 %s %s" width="%s" height="%s">`+"\n",
		px(p.w), px(p.h), px(p.w), px(p.h))
	fmt.Fprintf(&b, "<title>%s</title>\n<desc>%s</desc>\n<style>\n%s</style>\n", "Schema", escape(d.summary()), style)
	b.WriteString(`<rect class="wd-page" width="100%" height="100%"/>` + "\n")
	for _, l := range p.layouts {
		for i := range l.edges {
			p.edge(&b, l, &l.edges[i])
		}
	}
	for _, l := range p.layouts {
		for i := range l.boxes {
			if box := &l.boxes[i]; box.table >= 0 {
				p.cards[box.table].write(&b, l.x+box.x, l.y+box.y)
			}
		}
	}
	b.WriteString("</svg>\n")
	return Picture{SVG: b.String(), Width: p.w, Height: p.h}
}

// summary describes the picture in words.
func (d *Diagram) summary() string {
	lines := []string{fmt.Sprintf("%s and %s.", counted(len(d.Tables), "table"), counted(len(d.Relations), "foreign key"))}
	for i := range d.Relations {
		lines = append(lines, d.words(&d.Relations[i])+".")
	}
	return strings.Join(lines, " ")
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// picture is a diagram whose parts have places.
type picture struct {
	*Diagram
	cards   []card
	layouts []*layout
	w, h    float64
}

// arrange gives each table and each relation its place.
func (d *Diagram) arrange() *picture {
	p := &picture{Diagram: d}
	for i := range d.Tables {
		p.cards = append(p.cards, newCard(&d.Tables[i], len(d.Tables) > manyTables))
	}
	at := make([]int, len(d.Tables)) // the index of each table's box in its group
	group := make([]int, len(d.Tables))
	edges := make([][]edge, 0)
	groups := d.groups()
	for g, tables := range groups {
		edges = append(edges, nil)
		for n, i := range tables {
			at[i], group[i] = n, g
		}
	}
	for n, r := range d.Relations {
		if r.From != r.To {
			g := group[r.From]
			edges[g] = append(edges[g], edge{
				relation: n, left: at[r.To], right: at[r.From],
				leftRow: p.cards[r.To].row(r.ToColumns), rightRow: p.cards[r.From].row(r.FromColumns),
			})
		}
	}
	for g, tables := range groups {
		var boxes []box
		for _, i := range tables {
			boxes = append(boxes, box{table: i, w: p.cards[i].w, h: p.cards[i].h})
		}
		p.layouts = append(p.layouts, arrange(boxes, edges[g]))
	}
	p.w, p.h = pack(p.layouts)
	for _, l := range p.layouts {
		l.x, l.y = l.x+margin, l.y+margin
	}
	p.w, p.h = p.w+2*margin, p.h+2*margin
	p.loops()
	return p
}

// loops adds the edges from a table to itself, which don't influence the layout.
func (p *picture) loops() {
	for _, l := range p.layouts {
		for i, b := range l.boxes {
			if b.table < 0 {
				continue
			}
			for n, r := range p.Relations {
				if r.From == b.table && r.To == b.table {
					c := &p.cards[b.table]
					l.edges = append(l.edges, edge{relation: n, left: i, right: i, leftRow: c.row(r.ToColumns), rightRow: c.row(r.FromColumns)})
				}
			}
		}
	}
}

// edge draws a foreign key as a line with the signs of crow's feet.
func (p *picture) edge(b *strings.Builder, l *layout, e *edge) {
	r := &p.Relations[e.relation]
	from, to := &l.boxes[e.left], &l.boxes[e.right]
	x, y := l.x+from.x+from.w, l.y+from.y+e.leftRow
	endX, endY := l.x+to.x, l.y+to.y+e.rightRow
	fmt.Fprintf(b, `<g class="wd-edge"><title>%s</title><path d="M%s %s`, escape(p.words(r)), px(x), px(y))
	switch {
	case e.left == e.right:
		endX = x
		fmt.Fprintf(b, "h14C%s %s %s %s %s %sh-14", px(x+46), px(y), px(x+46), px(endY), px(endX+14), px(endY))
	default:
		at := l.x + l.ends[from.layer]
		for _, slot := range e.slots {
			s := &l.boxes[slot]
			middle := l.y + s.y + slotHeight/2
			curve(b, at, y, l.x+s.x, middle)
			at, y = l.x+l.ends[s.layer], middle
		}
		curve(b, at, y, endX, endY)
	}
	b.WriteString(`"/>`)
	left, right, side := r.parentSign(), r.childSign(), -1.0
	if e.reversed {
		left, right = right, left
	}
	if e.left == e.right {
		side = 1
	}
	fmt.Fprintf(b, `<path d="%s%s"/></g>`+"\n", left(x, l.y+from.y+e.leftRow, 1), right(endX, endY, side))
}

// curve draws a line from where the path is to x, and from there a curve to the other point.
func curve(b *strings.Builder, x, y, toX, toY float64) {
	middle := (x + toX) / 2
	fmt.Fprintf(b, "H%sC%s %s %s %s %s %s", px(x), px(middle), px(y), px(middle), px(toY), px(toX), px(toY))
}

// sign draws the sign at the end of an edge, at a point of a table's side. side is 1 if the edge
// leads to the right from there, -1 if it leads to the left.
type sign func(x, y, side float64) string

func bar(x, y, side, at float64) string {
	return fmt.Sprintf("M%s %sv10", px(x+side*at), px(y-5))
}

func ring(x, y, side, at float64) string {
	return fmt.Sprintf("M%s %sa3 3 0 1 0 6 0a3 3 0 1 0 -6 0", px(x+side*at-3), px(y))
}

// parentSign is one bar for at most one row, and a second for at least one.
func (r *Relation) parentSign() sign {
	return func(x, y, side float64) string {
		if r.Optional {
			return bar(x, y, side, 6) + ring(x, y, side, 12)
		}
		return bar(x, y, side, 6) + bar(x, y, side, 10)
	}
}

// childSign is a crow's foot for any number of rows, or a bar for at most one; a ring for none.
func (r *Relation) childSign() sign {
	return func(x, y, side float64) string {
		if r.Single {
			return bar(x, y, side, 6) + ring(x, y, side, 12)
		}
		return fmt.Sprintf("M%s %sL%s %sL%s %s", px(x), px(y-5), px(x+side*10), px(y), px(x), px(y+5)) + ring(x, y, side, 13)
	}
}

// card is a table as drawn.
type card struct {
	*Table
	w, h   float64
	head   string
	facts  []fact
	rows   []row
	rowsAt float64        // where the rows begin, below the top
	places map[string]int // of the columns that are shown
}

// fact is a line below the head.
type fact struct{ class, text string }

// row is the line of a column.
type row struct {
	marks, name, tags, kind string
	title, class            string
}

func newCard(t *Table, keysOnly bool) card {
	c := card{Table: t, head: short(t.Label, maxName), places: map[string]int{}}
	c.addFacts()
	left := 0
	for i := range t.Columns {
		col := &t.Columns[i]
		marks := strings.Join(col.Marks(), " ")
		if keysOnly && marks == "" {
			left++
			continue
		}
		c.places[col.Name] = len(c.rows)
		r := row{marks: marks, name: short(col.Name, maxName), kind: short(col.Type, maxType), title: col.title()}
		if !col.NotNull {
			r.class = " wd-null"
		}
		if len(col.Tags) > 0 {
			r.tags = short("#"+strings.Join(col.Tags, " #"), maxType)
		}
		c.rows = append(c.rows, r)
	}
	if left > 0 {
		c.rows = append(c.rows, row{name: "… " + counted(left, "more column"), class: " wd-more"})
	}
	c.measure()
	return c
}

func (c *card) addFacts() {
	add := func(class, text string) { c.facts = append(c.facts, fact{class, text}) }
	if c.Comment != "" {
		add("wd-comment", short(c.Comment, maxComment))
	}
	if c.Owner != "" {
		add("wd-owner", "owner "+short(c.Owner, maxName))
	}
	if len(c.Tags) > 0 {
		add("wd-tags", short("#"+strings.Join(c.Tags, " #"), maxComment))
	}
	for _, key := range c.Uniques {
		add("wd-unique", short("unique ("+strings.Join(key, ", ")+")", maxComment))
	}
	if c.Partitions > 0 {
		add("wd-unique", counted(c.Partitions, "partition"))
	}
}

// measure sets the size.
func (c *card) measure() {
	w := 8.5 * float64(columns(c.head)) // bold
	for _, f := range c.facts {
		w = max(w, advance*float64(columns(f.text)))
	}
	for _, r := range c.rows {
		w = max(w, advance*float64(6+columns(r.name)+1+columns(r.tags)+2+columns(r.kind)))
	}
	c.w = max(minWidth, w+2*padding)
	c.rowsAt = headHeight + factHeight*float64(len(c.facts))
	c.h = c.rowsAt + rowHeight*float64(len(c.rows)) + 4
}

// row returns the height of the middle of a key's first column, or of the head if it isn't shown.
func (c *card) row(key []string) float64 {
	if len(key) > 0 {
		if i := c.index(key[0]); i >= 0 {
			if place, ok := c.places[c.Columns[i].Name]; ok {
				return c.rowsAt + rowHeight*(float64(place)+0.5)
			}
		}
	}
	return headHeight / 2
}

// title describes the column in full.
func (c *Column) title() string {
	parts := []string{c.Name}
	if c.Type != "" {
		parts[0] += " " + c.Type
	}
	if c.NotNull {
		parts[0] += " not null"
	}
	if marks := c.Marks(); marks != nil {
		parts = append(parts, strings.Join(marks, ", "))
	}
	return strings.Join(append(parts, c.notes()...), "; ")
}

func (c *card) write(b *strings.Builder, x, y float64) {
	title := c.Label
	if facts := c.Table.facts(); len(facts) > 0 {
		title += ": " + strings.Join(facts, "; ")
	}
	fmt.Fprintf(b, `<g class="wd-table" transform="translate(%s %s)"><title>%s</title>`+"\n", px(x), px(y), escape(title))
	fmt.Fprintf(b, `<rect class="wd-box" width="%s" height="%s" rx="6"/>`, px(c.w), px(c.h))
	fmt.Fprintf(b, `<path class="wd-head" d="M0 %[1]sV6a6 6 0 0 1 6 -6H%[2]sa6 6 0 0 1 6 6V%[1]sz"/>`, px(headHeight), px(c.w-6))
	text(b, "wd-name", padding, 19, c.head)
	for i, f := range c.facts {
		text(b, f.class, padding, headHeight+factHeight*float64(i)+14, f.text)
	}
	if len(c.facts) > 0 {
		fmt.Fprintf(b, `<path class="wd-rule" d="M0 %sh%s"/>`, px(c.rowsAt), px(c.w))
	}
	for i, r := range c.rows {
		c.line(b, r, c.rowsAt+rowHeight*float64(i)+15)
	}
	b.WriteString("</g>\n")
}

// line draws a row with its baseline at y.
func (c *card) line(b *strings.Builder, r row, y float64) {
	fmt.Fprintf(b, `<g class="wd-row%s">`, r.class)
	if r.title != "" {
		fmt.Fprintf(b, "<title>%s</title>", escape(r.title))
	}
	if r.marks != "" {
		text(b, "wd-key", padding, y, r.marks)
	}
	x := padding + 6*advance
	text(b, "wd-column", x, y, r.name)
	if r.tags != "" {
		text(b, "wd-tags", x+advance*float64(columns(r.name)+1), y, r.tags)
	}
	if r.kind != "" {
		fmt.Fprintf(b, `<text class="wd-type" x="%s" y="%s" text-anchor="end">%s</text>`, px(c.w-padding), px(y), escape(r.kind))
	}
	b.WriteString("</g>\n")
}

func text(b *strings.Builder, class string, x, y float64, content string) {
	fmt.Fprintf(b, `<text class="%s" x="%s" y="%s">%s</text>`, class, px(x), px(y), escape(content))
}

// escape makes a text fit for one line of an SVG file.
func escape(text string) string { return html.EscapeString(plaintext.Line(text)) }

// short returns a text of at most n characters, and an ellipsis for the rest.
func short(text string, n int) string {
	runes := []rune(plaintext.Line(text))
	if len(runes) <= n {
		return string(runes)
	}
	return string(runes[:n-1]) + "…"
}

// columns returns the width of a text in characters; those of East Asia are two wide.
func columns(text string) (n int) {
	for _, r := range text {
		n++
		if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
			n++
		}
	}
	return n
}

// px writes a number with at most one digit after the point.
func px(v float64) string {
	return strconv.FormatFloat(float64(int64(v*10+0.5))/10, 'f', -1, 64)
}
