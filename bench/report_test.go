package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// report collects results, and writes them as Markdown.
type report struct {
	entries []entry
	start   []start
}

type entry struct {
	kind    kind
	version string // of the server
	task    task
	results []*result
}

func (r *report) add(t target, tk task, results []*result) {
	r.entries = append(r.entries, entry{t.kind(), t.version(), tk, results})
}

// of returns the entries of a kind of database.
func (r *report) of(k kind) (mine []entry) {
	for _, e := range r.entries {
		if e.kind == k {
			mine = append(mine, e)
		}
	}
	return mine
}

// markdown writes, for each kind of database, one table of the times as multiples of the client's,
// one of the round trips and one of the memory, as docs/performance.md has them. Detailed tables
// for each task follow.
func (r *report) markdown() []byte {
	var b strings.Builder
	for _, k := range kinds {
		mine := r.of(k)
		if len(mine) == 0 {
			continue
		}
		fmt.Fprintf(&b, "## %s\n\n%s.\n\n", k, mine[0].version)
		writeTable(&b, ratios(mine))
		if slices.ContainsFunc(mine, entry.counted) {
			fmt.Fprintf(&b, "Round trips:\n\n")
			writeTable(&b, compared(mine, false, func(r *result) string { return count(r.turns) }))
		}
		fmt.Fprintf(&b, "Peak memory, in MB:\n\n")
		writeTable(&b, compared(mine, false, func(r *result) string { return fmt.Sprintf("%.1f", float64(r.memory)/(1<<20)) }))
		for _, e := range mine {
			fmt.Fprintf(&b, "### %s: %s\n\n", k, e.task.title)
			writeTable(&b, e.table())
		}
	}
	if len(r.start) > 0 {
		fmt.Fprintf(&b, "## Start of the program\n\n")
		rows := [][]string{{"", "wall ms", "from", "to"}}
		for _, s := range r.start {
			rows = append(rows, append([]string{s.name}, spread(s.walls)...))
		}
		writeTable(&b, rows)
	}
	return []byte(b.String())
}

// spread returns the median, the minimum and the maximum in milliseconds.
func spread(walls []time.Duration) []string {
	var cells []string
	for _, d := range []time.Duration{median(walls), slices.Min(walls), slices.Max(walls)} {
		cells = append(cells, fmt.Sprintf("%.1f", milliseconds(d)))
	}
	return cells
}

// ratios returns the table of times as multiples of the client's. The best tool is in bold.
func ratios(entries []entry) [][]string {
	of := map[*result]string{}
	for _, e := range entries {
		for _, r := range e.results {
			of[r] = fmt.Sprintf("%.2f", e.ratio(r))
			if r == e.best() {
				of[r] = "**" + of[r] + "**"
			}
		}
	}
	return compared(entries, true, func(r *result) string { return of[r] })
}

// compared returns a table with a row for each task and a column for each tool.
func compared(entries []entry, clients bool, cell func(*result) string) [][]string {
	columns := slices.DeleteFunc(toolsOf(entries), func(name string) bool { return !clients && strings.HasPrefix(name, "`") })
	rows := [][]string{append([]string{""}, columns...)}
	for _, e := range entries {
		row := []string{e.task.title}
		for _, name := range columns {
			if r := e.of(name); r != nil {
				row = append(row, cell(r))
			} else {
				row = append(row, "–")
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// toolsOf returns the names of the tools that have done at least one of the tasks.
func toolsOf(entries []entry) (names []string) {
	for _, t := range tools {
		if slices.ContainsFunc(entries, func(e entry) bool { return e.of(t.name) != nil }) {
			names = append(names, t.name)
		}
	}
	return names
}

func (e entry) of(name string) *result {
	for _, r := range e.results {
		if r.tool.name == name {
			return r
		}
	}
	return nil
}

// ratio returns the time as a multiple of the client's.
func (e entry) ratio(r *result) float64 { return float64(r.wall()) / float64(e.results[0].wall()) }

// best returns the fastest tool, ignoring the clients.
func (e entry) best() *result {
	var best *result
	for _, r := range e.results {
		if !r.tool.floor && (best == nil || r.wall() < best.wall()) {
			best = r
		}
	}
	return best
}

// counted reports whether round trips were counted.
func (e entry) counted() bool {
	return slices.ContainsFunc(e.results, func(r *result) bool { return r.turns > 0 })
}

func (e entry) table() [][]string {
	head := []string{"", "ratio", "wall ms", "from", "to", "CPU ms", "memory MB", "turns"}
	if !e.counted() {
		head = head[:len(head)-1]
	}
	rows := [][]string{head}
	for _, r := range e.results {
		row := append([]string{r.tool.name, fmt.Sprintf("%.2f", e.ratio(r))}, spread(r.walls)...)
		row = append(row, fmt.Sprintf("%.1f", milliseconds(r.cpu())), fmt.Sprintf("%.1f", float64(r.memory)/(1<<20)), count(r.turns))
		rows = append(rows, row[:len(head)])
	}
	return rows
}

// writeTable writes an aligned Markdown table: names left, numbers right.
func writeTable(b *strings.Builder, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	for n, row := range rows {
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-len([]rune(cell)))
			if i == 0 {
				b.WriteString("| " + cell + pad)
			} else {
				b.WriteString(" | " + pad + cell)
			}
		}
		b.WriteString(" |\n")
		if n > 0 {
			continue
		}
		for i, w := range widths {
			if i == 0 {
				b.WriteString("|" + strings.Repeat("-", w+2))
			} else {
				b.WriteString("|" + strings.Repeat("-", w+1) + ":")
			}
		}
		b.WriteString("|\n")
	}
	b.WriteString("\n")
}
