package render

import (
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel/inspect"
)

// Proof is the result of one migration on a scratch database.
type Proof struct {
	Version     int64    `json:"version"`
	Name        string   `json:"name"`
	Up          string   `json:"up"`
	Down        string   `json:"down"`
	Inverse     *bool    `json:"inverse"` // null if unknown
	Differences []Change `json:"differences"`

	ok bool
}

// Way is the result of another way to a version: from a baseline, or through the originals of a
// squash.
type Way struct {
	Version int64  `json:"version"`
	Name    string `json:"name"`
	Up      string `json:"up"`
	// At is the version at which Differences were found.
	At          int64    `json:"at"`
	Differences []Change `json:"differences"`

	ok bool
}

// Repeatability is the result of a repeatable script.
type Repeatability struct {
	Name        string   `json:"name"`
	Run         string   `json:"run"`
	Again       string   `json:"again"`
	Differences []Change `json:"differences"`

	ok bool
}

// Proved is the answer of verify --scratch.
type Proved struct {
	Set         string          `json:"set"`
	OK          bool            `json:"ok"`
	Migrations  []Proof         `json:"migrations"`
	Left        []Change        `json:"left"`  // after everything was rolled back
	Again       []Change        `json:"again"` // after everything was applied a second time
	Baselines   []Way           `json:"baselines"`
	Originals   []Way           `json:"originals"` // of squashes
	Repeatables []Repeatability `json:"repeatables"`
}

// NewProved converts the results.
func NewProved(v *inspect.Verified) *Proved {
	return &Proved{
		Set: v.Set, OK: v.OK(), Migrations: each(v.Migrations, newProof), Left: NewChanges(v.Left), Again: NewChanges(v.Again),
		Baselines: each(v.Baselines, newWay), Originals: each(v.Originals, newWay),
		Repeatables: each(v.Repeatables, func(r inspect.Repeatability) Repeatability {
			return Repeatability{Name: r.Name, Run: okOr(r.Run), Again: okOr(r.Again), Differences: NewChanges(r.Differences), ok: r.OK()}
		}),
	}
}

func newProof(p inspect.Proof) Proof {
	m := Proof{Version: p.Version, Name: p.Name, Up: okOr(p.Up), Down: okOr(p.Down), Differences: NewChanges(p.Differences), ok: p.OK()}
	if p.NoDown {
		m.Down = "none"
	} else if p.Tried && p.Up == nil && p.Down == nil {
		inverse := p.Inverse()
		m.Inverse = &inverse
	}
	return m
}

func newWay(w inspect.Way) Way {
	return Way{Version: w.Version, Name: w.Name, Up: okOr(w.Err), At: w.At, Differences: NewChanges(w.Differences), ok: w.OK()}
}

// okOr returns "ok" or the text of an error.
func okOr(err error) string {
	if err == nil {
		return "ok"
	}
	return err.Error()
}

func (d *Proved) write(pg *page) {
	for _, m := range d.Migrations {
		if !m.ok {
			m.write(pg)
		}
	}
	if len(d.Left) > 0 {
		pg.line("Rolling back everything leaves:")
		pg.changes("  ", d.Left)
	}
	if len(d.Again) > 0 {
		pg.line("A second run gives a different schema:")
		pg.changes("  ", d.Again)
	}
	for _, w := range d.Baselines {
		w.write(pg, "baseline "+pg.digits.Name(w.Version, w.Name), "from the baseline")
	}
	for _, w := range d.Originals {
		w.write(pg, "squash "+pg.digits.Name(w.Version, w.Name), "through the files it replaces")
	}
	for _, r := range d.Repeatables {
		if !r.ok {
			r.write(pg)
		}
	}
	pg.line(pg.wrap(d.verdict(pg)))
	if n := d.noDown(); d.OK && n > 0 {
		pg.line(pg.wrap(count(n, "migration") + " without a down script can't be rolled back."))
	}
}

func (m Proof) write(pg *page) {
	pg.line(pg.digits.Name(m.Version, m.Name))
	switch {
	case m.Up != "ok":
		pg.line("  up fails: " + cleanLines(m.Up))
	case m.Down != "ok":
		pg.line("  down fails: " + cleanLines(m.Down))
	default:
		pg.line("  down does not reverse up; after both, these differences remain:")
		pg.changes("    ", m.Differences)
	}
}

func (w Way) write(pg *page, what, how string) {
	if w.ok {
		return
	}
	pg.line(what)
	if w.Up != "ok" {
		pg.line("  up fails " + how + ": " + cleanLines(w.Up))
		return
	}
	pg.line("  " + how + ", the schema at version " + pg.digits.Label(w.At) + " differs from that of the migrations (+ only " + how + "):")
	pg.changes("    ", w.Differences)
}

func (r Repeatability) write(pg *page) {
	pg.line("repeatable " + clean(r.Name))
	switch {
	case r.Run != "ok":
		pg.line("  fails: " + cleanLines(r.Run))
	case r.Again != "ok":
		pg.line("  fails the second time: " + cleanLines(r.Again))
	default:
		pg.line("  changes the schema the second time:")
		pg.changes("    ", r.Differences)
	}
}

func (d *Proved) noDown() (n int) {
	for _, m := range d.Migrations {
		if m.Down == "none" {
			n++
		}
	}
	return n
}

// verdict counts what passed or failed.
func (d *Proved) verdict(pg *page) string {
	var all, bad []string
	add := func(what string, n, ok int) {
		if n > 0 || what == "migration" {
			all = append(all, count(n, what))
		}
		if ok < n {
			bad = append(bad, fmt.Sprintf("%s of %d", count(n-ok, what), n))
		}
	}
	add("migration", len(d.Migrations), passed(d.Migrations, func(m Proof) bool { return m.ok }))
	add("baseline", len(d.Baselines), passed(d.Baselines, func(w Way) bool { return w.ok }))
	add("squashed range", len(d.Originals), passed(d.Originals, func(w Way) bool { return w.ok }))
	add("repeatable script", len(d.Repeatables), passed(d.Repeatables, func(r Repeatability) bool { return r.ok }))
	switch {
	case d.OK:
		return pg.good("Verified " + listWords(all) + " on a scratch database: every up script runs, and every down script exactly reverses it.")
	case len(bad) == 0:
		return "Each migration passed by itself, but all together failed."
	}
	return listWords(bad) + " failed."
}

func passed[T any](list []T, ok func(T) bool) (n int) {
	for _, e := range list {
		if ok(e) {
			n++
		}
	}
	return n
}

// listWords joins words: "a, b and c".
func listWords(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " and " + words[last]
}
