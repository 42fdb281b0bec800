package render

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

const columnGap = 2

// table aligns cells in columns. A cell may have colours.
type table struct {
	head []string
	rows [][]string
	// right has the columns that are aligned to the right.
	right map[int]bool
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// table writes a table, without the columns that are empty in every row, and cuts
// its lines to the page's width.
func (pg *page) table(t table) {
	widths := make([]int, len(t.head))
	for i, h := range t.head {
		for _, row := range t.rows {
			widths[i] = max(widths[i], ansi.StringWidth(row[i]))
		}
		if widths[i] > 0 {
			widths[i] = max(widths[i], ansi.StringWidth(h))
		}
	}
	if !noWords(t.head) {
		head := make([]string, len(t.head))
		for i, h := range t.head {
			head[i] = pg.faint(h)
		}
		pg.row(t, head, widths)
	}
	for _, row := range t.rows {
		pg.row(t, row, widths)
	}
}

func noWords(cells []string) bool { return strings.Join(cells, "") == "" }

func (pg *page) row(t table, cells []string, widths []int) {
	var b strings.Builder
	gap := 0
	for i, cell := range cells {
		if widths[i] == 0 {
			continue
		}
		b.WriteString(strings.Repeat(" ", gap))
		pad := widths[i] - ansi.StringWidth(cell)
		if t.right[i] {
			b.WriteString(strings.Repeat(" ", pad) + cell)
			gap = columnGap
		} else {
			b.WriteString(cell)
			gap = pad + columnGap
		}
	}
	pg.line(pg.cut(b.String()))
}

// cut shortens a line to the page's width.
func (pg *page) cut(line string) string {
	if pg.width <= 0 {
		return line
	}
	return ansi.Truncate(line, pg.width, "…")
}
