package report

import (
	"fmt"
	"time"

	"github.com/whimbrel-db/whimbrel/diagram"
	"github.com/whimbrel-db/whimbrel/internal/times"
)

// html returns the page.
func (v *view) html() markup {
	return join(
		`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="whimbrel `, line(v.Tool), `">
<title>`, line(v.Title), `</title>
<style>`, markup(pageStyle), `</style>
</head>
<body>
`, v.header(), `
<main>
`, v.state(), v.migrations(), v.plan(), v.differences(), v.Schema.html(), v.history(), `
</main>
<footer class="dim">Times are in UTC. This page contains no script and loads nothing.</footer>
</body>
</html>
`)
}

func (v *view) header() markup {
	return join(
		`<header>
<h1>`, line(v.Title), `</h1>`,
		onlyIf(v.Lead.Word != "", `
<p class="note lead `, line(v.Lead.Level), `"><strong>`, line(v.Lead.Word), `</strong> `, line(v.Lead.Detail), `</p>`), `
<p class="dim">Made `, moment(v.Made, "", times.Format(v.Made)), ` by whimbrel `, line(v.Tool), `</p>
<nav aria-label="Sections">
<a href="#state">State</a>`,
		onlyIf(len(v.Rows) > 0, `
<a href="#migrations">Migrations</a>`),
		onlyIf(len(v.Readable()) > 0, `
<a href="#plan">Plan</a>`),
		onlyIf(len(v.Differences) > 0, `
<a href="#differences">Differences</a>`),
		onlyIf(v.Schema != nil, `
<a href="#schema">Schema</a>`),
		onlyIf(len(v.Readable()) > 0, `
<a href="#history">History</a>`), `
</nav>
</header>`)
}

// section returns a section with an identifier and a heading.
func section(id, heading markup, content ...markup) markup {
	return join(`
<section id="`, id, `" aria-labelledby="h-`, id, `">
<h2 id="h-`, id, `">`, heading, `</h2>`, join(content...), `
</section>
`)
}

func (v *view) state() markup {
	cards := each(v.Targets, (*targetView).card)
	if cards == "" {
		cards = `
<p>The report has no databases.</p>`
	}
	return section("state", "State", `
<div class="cards">`, cards, `
</div>`)
}

// card returns the state of a target.
func (v *targetView) card() markup {
	var top markup
	if len(v.Badges) > 0 {
		top = join(` top-`, line(v.Badges[0].Level))
	}
	return join(`
<article class="card`, top, `">
<h3>`, line(v.Name), `</h3>`,
		lineIn(`
<p class="dim address">`, v.Address, `</p>`), `
<ul class="badges">`,
		each(v.Badges, func(b badge) markup {
			return join(`
<li class="`, line(b.Level), `"><strong>`, line(b.Word), `</strong> <span>`, line(b.Detail), `</span></li>`)
		}), `
</ul>`,
		v.facts(), v.drift(), `
</article>`)
}

// facts returns what is known about a target, as a list of terms.
func (v *targetView) facts() markup {
	if v.Status == nil {
		return ""
	}
	fact := func(term markup, text string) markup {
		return join(`
<div><dt>`, term, `</dt><dd>`, line(text), `</dd></div>`)
	}
	all := join(`
<dl>`,
		fact("Version", v.Version), fact("Applied", fmt.Sprint(v.Applied)), fact("Pending", fmt.Sprint(v.Pending)), fact("Database", v.Status.Database))
	if v.Server != "" {
		all += fact("Server", v.Server)
	}
	return join(all, fact("Set", v.Status.Set), fact("Drift", v.driftWords()), `
</dl>`)
}

// driftWords says whether the schema differs from the history.
func (v *targetView) driftWords() string {
	switch {
	case v.DriftProblem != nil:
		return "unknown"
	case !v.Checked:
		return "not checked"
	case len(v.Drift) == 0:
		return "none"
	}
	return count(len(v.Drift), "difference")
}

func (v *targetView) drift() markup {
	changes := v.DriftChanges()
	return onlyIf(len(changes) > 0, `
<details class="changes" open>
<summary>Differences from the history</summary>`, changeList(changes), `
</details>`)
}

func changeList(changes []changeView) markup {
	return join(`
<ul class="changes">`, each(changes, func(c changeView) markup {
		return join(`
<li class="`, line(c.Level), `"><span aria-hidden="true">`, line(c.Sign), `</span> `, line(c.Words), c.sides(), `</li>`)
	}), `
</ul>`)
}

// sides returns the two definitions of what has changed.
func (c changeView) sides() markup {
	side := func(class markup, text string) markup {
		return onlyIf(text != "", `<pre class="`, class, `" tabindex="0"><code>`, lines(text), `</code></pre>`)
	}
	return onlyIf(c.Expected != "" || c.Found != "", `
<div class="sides">`, side("bad", c.Expected), side("good", c.Found), `</div>`)
}

func (v *view) migrations() markup {
	if len(v.Rows) == 0 {
		return ""
	}
	return section("migrations", "Migrations", `
<div class="scroll" tabindex="0" role="region" aria-label="Migrations and their states">
<table>
<caption class="hidden">The state of each migration in each database</caption>
<thead>
<tr><th scope="col">Version</th><th scope="col">Name</th>`,
		each(v.Readable(), func(t *targetView) markup { return join(`<th scope="col">`, line(t.Name), `</th>`) }), `</tr>
</thead>
<tbody>`,
		each(v.Rows, func(r migrationRow) markup {
			return join(`
<tr`, onlyIf(r.Differs(), ` class="differs"`), `>
<th scope="row" class="number">`, line(r.Label), `</th>
<td class="name">`, line(r.Name), `</td>`, each(r.Cells, cell.html), `
</tr>`)
		}), `
</tbody>
</table>
</div>`)
}

func (c cell) html() markup {
	if c.State == "" {
		return `
<td><span class="dim">absent</span></td>`
	}
	return join(`
<td><span class="state `, line(c.Level), `">`, line(c.State), `</span>`,
		lineIn(` <span class="dim">`, c.Detail, `</span>`),
		onlyIf(!c.At.IsZero(), ` `, moment(c.At, dim, times.Format(c.At))),
		tookTime(c.Duration), `</td>`)
}

// tookTime says how long something took, if that is known.
func tookTime(d time.Duration) markup {
	return lineIn(` <span class="dim took">`, took(d), `</span>`)
}

func (v *view) plan() markup {
	return onlyIf(len(v.Readable()) > 0, section("plan", "Plan", each(v.Readable(), func(t *targetView) markup {
		return join(`
<h3>`, line(t.Name), `</h3>`, t.plan())
	})))
}

// plan says what the next up does.
func (v *targetView) plan() markup {
	switch {
	case v.Refused != nil:
		return join(`
<p class="note bad"><strong>The next up would be refused.</strong> `, line(v.Refused.Error()), `</p>`)
	case len(v.Steps) == 0:
		return `
<p>Nothing is pending.</p>`
	}
	return join(`
<ol class="steps">`, each(v.Steps, stepView.html), `
</ol>`)
}

func (s stepView) html() markup {
	about := line(s.Remark)
	if s.Remark == "" {
		about = join(number(s.Statements, "statement"), ` `, line(s.Mode))
	}
	return join(`
<li>
<p><strong>`, line(s.Label), ` `, line(s.Name), `</strong> `, tag(s.Direction), ` <span class="dim">`, about,
		onlyIf(s.Resumes > 0, `, resumes at statement `, line(fmt.Sprint(s.Resumes))), `</span></p>`,
		lineIn(`
<p class="dim">Outside a transaction: `, s.Why, `</p>`),
		onlyIf(s.SQL != "", `
<details`, onlyIf(s.Open, ` open`), `><summary>SQL<span class="hidden"> of `, line(s.Label), ` `, line(s.Name),
			`</span></summary><pre tabindex="0"><code>`, lines(s.SQL), `</code></pre></details>`), `
</li>`)
}

func (v *view) differences() markup {
	return onlyIf(len(v.Differences) > 0, section("differences", "Differences between environments", each(v.Differences, differenceView.html)))
}

func (d differenceView) html() markup {
	from, to := line(d.From.Name), line(d.To.Name)
	all := join(`
<h3>`, from, ` → `, to, `</h3>`, lineIn(`
<p class="note warn">`, d.Remark, `</p>`))
	switch {
	case len(d.Changes) > 0:
		return join(all, `
<p>`, number(len(d.Changes), "difference"), `: + only in `, to, `, − only in `, from, `, ~ in both, but different.</p>`, changeList(d.Changes))
	case d.Remark == "":
		return join(all, `
<p class="note good">The schemas are equal.</p>`)
	}
	return all
}

func (s *schemaView) html() markup {
	if s == nil {
		return ""
	}
	var of markup
	if s.Others {
		of = join(` of `, line(s.Target.Name))
	}
	return section("schema", join(`Schema`, of), `
<p class="dim">`, number(len(s.Diagram.Tables), "table"), `, `, number(len(s.Diagram.Relations), "foreign key"), `, `, number(s.Objects, "object"),
		` in all.<span class="screen"> Move over a table, a column or a line for its details.</span></p>`,
		onlyIf(len(s.Diagram.Tables) > 0, s.figure(), `
<details class="tables">
<summary>The tables as a list</summary>`, each(s.Diagram.Tables, tableList), `
</details>`))
}

// figure returns the diagram. Package diagram escapes every text in its picture.
func (s *schemaView) figure() markup {
	pixels := func(n float64) markup { return line(fmt.Sprintf("%.0f", n)) }
	return join(`
<figure>
<div class="scroll picture" tabindex="0" role="region" aria-label="Schema diagram">
<div class="fit" style="width: `, pixels(s.Width), `px; min-width: `, pixels(s.Smallest()), `px">`, markup(s.Picture), `</div></div>
<figcaption class="dim">A line leads from a foreign key (crow's foot) to the key that it refers to (bar).</figcaption>
</figure>`)
}

// tableList returns a table of the schema with its columns.
func tableList(t diagram.Table) markup {
	return join(`
<h3>`, line(t.Label), `</h3>`,
		lineIn(`
<p>`, t.Comment, `</p>`),
		onlyIf(t.Owner != "" || len(t.Tags) > 0, `
<p class="dim">`, lineIn(`Owner: `, t.Owner, ` `), each(t.Tags, func(s string) markup { return join(tag(s), ` `) }), `</p>`),
		onlyIf(len(t.Columns) > 0, `
<div class="scroll" tabindex="0" role="region" aria-label="Columns of `, line(t.Label), `">
<table>
<thead><tr><th scope="col">Column</th><th scope="col">Type</th><th scope="col">Keys</th><th scope="col">Not null</th><th scope="col">About</th></tr></thead>
<tbody>`, each(t.Columns, columnRow), `
</tbody>
</table>
</div>`))
}

func columnRow(c diagram.Column) markup {
	return join(`
<tr><th scope="row">`, line(c.Name), `</th><td>`, line(c.Type), `</td><td>`,
		each(c.Marks(), func(s string) markup { return join(tag(s), ` `) }), `</td><td>`, onlyIf(c.NotNull, `yes`), `</td><td>`,
		line(c.Comment), lineIn(` Owner: `, c.Owner, ``), each(c.Tags, func(s string) markup { return join(` `, tag(s)) }), `</td></tr>`)
}

func (v *view) history() markup {
	return onlyIf(len(v.Readable()) > 0, section("history", "History", each(v.Readable(), (*targetView).timeline)))
}

// timeline returns the history of a target.
func (v *targetView) timeline() markup {
	entries := "1 entry"
	if v.Entries != 1 {
		entries = fmt.Sprint(v.Entries, " entries")
	}
	days := each(v.Days, day.html)
	if days == "" {
		days = `
<p>The history is empty.</p>`
	}
	return join(`
<details class="history" open>
<summary><h3>`, line(v.Name), `</h3> <span class="dim">`, line(entries), `, newest first</span></summary>`, days, `
</details>`)
}

func (d day) html() markup {
	return join(`
<h4>`, moment(d.At, "", d.At.UTC().Format("2 January 2006")), `</h4>
<ol class="timeline">`, each(d.Entries, entryView.html), `
</ol>`)
}

func (e entryView) html() markup {
	return join(`
<li class="`, line(e.Level), `">`, moment(e.StartedAt, dim, e.StartedAt.UTC().Format("15:04:05")), ` <div><p><strong>`,
		lineIn(``, e.Label, ` `), line(e.Name), `</strong> `, tag(e.Words), tookTime(e.Duration), `</p>`,
		lineIn(`
<p>`, e.Error, `</p>`),
		lineIn(`
<p>`, e.Remark, `</p>`),
		lineIn(`
<p>`, e.Tries, `</p>`),
		lineIn(`
<p>`, e.Reason, `</p>`),
		lineIn(`
<p class="dim">`, e.Who, `</p>`), `</div></li>`)
}
