package render

import (
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

const (
	columnGap = 2
	// Columns that shrink keep readableCell before others are left out, and leastCell after that.
	readableCell = 16
	leastCell    = 8
)

// table aligns cells in columns. Cells may have colours. Nothing is cut: on a page that is too
// narrow, columns shrink and their cells continue on further lines, then columns are left out, and
// if even that is too wide, each row becomes a list.
type table struct {
	head []string
	rows [][]string // a row with a single cell is a line of text
	// right marks the columns that are aligned to the right.
	right map[int]bool
	// give lists the columns that shrink, the widest first, and drop those that are left out, in
	// order.
	give, drop []int

	cells []string // of the rows
	fits  bool     // no cell is wider than its column
}

// grow makes room for n rows.
func (t *table) grow(n int) {
	t.rows = slices.Grow(t.rows, n)
	t.cells = slices.Grow(t.cells, n*len(t.head))
}

// add adds a row. Of a tab, nobody knows the width.
func (t *table) add(cells ...string) {
	at := len(t.cells)
	for _, cell := range cells {
		t.cells = append(t.cells, strings.ReplaceAll(cell, "\t", `\t`))
	}
	t.rows = append(t.rows, t.cells[at:len(t.cells):len(t.cells)])
}

// widths returns the widths of the columns, 0 for a column that is empty in every row.
func (t *table) widths() []int {
	widths := make([]int, len(t.head))
	for i, h := range t.head {
		for _, row := range t.rows {
			if len(row) == len(t.head) {
				widths[i] = max(widths[i], textWidth(row[i]))
			}
		}
		if widths[i] > 0 {
			widths[i] = max(widths[i], textWidth(h))
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

// table writes a table without its empty columns.
func (pg *page) table(t table) {
	widths, ok := pg.fit(&t)
	if !ok {
		pg.list(t)
		return
	}
	head := make([]string, len(t.head))
	for i, h := range t.head {
		head[i] = pg.faint(h)
	}
	pg.row(t, head, widths)
	for _, row := range t.rows {
		if len(row) < len(t.head) {
			pg.line(row[0])
			continue
		}
		pg.row(t, row, widths)
	}
}

// fit returns the widths of the columns that fit the page, 0 for those that are left out, and false
// if the table is too wide.
func (pg *page) fit(t *table) (widths []int, ok bool) {
	for n := range len(t.drop) + 1 {
		widths = t.widths()
		for _, i := range t.drop[:n] {
			widths[i] = 0
		}
		least := readableCell
		if n == len(t.drop) {
			least = leastCell
		}
		if pg.shrink(t, widths, least) {
			return widths, true
		}
	}
	return nil, false
}

// shrink shrinks columns until they fit the page, as far as t.give and a least width allow. It
// reports whether they fit.
func (pg *page) shrink(t *table, widths []int, least int) bool {
	over := pg.tooWide(widths)
	if t.fits = pg.width <= 0 || over <= 0; t.fits {
		return true
	}
	longest := make([]int, len(widths))
	for _, i := range t.give {
		longest[i] = t.longest(i)
	}
	for over > 0 {
		widest := -1
		for _, i := range t.give {
			if widths[i] > max(least, longest[i]) && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return false
		}
		widths[widest]--
		over--
	}
	return true
}

// longest returns the width of the longest word in a column.
func (t *table) longest(column int) int {
	n := textWidth(t.head[column])
	for _, row := range t.rows {
		if len(row) == len(t.head) {
			for _, piece := range pieces(ansi.Strip(row[column])) {
				n = max(n, textWidth(strings.TrimRight(piece, " ")))
			}
		}
	}
	return n
}

// row writes a row, whose cells may need several lines.
func (pg *page) row(t table, cells []string, widths []int) {
	lines := 1
	var parts [][]string // nil while each cell fits its column
	for i, cell := range cells {
		if !t.fits && widths[i] > 0 && textWidth(cell) > widths[i] {
			if parts == nil {
				parts = make([][]string, len(cells))
			}
			parts[i] = inCell(cell, widths[i])
			lines = max(lines, len(parts[i]))
		}
	}
	line := cells
	for n := range lines {
		if parts != nil {
			line = make([]string, len(cells))
			for i, cell := range cells {
				switch {
				case parts[i] == nil && n == 0:
					line[i] = cell
				case n < len(parts[i]):
					line[i] = parts[i][n]
				}
			}
		}
		pg.rowOfLine(t, line, widths)
	}
}

// rowOfLine writes cells that fit their columns, without spaces at the end.
func (pg *page) rowOfLine(t table, cells []string, widths []int) {
	gap := 0 // the spaces before the next cell
	for i, cell := range cells {
		if widths[i] == 0 {
			continue
		}
		pad := widths[i] - textWidth(cell)
		if t.right[i] {
			gap, pad = gap+pad, 0
		}
		if cell != "" {
			pg.spaces(gap)
			pg.WriteString(cell)
			gap = 0
		}
		gap += pad + columnGap
	}
	pg.WriteByte('\n')
}

func (pg *page) spaces(n int) {
	for range n {
		pg.WriteByte(' ')
	}
}

// list writes each row of a table as lines with the name and the content of a cell.
func (pg *page) list(t table) {
	names := 0
	for _, h := range t.head {
		names = max(names, textWidth(h))
	}
	for n, row := range t.rows {
		if n > 0 {
			pg.line()
		}
		if len(row) < len(t.head) {
			pg.line(row[0])
			continue
		}
		for i, cell := range row {
			if strings.TrimSpace(ansi.Strip(cell)) == "" {
				continue
			}
			name := pg.faint(t.head[i]) + strings.Repeat(" ", names-textWidth(t.head[i])+columnGap)
			for _, part := range inCell(cell, max(pg.width-names-columnGap, leastCell)) {
				pg.raw(name + part)
				name = strings.Repeat(" ", names+columnGap)
			}
		}
	}
}

// inCell breaks the content of a cell into lines of a width: at spaces, and after the marks that
// join the words of names. It breaks a word only if it is wider than the cell.
func inCell(cell string, width int) (lines []string) {
	if textWidth(cell) <= width {
		return []string{cell}
	}
	line := ""
	for _, piece := range pieces(ansi.Strip(cell)) {
		if line != "" && textWidth(line+strings.TrimRight(piece, " ")) > width {
			lines, line = append(lines, strings.TrimRight(line, " ")), ""
		}
		for line == "" && textWidth(strings.TrimRight(piece, " ")) > width {
			lines = append(lines, ansi.Cut(piece, 0, width))
			piece = ansi.Cut(piece, width, textWidth(piece))
		}
		line += piece
	}
	return append(lines, strings.TrimRight(line, " "))
}

// pieces splits a text behind each character where a cell may be broken.
func pieces(text string) (all []string) {
	const after = " _-/.,"
	for text != "" {
		end := strings.IndexAny(text, after)
		if end < 0 {
			return append(all, text)
		}
		end++
		for end < len(text) && strings.IndexByte(after, text[end]) >= 0 {
			end++
		}
		all, text = append(all, text[:end]), text[end:]
	}
	return all
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

// hanging writes a line, and indents the lines that continue it.
func (pg *page) hanging(line string, indent int) {
	pg.WriteString(Hang(line, pg.width, indent) + "\n")
}

// Hang breaks a line at spaces into lines of a width, if it is wider than that, and indents all but
// the first. Words and the space between them are not changed otherwise.
func Hang(line string, width, indent int) string {
	if width <= 0 || textWidth(line) <= width {
		return line
	}
	var b strings.Builder
	column := 0
	for line != "" {
		text := strings.TrimLeft(line, " ")
		space := len(line) - len(text)
		word, _, _ := strings.Cut(text, " ")
		line = text[len(word):]
		n := textWidth(word)
		if column > indent && column+space+n > width && n > 0 {
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column, space = indent, 0
		}
		b.WriteString(strings.Repeat(" ", space) + word)
		column += space + n
	}
	return strings.TrimRight(b.String(), " ")
}

// Wrap breaks a text into lines of a width. It breaks only at spaces, because flags have hyphens.
func Wrap(text string, width int) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		n := textWidth(word)
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

// textWidth is [ansi.StringWidth], faster for what most cells are.
func textWidth(text string) int {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return ansi.StringWidth(text)
		}
	}
	return len(text)
}
