package adopt

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/internal/order"
	"github.com/whimbrel-db/whimbrel/migration"
)

// history is what a tool's table says, before it is compared with a set.
type history struct {
	// upTo, if not nil, is the only version that the table has: it and all below it are applied.
	upTo *int64
	// records are the applied migrations, in the order of the table.
	records []record
	// refused are rows that prevent a takeover whatever the set contains.
	refused []Refused
	// blocked reports that the table has our block.
	blocked bool
	notes   []string
}

// record is an applied migration of a tool's table. It names the migration in at least one way.
type record struct {
	id      string    // as the table has it
	version int64     // whimbrel.NilVersion if the table names migrations in another way only
	origin  string    // migration.Origin.ID
	file    string    // the name of the file
	when    time.Time // migration.Origin.When
	at      time.Time
	// covers reports that everything below counts as applied, too.
	covers bool
	// repeatable is the name of a repeatable script.
	repeatable string
	// also is another name: of a repeatable script, or the origin without folders.
	also string
	// repeats are the names that a repeatable script in its place can have, which then runs again.
	repeats []string
	// dotted is a version of Flyway in one form.
	dotted string
	// change is the name of a change of Sqitch, and instance which of the changes with that name it
	// is, from 0.
	change   string
	instance int
	// edited returns whether the tool's checksum shows that a script is not the one that it ran, and
	// how. It may be nil.
	edited func(migration.Migration) (how string, err error)
}

// match is a migration of the set that the tool has applied.
type match struct {
	migration.Migration
	id string
	at time.Time
}

// refuse adds a row that can't be understood or did not succeed.
func (h *history) refuse(why Why, version int64, id, format string, args ...any) {
	h.refused = append(h.refused, Refused{Why: why, Version: version, ID: id, Reason: fmt.Sprintf(format, args...)})
}

// matchAll compares a tool's history with a set. It returns the migrations of the set that the tool
// has applied, ordered by version, or every reason why that can't be said.
func matchAll(h *history, set *migration.Set) ([]match, []Refused) {
	m := newMatcher(set)
	m.refused = slices.Clone(h.refused)
	if h.upTo != nil {
		m.allUpTo(*h.upTo)
	}
	for _, r := range h.records {
		m.record(r)
	}
	m.gaps()
	m.squash()
	if len(m.refused) > 0 {
		return nil, m.refused
	}
	return append(m.inOrder(), m.repeats...), nil
}

// matcher collects matches and refusals.
type matcher struct {
	set      *migration.Set
	byOrigin map[string]int64
	byFile   map[string]int64
	byWhen   map[int64]int64    // by milliseconds
	byDotted map[string]int64   // the versions of Flyway
	changes  map[string][]int64 // of Sqitch by name, in the order of the plan
	dotted   map[int64]string
	matched  map[int64]match
	repeats  []match
	refused  []Refused
	covered  int64 // everything up to this version counts as applied
}

func newMatcher(set *migration.Set) *matcher {
	m := &matcher{set: set, byOrigin: map[string]int64{}, byFile: map[string]int64{}, byWhen: map[int64]int64{}, byDotted: map[string]int64{}, changes: map[string][]int64{}, dotted: map[int64]string{}, matched: map[int64]match{}, covered: whimbrel.NilVersion}
	for _, mig := range slices.Concat(set.Baselines(), set.All()) { // a migration wins over a baseline
		m.index(mig)
	}
	return m
}

// index adds the names of a migration.
func (m *matcher) index(mig migration.Migration) {
	v := mig.Version
	m.byFile[path.Base(mig.Up.File)] = v
	o := mig.Origin
	if o == nil {
		m.byDotted[fmt.Sprint(v)], m.dotted[v] = v, fmt.Sprint(v)
		m.changes[mig.Name] = append(m.changes[mig.Name], v)
		return
	}
	if o.ID != "" {
		m.byOrigin[o.ID] = v
		name, file, _ := strings.Cut(o.ID, "@")
		if short := name + "@" + path.Base(file); file != path.Base(file) { // of Liquibase
			if _, ambiguous := m.byOrigin[short]; ambiguous {
				m.byOrigin[short] = whimbrel.NilVersion
			} else {
				m.byOrigin[short] = v
			}
		}
		m.changes[name] = append(m.changes[name], v)
	}
	if !o.When.IsZero() {
		m.byWhen[o.When.UnixMilli()] = v
	}
	if d := dotted(o.ID); d != "" {
		m.byDotted[d], m.dotted[v] = v, d
	}
}

// find returns the migration with a version, also one that a squash replaces.
func (m *matcher) find(version int64) (migration.Migration, bool) {
	if version < 0 {
		return migration.Migration{}, false
	}
	for _, get := range []func(int64) (migration.Migration, bool){m.set.Original, m.set.Get, m.set.Baseline} {
		if mig, ok := get(version); ok {
			return mig, true
		}
	}
	if _, ok := m.set.Squash(version); ok {
		return migration.Migration{Version: version}, true // only together with the rest of the squash
	}
	return migration.Migration{}, false
}

// allUpTo matches all migrations up to a version, which the set must have.
func (m *matcher) allUpTo(version int64) {
	mig, ok := m.find(version)
	if !ok {
		m.refused = append(m.refused, Refused{
			Why: NoFile, Version: version, ID: fmt.Sprint(version),
			Reason: fmt.Sprintf("version %d is applied, but the set has no file for it", version),
		})
		return
	}
	for each := range m.set.Each() {
		if each.Version <= version {
			m.matched[each.Version] = match{Migration: each, id: fmt.Sprint(version)}
		}
	}
	if _, ok := m.matched[version]; !ok {
		m.matched[version] = match{Migration: mig, id: fmt.Sprint(version)} // a baseline or inside a squash
	}
}

// record matches one record.
func (m *matcher) record(r record) {
	if r.repeatable != "" {
		m.repeat(r)
		return
	}
	if r.covers && r.dotted != "" {
		m.coverDotted(r)
		return
	}
	mig, ok := m.named(r)
	if !ok && m.runsAgain(r) {
		return
	}
	if !ok {
		m.refused = append(m.refused, Refused{
			Why: NoFile, Version: r.version, ID: r.id,
			Reason: fmt.Sprintf("%s is applied, but the set has no file for it", r.id),
		})
		return
	}
	if r.edited != nil && mig.Up != nil && m.isEdited(mig, r) {
		return
	}
	if r.covers {
		m.covered = max(m.covered, mig.Version)
	}
	m.add(mig, r)
}

// runsAgain reports whether the set has a repeatable script in place of the migration.
func (m *matcher) runsAgain(r record) bool {
	return slices.ContainsFunc(m.set.Repeatables(), func(s migration.Named) bool { return slices.Contains(r.repeats, s.Name) })
}

// add matches a migration with a record.
func (m *matcher) add(mig migration.Migration, r record) {
	if _, twice := m.matched[mig.Version]; twice {
		m.refused = append(m.refused, Refused{
			Why: Unreadable, Version: mig.Version, ID: r.id,
			Reason: fmt.Sprintf("version %d is in the table more than once, also as %s", mig.Version, r.id),
		})
		return
	}
	m.matched[mig.Version] = match{Migration: mig, id: r.id, at: r.at}
}

// coverDotted matches a baseline of Flyway, which needs no file: all versions up to it count as
// applied.
func (m *matcher) coverDotted(r record) {
	for v, d := range m.dotted {
		if compareDotted(d, r.dotted) <= 0 {
			m.covered = max(m.covered, v)
		}
	}
	if mig, ok := m.find(m.byDotted[r.dotted]); ok && m.dotted[mig.Version] == r.dotted {
		m.add(mig, r)
	}
}

// named returns the migration that a record names.
func (m *matcher) named(r record) (migration.Migration, bool) {
	if v, ok := m.byOrigin[r.origin]; ok && r.origin != "" {
		return m.find(v)
	}
	if v, ok := m.byFile[r.file]; ok && r.file != "" {
		return m.find(v)
	}
	if v, ok := m.byWhen[r.when.UnixMilli()]; ok && !r.when.IsZero() {
		return m.find(v)
	}
	if v, ok := m.byDotted[r.dotted]; ok && r.dotted != "" {
		return m.find(v)
	}
	if all := m.changes[r.change]; r.change != "" && r.instance < len(all) {
		return m.find(all[r.instance])
	}
	if v, ok := m.byOrigin[r.also]; ok && r.also != "" {
		return m.find(v)
	}
	return m.find(r.version)
}

// isEdited refuses a migration whose script is not the one that the tool ran.
func (m *matcher) isEdited(mig migration.Migration, r record) bool {
	how, err := r.edited(mig)
	switch {
	case err != nil:
		how = "its checksum can't be computed: " + err.Error()
	case how == "":
		return false
	}
	m.refused = append(m.refused, Refused{
		Why: Edited, Version: mig.Version, ID: r.id, File: mig.Up.File,
		Reason: fmt.Sprintf("%s was edited after it was applied: %s", mig.Up.File, how),
	})
	return true
}

// repeat matches a repeatable script.
func (m *matcher) repeat(r record) {
	for _, s := range m.set.Repeatables() {
		if s.Name != r.repeatable && s.Name != r.also {
			continue
		}
		mig := migration.Migration{Version: whimbrel.NilVersion, Name: s.Name, Up: s.Script}
		if r.edited != nil {
			if how, err := r.edited(mig); err != nil || how != "" {
				return // it will run again, as it would with the other tool
			}
		}
		m.repeats = slices.DeleteFunc(m.repeats, func(old match) bool { return old.Name == s.Name })
		m.repeats = append(m.repeats, match{Migration: mig, id: r.id, at: r.at})
		return
	}
}

// gaps refuses files that are older than the newest applied migration and were never applied. What
// a baseline of the tool covers counts as applied.
func (m *matcher) gaps() {
	newest := whimbrel.NilVersion
	for v := range m.matched {
		newest = max(newest, v)
	}
	for mig := range m.set.Each() {
		if _, ok := m.matched[mig.Version]; ok {
			continue
		}
		switch {
		case mig.Version <= m.covered:
			m.matched[mig.Version] = match{Migration: mig, at: m.matched[m.covered].at}
		case mig.Version < newest && !m.partly(mig):
			m.refused = append(m.refused, Refused{
				Why: NeverRan, Version: mig.Version, File: mig.Up.File,
				Reason: fmt.Sprintf("%s was never applied, but a newer migration was (version %d)", mig.Up.File, newest),
			})
		}
	}
}

// partly reports whether the tool has applied some of the migrations that a squash replaces.
func (m *matcher) partly(mig migration.Migration) bool {
	return slices.ContainsFunc(mig.Up.Replaces, func(r migration.Replaced) bool {
		_, ok := m.matched[r.Version]
		return ok
	})
}

// squash lets a squash of which everything is applied take the place of what it replaces.
func (m *matcher) squash() {
	for mig := range m.set.Each() {
		if len(mig.Up.Replaces) == 0 {
			continue
		}
		last, missing := m.matched[mig.Version]
		missing = !missing
		for _, r := range mig.Up.Replaces {
			_, ok := m.matched[r.Version]
			missing = missing || !ok
		}
		if missing {
			continue
		}
		for _, r := range mig.Up.Replaces {
			delete(m.matched, r.Version)
		}
		m.matched[mig.Version] = match{Migration: mig, id: last.id, at: last.at}
	}
	for _, one := range m.matched {
		if one.Up == nil {
			m.refused = append(m.refused, Refused{
				Why: NoFile, Version: one.Version, ID: one.id,
				Reason: fmt.Sprintf("version %d is applied, but the set has only a squash for it, of which not everything is applied", one.Version),
			})
		}
	}
}

// inOrder returns the matches by version.
func (m *matcher) inOrder() []match {
	all := slices.Collect(maps.Values(m.matched))
	order.By(all, func(a, b match) int { return cmp.Compare(a.Version, b.Version) })
	return all
}

// leadingDigits returns the digits with which a name begins.
func leadingDigits(name string) string {
	return name[:len(name)-len(strings.TrimLeft(name, "0123456789"))]
}
