package render

import (
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// Verified answers verify.
type Verified struct {
	Set      string  `json:"set"`
	OK       bool    `json:"ok"` // what is not ok is an error
	Verified []int64 `json:"verified"`
	// Unknown are the applied versions that the set does not have.
	Unknown []int64 `json:"unknown"`
}

func (d *Verified) write(pg *page) {
	if len(d.Verified) == 0 {
		pg.line("Nothing to verify: no migration of set \"", d.Set, "\" is applied.")
	} else {
		pg.line(pg.good("Verified " + count(len(d.Verified), "applied migration") + ": as they were applied."))
	}
	if len(d.Unknown) > 0 {
		pg.line("Not verified, since there are no files for them: ", pg.labels(d.Unknown), ".")
	}
}

// Accepted answers accept.
type Accepted struct {
	Set      string  `json:"set"`
	Accepted []int64 `json:"accepted"`
}

func (d *Accepted) write(pg *page) {
	if len(d.Accepted) == 0 {
		pg.line("Nothing to accept: the files are what was applied.")
		return
	}
	pg.line(pg.good("Accepted " + pg.labels(d.Accepted) + " as the files are now."))
}

// Marked answers mark.
type Marked struct {
	Set    string  `json:"set"`
	Marked []int64 `json:"marked"`
}

func (d *Marked) write(pg *page) {
	pg.line(pg.good("Recorded " + pg.labels(d.Marked) + " as applied. Nothing was run."))
}

// Forgotten answers forget.
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

// NewSetting makes a setting from the contract's.
func NewSetting(v database.SettingValue) Setting {
	return Setting{
		Name: v.Name, Type: string(v.Type), Choices: v.Choices, Value: v.Value, Default: v.Default, IsDefault: v.IsDefault, Doc: v.Doc,
		Reason: v.Reason, ChangedBy: v.ChangedBy, ChangedAt: instant(v.ChangedAt), Until: instant(v.Until),
	}
}

// write writes the bare value, for scripts.
func (d *Setting) write(pg *page) { pg.line(clean(d.Value)) }

// SettingChanged answers settings set and unset.
type SettingChanged struct{ Setting }

func (d *SettingChanged) write(pg *page) {
	words := d.Name + " is now " + clean(d.Value)
	switch {
	case d.IsDefault:
		words += ", its default"
	case !time.Time(d.Until).IsZero():
		words += " until " + when(time.Time(d.Until)) + " UTC"
	}
	pg.line(pg.good(words + "."))
}

// Settings answers settings.
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
		t.add(s.Name, value, when(time.Time(s.ChangedAt)), when(time.Time(s.Until)), clean(s.ChangedBy), oneLine(s.Reason), s.Doc)
	}
	if changed := t.widths()[2] > 0; changed && pg.width > 0 && pg.tooWide(t.widths()) > 0 {
		t = withoutMeaning(pg, t)
	}
	pg.table(t)
}

// withoutMeaning is a table of settings for a page that is too narrow for what they mean; where
// it still does not fit, each reason has a line of its own.
func withoutMeaning(pg *page, settings table) table {
	t := table{head: settings.head[:6]}
	below := table{head: settings.head[:5]}
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

// NewFiles answers new.
type NewFiles struct {
	Version int64    `json:"version"`
	Files   []string `json:"files"`
}

func (d *NewFiles) write(pg *page) {
	for _, f := range d.Files {
		pg.line(f)
	}
}

// Drivers answers drivers.
type Drivers struct {
	Drivers []string `json:"drivers"`
}

func (d *Drivers) write(pg *page) {
	if len(d.Drivers) > 0 {
		pg.line(strings.Join(d.Drivers, "\n"))
	}
}

// Version answers version.
type Version struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (d *Version) write(pg *page) {
	pg.line("whimbrel ", d.Version, " (", d.Go, ", ", d.Platform, ")")
}
