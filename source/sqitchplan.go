package source

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
)

// plan is the content of a sqitch.plan.
type plan struct {
	project string
	changes []change
}

// change is a line of a plan that names a change.
type change struct {
	place
	name     string
	when     time.Time
	requires []dependency
	tags     []string // those that follow it, in order
	// again is the index of the next change with the same name, which reworks this one; 0 for none.
	again int
}

// dependency is what a change requires, or conflicts with.
type dependency struct {
	place
	text      string
	conflicts bool
	project   string
	change    string
	tag       string
	id        bool // it names a change by its ID
}

// reworkTags returns the tags that the names of a reworked change's files may have, in the order in
// which Sqitch looks for them.
func (p *plan) reworkTags(i int) (tags []string) {
	for j := p.changes[i].again - 1; j >= i; j-- {
		tags = append(tags, p.changes[j].tags...)
	}
	return tags
}

// maxPlanned is how many changes a plan may have.
const maxPlanned = 10_000

// planReader reads a plan line by line.
type planReader struct {
	problems
	file     string // as messages show it
	plan     plan
	line     int
	lines    map[string]int // of tags, by "@tag", and of the oldest change of each name
	since    map[string]int // of the changes since the last tag
	newest   map[string]int // the index of the newest change of each name
	header   bool
	noHeader bool // the header is not valid, which is reported once
}

// readPlan reads a plan. What is wrong with it becomes a problem of the file.
func readPlan(file, text string) (plan, problems) {
	r := &planReader{file: file, lines: map[string]int{}, since: map[string]int{}, newest: map[string]int{}, header: true}
	text = strings.TrimPrefix(text, byteOrderMark)
	for line := range strings.SplitSeq(text, "\n") {
		r.line++
		r.read(strings.TrimSuffix(line, "\r"))
		if len(r.plan.changes) > maxPlanned || len(r.all) > ShownProblems {
			break
		}
	}
	if len(r.plan.changes) > maxPlanned {
		r.at(r.file, r.line, 1, "the plan has more than %d changes", maxPlanned)
	}
	if r.plan.project == "" && len(r.all) == 0 {
		r.add(r.file, "has no line %%project=NAME before its first empty line, which Sqitch needs")
	}
	return r.plan, r.problems
}

// isBlank reports whether Sqitch takes a character for a blank.
func isBlank(r rune) bool { return r == '\t' || unicode.Is(unicode.Zs, r) }

func (r *planReader) read(line string) {
	text, _, _ := strings.Cut(line, "#")
	text = strings.TrimRightFunc(text, isBlank)
	body := strings.TrimLeftFunc(text, isBlank)
	if body == "" {
		if line == text || strings.TrimFunc(line, isBlank) == "" { // no note
			r.header = false
		}
		return
	}
	at := place{r.line, 1 + utf8.RuneCountInString(text[:len(text)-len(body)])}
	switch {
	case !utf8.ValidString(line):
		r.at(r.file, r.line, 1, "the line is not UTF-8; save the plan as UTF-8")
	case body[0] == '%':
		r.pragma(at, strings.TrimLeftFunc(body[1:], isBlank))
	case r.header && !r.noHeader:
		r.noHeader = true
		r.at(r.file, at.line, at.column, "an empty line must come between the pragmas (%%syntax-version, %%project) and the changes")
	case body[0] == '@':
		r.tag(at, body)
	default:
		r.change(at, body)
	}
}

func (r *planReader) pragma(at place, text string) {
	name, value, _ := strings.Cut(text, "=")
	name, value = strings.TrimRightFunc(name, isBlank), strings.TrimLeftFunc(value, isBlank)
	switch {
	case !r.header:
		r.at(r.file, at.line, at.column, "the pragma %%%s comes after an empty line, where Sqitch reads changes; move it up", name)
	case name == "syntax-version" && value != "1.0.0" && !strings.HasPrefix(value, "1.0.0-"):
		r.at(r.file, at.line, at.column, "the plan has syntax version %s; Whimbrel reads 1.0.0", value)
	case name == "project" && !isSqitchName(value):
		r.at(r.file, at.line, at.column, "the project's name %q is not valid: %s", value, sqitchNames)
	case name == "project":
		r.plan.project = value
	}
}

// sqitchNames says which names are valid.
const sqitchNames = `names don't begin or end with punctuation other than "_", and have no blank, "@", ":", "#" or "\" in them`

const sqitchPunctuation = "-!\"#$%&'()*+,./:;<=>?@[\\]^`{|}~"

// symbolic matches the end of a name that would be a reference to a change, such as users^2.
var symbolic = lazyregexp.New(`[~/=%^][0-9]+$`)

func isSqitchName(name string) bool {
	if name == "" || !utf8.ValidString(name) || strings.ContainsAny(name, `:@#\`) || strings.ContainsFunc(name, isBlank) || strings.ContainsFunc(name, unicode.IsControl) {
		return false
	}
	first, last := name[:1], name[len(name)-1:]
	return !strings.ContainsAny(first+last, sqitchPunctuation) && !symbolic.MatchString(name)
}

// shaLike matches names that could be an ID.
var shaLike = lazyregexp.New(`^[0-9a-f]{40}`)

// planned matches what follows the name of a change or tag: dependencies, timestamp and planner.
var planned = lazyregexp.New(`^(?:\[([^\]]+)\]\s*)?(?:([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)\s*)?(?:[^<]+\s<[^>]+>)?$`)

// entry reads what tags and changes have in common. The text begins with the name.
func (r *planReader) entry(at place, text string) (c change, deps string, ok bool) {
	end := strings.IndexFunc(text, isBlank)
	if end < 0 {
		end = len(text)
	}
	if i := strings.IndexByte(text[:end], '['); i > 0 && strings.Contains(text[i:], "]") {
		end = i
	}
	c = change{place: at, name: text[:end]}
	fail := func(format string, args ...any) (change, string, bool) {
		r.at(r.file, at.line, at.column, format, args...)
		return c, "", false
	}
	switch {
	case !isSqitchName(c.name):
		return fail("the name %q is not valid: %s", c.name, sqitchNames)
	case c.name == "HEAD" || c.name == "ROOT":
		return fail("%q is a name that Sqitch reserves", c.name)
	case shaLike.MatchString(c.name):
		return fail("the name %q could be the ID of a change", c.name)
	}
	m := planned.FindStringSubmatch(strings.TrimLeftFunc(text[end:], isBlank))
	switch {
	case m == nil:
		return fail("what follows %s is not as in a plan: NAME [DEPENDENCIES] 2024-01-31T09:30:00Z PLANNER <EMAIL>", c.name)
	case m[2] == "":
		return fail("%s has no timestamp such as 2024-01-31T09:30:00Z", c.name)
	case !strings.HasSuffix(m[0], ">"):
		return fail("%s has no planner: NAME <EMAIL>", c.name)
	}
	var err error
	if c.when, err = time.Parse(time.RFC3339, m[2]); err != nil {
		return fail("%s is no date and time", m[2])
	}
	return c, m[1], true
}

func (r *planReader) tag(at place, text string) {
	at.column++
	c, deps, ok := r.entry(at, text[1:])
	last := len(r.plan.changes) - 1
	switch {
	case !ok:
	case strings.Contains(c.name, "/"):
		r.at(r.file, at.line, at.column, "the tag %q has a slash in it", c.name)
	case last < 0:
		r.at(r.file, at.line, at.column, "the tag @%s comes before the first change", c.name)
	case r.lines["@"+c.name] > 0:
		r.at(r.file, at.line, at.column, "the tag @%s is also in line %d", c.name, r.lines["@"+c.name])
	case deps != "":
		r.at(r.file, at.line, at.column, "the tag @%s has dependencies, which only changes have", c.name)
	default:
		r.plan.changes[last].tags = append(r.plan.changes[last].tags, c.name)
		r.lines["@"+c.name] = at.line
		clear(r.since)
	}
}

func (r *planReader) change(at place, text string) {
	if text[0] == '-' || text[0] == '+' {
		rest := strings.TrimLeftFunc(text[1:], isBlank)
		if text[0] == '-' && isSqitchName(firstField(rest)) {
			r.at(r.file, at.line, at.column, `"-" requests that %s be reverted, which Sqitch has no support for; write a change that reverts it`, firstField(rest))
			return
		}
		at.column += utf8.RuneCountInString(text) - utf8.RuneCountInString(rest)
		text = rest
	}
	c, deps, ok := r.entry(at, text)
	if !ok {
		return
	}
	if line := r.since[c.name]; line > 0 {
		r.at(r.file, at.line, at.column, "the change %s is also in line %d; to rework it, a tag must be between them", c.name, line)
		return
	}
	if deps != "" {
		r.dependencies(&c, deps, at.column+utf8.RuneCountInString(text[:strings.Index(text, "["+deps)+1]))
	}
	if i, again := r.newest[c.name]; again {
		r.plan.changes[i].again = len(r.plan.changes)
	} else {
		r.lines[c.name] = at.line
	}
	r.since[c.name] = at.line
	r.newest[c.name] = len(r.plan.changes)
	r.plan.changes = append(r.plan.changes, c)
}

func firstField(text string) string {
	first, _, _ := strings.Cut(text, " ")
	return first
}

// required matches a dependency.
var required = lazyregexp.New(`^(!?)(?:([^:@!]+):)?([^:@!]*)(?:@([^:@]+))?$`)

// dependencies reads the text between the brackets, which begins in the column.
func (r *planReader) dependencies(c *change, text string, column int) {
	seen := map[string]bool{}
	for rest := text; rest != ""; {
		rest = strings.TrimLeftFunc(rest, isBlank)
		end := strings.IndexFunc(rest, isBlank)
		if end < 0 {
			end = len(rest)
		}
		d := dependency{place: place{c.line, column + utf8.RuneCountInString(text[:len(text)-len(rest)])}, text: rest[:end]}
		if rest = rest[end:]; d.text == "" {
			break
		}
		m := required.FindStringSubmatch(d.text)
		if m != nil {
			d.conflicts, d.project, d.change, d.tag = m[1] != "", m[2], m[3], m[4]
			d.id = len(d.change) == 40 && shaLike.MatchString(d.change)
		}
		named := func(name string) bool { return name == "" || isSqitchName(name) }
		switch {
		case m == nil, d.change == "" && d.tag == "", !named(d.project), !named(d.change), !named(d.tag):
			r.at(r.file, d.line, d.column, "%q is not a dependency; they look like users, users@v1, @v1, and !users", d.text)
			continue
		case seen[d.text]:
			r.at(r.file, d.line, d.column, "%s depends on %q twice", c.name, d.text)
			continue
		}
		seen[d.text] = true
		if msg := r.unmet(c.name, d); msg != "" {
			r.at(r.file, d.line, d.column, "%s", msg)
		}
		c.requires = append(c.requires, d)
	}
}

// unmet says why a dependency is not met by the changes before it, or can't be checked; "" if it
// is met.
func (r *planReader) unmet(name string, d dependency) string {
	other := d.project != "" && d.project != r.plan.project
	planned := r.lines[d.change] > 0 && (d.tag == "" || r.before(d.change, d.tag))
	switch {
	case other:
		return fmt.Sprintf("%s depends on a change of another project, %s, which Whimbrel can't check; remove the dependency", name, strings.TrimPrefix(d.text, "!"))
	case d.id:
		return fmt.Sprintf("%s depends on a change by its ID, which Whimbrel can't check; name the change instead", name)
	case d.conflicts && (planned || d.change == "" && r.tagged(d.tag)):
		return fmt.Sprintf("%s conflicts with %s, which the plan deploys before it", name, d.text[1:])
	case d.conflicts, planned, d.change == "" && r.tagged(d.tag):
		return ""
	case d.change == name && r.lines[name] == 0:
		return fmt.Sprintf("%s depends on itself", name)
	}
	return fmt.Sprintf("%s depends on %s, which is not in a line before it", name, d.text)
}

// tagged reports whether a tag precedes the present line.
func (r *planReader) tagged(tag string) bool {
	return tag == "HEAD" || tag == "ROOT" || r.lines["@"+tag] > 0
}

// before reports whether a change precedes a tag.
func (r *planReader) before(name, tag string) bool {
	if tag == "HEAD" || tag == "ROOT" {
		return true
	}
	return r.lines[name] < r.lines["@"+tag]
}
