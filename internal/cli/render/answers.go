package render

import (
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/times"
)

// Verified is the answer of verify.
type Verified struct {
	Set      string  `json:"set"`
	OK       bool    `json:"ok"` // always true: a mismatch is an error
	Verified []int64 `json:"verified"`
	// Unknown lists the applied versions that the set does not have.
	Unknown []int64 `json:"unknown"`
}

func (d *Verified) write(pg *page) {
	switch n := len(d.Verified); n {
	case 0:
		pg.line("Nothing to verify: no migration of set \"", d.Set, "\" is applied.")
	case 1:
		pg.line(pg.good("1 applied migration is unchanged."))
	default:
		pg.line(pg.good(count(n, "applied migration") + " are unchanged."))
	}
	if len(d.Unknown) > 0 {
		pg.line("Not verified, because their files are missing: ", pg.labels(d.Unknown), ".")
	}
}

// Accepted is the answer of accept.
type Accepted struct {
	Set      string  `json:"set"`
	Accepted []int64 `json:"accepted"`
}

func (d *Accepted) write(pg *page) {
	if len(d.Accepted) == 0 {
		pg.line("Nothing to accept: the files are unchanged.")
		return
	}
	pg.line(pg.good("Accepted the present files of " + pg.labels(d.Accepted) + "."))
}

// Marked is the answer of mark.
type Marked struct {
	Set    string  `json:"set"`
	Marked []int64 `json:"marked"`
}

func (d *Marked) write(pg *page) {
	pg.line(pg.good("Recorded " + pg.labels(d.Marked) + " as applied. Nothing was run."))
}

// Forgotten is the answer of forget.
type Forgotten struct {
	Set       string  `json:"set"`
	Forgotten []int64 `json:"forgotten"`
}

func (d *Forgotten) write(pg *page) {
	pg.line(pg.good("Recorded " + pg.labels(d.Forgotten) + " as not applied. Nothing was run."))
}

// Setting is one setting of a database.
type Setting struct {
	Name      string   `json:"name"`
	Value     string   `json:"value"`
	Default   string   `json:"default"`
	IsDefault bool     `json:"is_default"`
	Type      string   `json:"type"`
	Choices   []string `json:"choices,omitempty"`
	Doc       string   `json:"doc"`
	Reason    string   `json:"reason"`
	ChangedBy string   `json:"changed_by"`
	ChangedAt instant  `json:"changed_at"`
	Until     instant  `json:"until"`
}

// NewSetting converts a setting.
func NewSetting(v database.SettingValue) *Setting {
	return &Setting{
		Name: v.Name, Type: string(v.Type), Choices: v.Choices, Value: v.Value, Default: v.Default, IsDefault: v.IsDefault, Doc: v.Doc,
		Reason: v.Reason, ChangedBy: v.ChangedBy, ChangedAt: instant(v.ChangedAt), Until: instant(v.Until),
	}
}

// write writes the value alone, for scripts.
func (d *Setting) write(pg *page) { pg.line(clean(d.Value)) }

// SettingChanged is the answer of settings set and unset.
type SettingChanged struct{ Setting }

// NewSettingChanged returns the answer for the new value of a setting.
func NewSettingChanged(v database.SettingValue) *SettingChanged {
	return &SettingChanged{*NewSetting(v)}
}

func (d *SettingChanged) write(pg *page) {
	words := d.Name + " is now " + clean(d.Value)
	switch {
	case d.IsDefault:
		words += ", its default"
	case !time.Time(d.Until).IsZero():
		words += " until " + d.Until.String()
	}
	pg.line(pg.good(words + "."))
}

// Frozen is the answer of freeze and thaw.
type Frozen struct {
	Frozen bool    `json:"frozen"`
	Reason string  `json:"reason"`
	By     string  `json:"by"`
	Since  instant `json:"since"`
	Until  instant `json:"until"`

	Already bool `json:"-"` // it was not frozen, and nothing was changed
}

// NewFrozen returns the answer for the new value of the setting "frozen".
func NewFrozen(v database.SettingValue) *Frozen {
	return &Frozen{Frozen: v.Value == "true", Reason: v.Reason, By: v.ChangedBy, Since: instant(v.ChangedAt), Until: instant(v.Until)}
}

func (d *Frozen) write(pg *page) {
	if d.Already {
		pg.line("Nothing to do: the database is not frozen.")
		return
	}
	if !d.Frozen {
		pg.line(pg.good("Thawed: migrations are allowed."))
		return
	}
	words := "Frozen"
	if until := d.Until.String(); until != "" {
		words += " until " + until
	}
	if d.Reason != "" {
		words += " (" + oneLine(d.Reason) + ")"
	}
	pg.line(pg.good(words + "."))
}

// FrozenBy describes the freeze of a database, "by root since … until … (why)". It returns "" if
// the database is not frozen.
func FrozenBy(settings database.Settings) string {
	v, err := settings.Get(database.Frozen)
	if err != nil || !settings.Bool(database.Frozen) {
		return ""
	}
	return setBy(v.ChangedBy, v.ChangedAt, v.Until, v.Reason)
}

// Protected says that a database is protected, by whom, since when, and why.
func Protected(database, by string, since time.Time, reason string) string {
	return "Database " + strconv.Quote(oneLine(database)) + " is protected " + setBy(by, since, time.Time{}, reason) + "."
}

// setBy describes a setting: "by root since … until … (why)".
func setBy(by string, since, until time.Time, reason string) string {
	words := "by " + cmp.Or(oneLine(by), "an unknown user")
	for _, at := range []struct {
		word string
		time time.Time
	}{{"since", since}, {"until", until}} {
		if !at.time.IsZero() {
			words += " " + at.word + " " + times.Format(at.time)
		}
	}
	if reason != "" {
		words += " (" + oneLine(reason) + ")"
	}
	return words
}

// Settings is the answer of settings.
type Settings struct {
	Settings []Setting `json:"settings"`
}

func (d *Settings) write(pg *page) {
	t := table{head: []string{"NAME", "VALUE", "CHANGED (UTC)", "UNTIL (UTC)", "BY", "REASON", "MEANING"}}
	for _, s := range d.Settings {
		value := s.Value
		if s.IsDefault {
			value += pg.faint(" (default)")
		}
		t.add(s.Name, value, when(s.ChangedAt), when(s.Until), clean(s.ChangedBy), oneLine(s.Reason), s.Doc)
	}
	if changed := t.widths()[2] > 0; changed && pg.width > 0 && pg.tooWide(t.widths()) > 0 {
		t = withoutMeaning(pg, t)
	}
	pg.table(t)
}

// withoutMeaning returns a table of settings without the last column, for narrow pages. If it still
// does not fit, each reason has its own line.
func withoutMeaning(pg *page, settings table) table {
	t := table{head: settings.head[:6], give: []int{5, 4}}
	below := table{head: settings.head[:5], give: []int{4}, drop: []int{4}}
	for _, row := range settings.rows {
		t.add(row[:6]...)
		below.add(row[:5]...)
		if reason := row[5]; reason != "" {
			below.add(row[0] + ": " + reason)
		}
	}
	if pg.tooWide(t.widths()) > 0 {
		return below
	}
	return t
}

// NewFiles is the answer of new.
type NewFiles struct {
	Version int64    `json:"version"`
	Files   []string `json:"files"`
}

func (d *NewFiles) write(pg *page) {
	for _, f := range d.Files {
		pg.line(f)
	}
}

// Drivers is the answer of drivers.
type Drivers struct {
	Drivers []string `json:"drivers"`
}

func (d *Drivers) write(pg *page) {
	if len(d.Drivers) > 0 {
		pg.line(strings.Join(d.Drivers, "\n"))
	}
}

// Version is the answer of version.
type Version struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"` // "" if it is not known
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (d *Version) write(pg *page) {
	pg.line(d.String())
}

// String returns the line that the command prints.
func (d *Version) String() string {
	about := []string{d.Go, d.Platform}
	if d.Commit != "" {
		about = append([]string{"commit " + d.Commit[:min(len(d.Commit), 12)]}, about...)
	}
	return strings.Join([]string{"whimbrel", d.Version, "(" + strings.Join(about, ", ") + ")"}, " ")
}

// ConfigSchema is the answer of config schema: the schema's JSON.
type ConfigSchema json.RawMessage

// MarshalJSON returns the schema.
func (d ConfigSchema) MarshalJSON() ([]byte, error) { return d, nil }

func (d ConfigSchema) write(pg *page) { pg.line(strings.TrimSuffix(string(d), "\n")) }

// exact reports that the answer is data.
func (ConfigSchema) exact() bool { return true }

func (ConfigSchema) pageable() {}
