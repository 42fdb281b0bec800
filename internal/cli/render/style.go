package render

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// palette colours words by their meaning.
type palette struct{ on bool }

// in returns a text in the style that style makes of a plain one.
func (p palette) in(style func(ansi.Style) ansi.Style, text string) string {
	if !p.on || text == "" {
		return text
	}
	return signed(style(ansi.Style{}).String()) + text + signed(ansi.ResetStyle)
}

func green(s ansi.Style) ansi.Style  { return s.ForegroundColor(ansi.Green) }
func yellow(s ansi.Style) ansi.Style { return s.ForegroundColor(ansi.Yellow) }
func red(s ansi.Style) ansi.Style    { return s.ForegroundColor(ansi.Red) }
func cyan(s ansi.Style) ansi.Style   { return s.ForegroundColor(ansi.Cyan) }

func (p palette) bold(s string) string  { return p.in(ansi.Style.Bold, s) }
func (p palette) faint(s string) string { return p.in(ansi.Style.Faint, s) }
func (p palette) good(s string) string  { return p.in(green, s) }
func (p palette) warn(s string) string  { return p.in(yellow, s) }
func (p palette) bad(s string) string   { return p.in(red, s) }
func (p palette) place(s string) string { return p.in(cyan, s) }

// diff colours the lines of a unified diff.
func (p palette) diff(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		body, end := strings.CutSuffix(line, "\n")
		switch {
		case strings.HasPrefix(body, "diff "):
			continue // the next lines have the names
		case strings.HasPrefix(body, "---"), strings.HasPrefix(body, "+++"):
			body = p.bold(body)
		case strings.HasPrefix(body, "@@"):
			body = p.place(body)
		case strings.HasPrefix(body, "-"):
			body = p.bad(body)
		case strings.HasPrefix(body, "+"):
			body = p.good(body)
		}
		b.WriteString(body)
		if end {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// cropped cuts the lines of an excerpt to a width, at the same place, so that the position remains
// in sight above its mark.
func cropped(text string, width int) string {
	gutter, at, widest := 0, 0, 0
	for line := range strings.Lines(text) {
		before, code, ok := strings.Cut(strings.TrimRight(line, "\n"), " | ")
		if !ok {
			return text
		}
		gutter = max(gutter, ansi.StringWidth(before+" | "))
		widest = max(widest, ansi.StringWidth(code))
		if mark := strings.IndexByte(code, '^'); mark >= 0 && strings.TrimSpace(before) == "" {
			at = ansi.StringWidth(code[:mark])
		}
	}
	room := width - gutter
	if width <= 0 || widest <= room || room < 20 {
		return text
	}
	from := max(0, at-room*2/3)
	var b strings.Builder
	for line := range strings.Lines(text) {
		before, code, _ := strings.Cut(strings.TrimRight(line, "\n"), " | ")
		n := ansi.StringWidth(code)
		part := ansi.Cut(code, from, min(n, from+room))
		isMark := strings.TrimSpace(before) == ""
		if from > 0 && n > from && !isMark {
			part = "…" + ansi.Cut(part, 1, room)
		}
		if n > from+room && !isMark {
			part = ansi.Cut(part, 0, room-1) + "…"
		}
		b.WriteString(before + " | " + part + "\n")
	}
	return b.String()
}

// excerpt colours the lines of a script with a mark under a position.
func (p palette) excerpt(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		gutter, code, ok := strings.Cut(line, " | ")
		switch {
		case !ok:
			b.WriteString(line)
		case strings.TrimSpace(gutter) == "": // the line with the mark
			b.WriteString(p.faint(gutter+" | ") + strings.Replace(code, "^", p.bad("^"), 1))
		default:
			b.WriteString(p.faint(gutter+" | ") + code)
		}
	}
	return b.String()
}
