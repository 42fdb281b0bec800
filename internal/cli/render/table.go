package render

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

const (
	columnGap = 2
	leastName = 10 // the minimum width of a column that shrinks
)

// table aligns cells in columns. Cells may have colours.
type table struct {
	head []string
	rows [][]string // a row with a single cell is a line of text
	// right marks the columns that are aligned to the right.
	right map[int]bool
	// give lists the columns that shrink if the page is too narrow, in order.
	give []int
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// widths returns the widths of the columns, 0 for a column that is empty in every row.
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

// tooWide returns by how much columns exceed the width of the page. It is negative if they fit.
func (pg *page) tooWide(widths []int) int {
	over := -columnGap - pg.width
	for _, w := range widths {
		if w > 0 {
			over += w + columnGap
		}
	}
	return over
}

// table writes a table without its empty columns, and cuts its lines to the width of the page.
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

// narrow shrinks columns to fit the page, as far as t.give allows.
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

// cut shortens a line to the width of the page.
func (pg *page) cut(line string) string {
	if pg.width <= 0 {
		return line
	}
	return ansi.Truncate(line, pg.width, "…")
}

// wrap breaks each line of a text into lines of the width of the page.
func (pg *page) wrap(text string) string {
	if pg.width <= 0 {
		return text
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = Wrap(line, pg.width)
	}
	return strings.Join(lines, "\n")
}

// Wrap breaks a text into lines of a width. It breaks only at spaces, because flags have hyphens.
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
