package report

import (
	"html"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/internal/plaintext"
)

// markup is HTML. A constant becomes markup by itself; a text that is data only by the functions of
// this file, which escape it for the content of an element or for an attribute in double quotes.
//
// Package html/template is not used: a program that links it keeps every exported method of every
// type, which makes the command 2.5 MB larger.
type markup string

// join returns the parts as one.
func join(parts ...markup) markup {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(string(p))
	}
	return markup(b.String())
}

// each returns the markup of all values.
func each[T any](values []T, of func(T) markup) markup {
	var b strings.Builder
	for _, v := range values {
		b.WriteString(string(of(v)))
	}
	return markup(b.String())
}

// onlyIf returns the parts if a condition is true.
func onlyIf(condition bool, parts ...markup) markup {
	if !condition {
		return ""
	}
	return join(parts...)
}

// line returns a text on one line, without characters that would change how others are shown.
func line(text string) markup { return markup(html.EscapeString(plaintext.Line(text))) }

// lines returns a text of several lines, like line.
func lines(text string) markup { return markup(html.EscapeString(plaintext.Lines(text))) }

// lineIn returns a text between two parts; nothing if it is empty.
func lineIn(before markup, text string, after markup) markup {
	return onlyIf(text != "", before, line(text), after)
}

// number returns a count with its noun.
func number(n int, what string) markup { return line(count(n, what)) }

// moment returns an element with a time, which is shown as text.
func moment(at time.Time, class markup, text string) markup {
	return join(`<time`, class, ` datetime="`, line(at.UTC().Format(time.RFC3339)), `">`, line(text), `</time>`)
}

const dim = ` class="dim"`

// tag returns a word in a frame.
func tag(text string) markup { return join(`<span class="tag">`, line(text), `</span>`) }
