package render

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

const (
	columnGap = 2
	leastName = 10 // a column that gives way keeps this
)

// table aligns cells in columns. A cell may have colours.
type table struct {
	head []string
	rows [][]string // one of a single cell is a text above those that follow
	// right has the columns that are aligned to the right.
	right map[int]bool
	// give has the columns that are cut first where the page is too narrow.
	give []int
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// widths are those of the columns: 0 for one that is empty in every row.
func (t *table) widths() []int {
	widths := make([]int, len(t.head))
	for i, h := range t.head {
		for _, row := range t.rows {
			if len(row) == len(t.head) {
				widths[i] = max(widths[i], ansi.StringWidth(row[i]))
			}
		}
		if widths[i] > 0 {
			widths[i] = max(widths[i], ansi.StringWidth(h))
		}
	}
	return widths
}

// tooWide says by how much columns are wider than a page; below 0 if they fit.
func (pg *page) tooWide(widths []int) int {
	over := -columnGap - pg.width
	for _, w := range widths {
		if w > 0 {
			over += w + columnGap
		}
	}
	return over
}

// table writes a table, without the columns that are empty in every row, and cuts
// its lines to the page's width.
func (pg *page) table(t table) {
	widths := t.widths()
	pg.narrow(t, widths)
	head := make([]string, len(t.head))
	for i, h := range t.head {
		head[i] = pg.faint(h)
	}
	pg.row(t, head, widths)
	for _, row := range t.rows {
		if len(row) < len(t.head) {
			pg.line(pg.wrap(row[0]))
			continue
		}
		pg.row(t, row, widths)
	}
}

// narrow makes the columns fit the page, as far as those that give way allow.
func (pg *page) narrow(t table, widths []int) {
	if pg.width <= 0 {
		return
	}
	over := pg.tooWide(widths)
	for _, i := range t.give {
		if less := min(over, widths[i]-leastName); less > 0 {
			widths[i] -= less
			over -= less
		}
	}
}

func (pg *page) row(t table, cells []string, widths []int) {
	var b strings.Builder
	gap := 0
	for i, cell := range cells {
		if widths[i] == 0 {
			continue
		}
		b.WriteString(strings.Repeat(" ", gap))
		cell = ansi.Truncate(cell, widths[i], "…")
		pad := widths[i] - ansi.StringWidth(cell)
		if t.right[i] {
			b.WriteString(strings.Repeat(" ", pad) + cell)
			gap = columnGap
		} else {
			b.WriteString(cell)
			gap = pad + columnGap
		}
	}
	pg.line(pg.cut(strings.TrimRight(b.String(), " ")))
}

// cut shortens a line to the page's width.
func (pg *page) cut(line string) string {
	if pg.width <= 0 {
		return line
	}
	return ansi.Truncate(line, pg.width, "…")
}

// wrap breaks a text into lines of the page's width.
func (pg *page) wrap(text string) string {
	if pg.width <= 0 {
		return text
	}
	return Wrap(text, pg.width)
}

// Wrap breaks a text into lines of a width, between its words alone: options have hyphens.
func Wrap(text string, width int) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		n := ansi.StringWidth(word)
		switch {
		case column == 0:
		case column+1+n > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	return b.String()
}
