package render

import (
	"fmt"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
)

// Status answers status.
type Status struct {
	Set        string            `json:"set"`
	Database   string            `json:"database"`
	Version    int64             `json:"version"`
	Dirty      bool              `json:"dirty"`
	All        []int64           `json:"all"`
	Applied    []int64           `json:"applied"`
	Pending    []int64           `json:"pending"`
	Unknown    []int64           `json:"unknown"`
	Modified   []int64           `json:"modified"`
	OutOfOrder []int64           `json:"out_of_order"`
	Migrations []MigrationStatus `json:"migrations"`

	off *whimbrel.MigrationModeError // migrations are switched off
	dir string
}

// MigrationStatus is where one migration stands.
type MigrationStatus struct {
	Version   int64   `json:"version"`
	Name      string  `json:"name"`
	State     string  `json:"state"`
	AppliedAt instant `json:"applied_at"`
	Duration  *Millis `json:"duration_ms"`
	Checksum  string  `json:"checksum"`
	Marked    bool    `json:"marked"`
}

// NewStatus makes the answer from the engine's; dir is the folder of the set.
func NewStatus(s *whimbrel.Status, dir string) *Status {
	d := &Status{
		Set: s.Set, Database: s.Database, Version: s.Version, Dirty: s.Dirty,
		All: s.All(), Applied: s.Applied(), Pending: s.Pending(),
		Unknown:    s.InState(whimbrel.Unknown),
		Modified:   s.InState(whimbrel.Modified),
		OutOfOrder: s.InState(whimbrel.OutOfOrder),
		Migrations: []MigrationStatus{},
		dir:        dir,
	}
	for _, m := range s.Migrations {
		ms := MigrationStatus{
			Version: m.Version, Name: m.Name, State: string(m.State), AppliedAt: instant(m.AppliedAt),
			Checksum: m.Checksum.String(), Marked: m.Marked,
		}
		if !m.AppliedAt.IsZero() {
			ms.Duration = new(Millis(m.Duration))
		}
		d.Migrations = append(d.Migrations, ms)
	}
	if !s.Settings.Bool(database.MigrationMode) {
		v, err := s.Settings.Get(database.MigrationMode)
		if err == nil {
			d.off = &whimbrel.MigrationModeError{Reason: v.Reason, By: v.ChangedBy, Since: v.ChangedAt, Until: v.Until}
		}
	}
	return d
}

func (s *Status) write(pg *page) {
	if len(s.Migrations) == 0 {
		pg.line(fmt.Sprintf("Set %q has no migrations: there are none in %s, and none are applied.", s.Set, s.dir))
		pg.line(`Make the first one with "whimbrel new NAME".`)
		return
	}
	t := table{head: []string{"VERSION", "NAME", "STATE", "APPLIED (UTC)", "TOOK"}, right: map[int]bool{4: true}, give: []int{1}}
	for _, m := range s.Migrations {
		t.add(pg.digits.Label(m.Version), clean(m.Name), pg.state(m.State), when(time.Time(m.AppliedAt)), m.took())
	}
	pg.table(t)
	pg.line()
	pg.line(s.summary(pg))
	for _, line := range s.remarks(pg) {
		pg.line(line)
	}
}

func (m MigrationStatus) took() string {
	switch {
	case m.Marked:
		return "marked"
	case m.Duration == nil:
		return ""
	}
	return took(time.Duration(*m.Duration))
}

func (pg *page) state(state string) string {
	words := strings.ReplaceAll(state, "_", " ")
	switch whimbrel.MigrationState(state) {
	case whimbrel.Applied:
		return pg.good(words)
	case whimbrel.Pending:
		return pg.warn(words)
	case whimbrel.Modified, whimbrel.OutOfOrder:
		return pg.bad(words)
	}
	return pg.faint(words)
}

func (s *Status) summary(pg *page) string {
	at := "nothing is applied"
	if s.Version != whimbrel.NilVersion {
		at = "at version " + pg.digits.Label(s.Version)
	}
	return fmt.Sprintf("Set %q: %s; %d applied, %d pending.", s.Set, pg.bold(at), len(s.Applied), len(s.Pending))
}

// remarks say what is not as it should be, and what to do.
func (s *Status) remarks(pg *page) []string {
	var all []string
	if s.Dirty {
		all = append(all, pg.bad("A migration stopped part-way.")+` "whimbrel up" goes on with it.`)
	}
	if len(s.Modified) > 0 {
		all = append(all, pg.bad("Modified: "+pg.labels(s.Modified))+` — applied from another text than the file has now. "whimbrel verify" shows the difference.`)
	}
	if len(s.OutOfOrder) > 0 {
		all = append(all, pg.bad("Out of order: "+pg.labels(s.OutOfOrder))+` — pending below the newest applied version. "whimbrel up" refuses until you say --allow-out-of-order or give it a higher version.`)
	}
	if len(s.Unknown) > 0 {
		all = append(all, "Unknown: "+pg.labels(s.Unknown)+" — applied, but not in "+s.dir+" (a newer build's, or a deleted file).")
	}
	if s.off != nil {
		all = append(all, pg.warn("Switched off: ")+s.off.Error())
	}
	return all
}
