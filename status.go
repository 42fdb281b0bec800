package whimbrel

import (
	"context"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// MigrationState says where one version stands.
type MigrationState string

// The states. Modified and Unknown versions are applied; OutOfOrder ones are pending.
const (
	Applied    MigrationState = "applied"
	Pending    MigrationState = "pending"
	OutOfOrder MigrationState = "out_of_order" // pending, below the newest applied version
	Modified   MigrationState = "modified"     // applied from another text than the set has
	Unknown    MigrationState = "unknown"      // applied, and not in the set
)

// Status is where a set stands in a database.
type Status struct {
	Set string
	// Database is the target's name, as its server or its file says it.
	Database string
	// Version is the newest applied one, NilVersion if there is none.
	Version int64
	// Dirty reports that an earlier migration stopped part-way.
	Dirty bool
	// Migrations are all versions that the set or the database has, in order.
	Migrations []MigrationStatus
	Settings   database.Settings
}

// MigrationStatus is where one migration stands.
type MigrationStatus struct {
	Version int64
	Name    string
	State   MigrationState
	// Checksum is the stored one where the version is applied, else the set's.
	Checksum migration.Checksum
	// AppliedAt and Duration are zero for what is not applied. Marked reports
	// that it was recorded without running it.
	AppliedAt time.Time
	Duration  time.Duration
	Marked    bool
}

// Status reads where the set stands, with one question to the database. It locks and
// changes nothing.
func (m *Migrator) Status(ctx context.Context) (*Status, error) {
	st, err := m.db.State(ctx, m.set.Name())
	if err != nil {
		return nil, err
	}
	s := &Status{Set: m.set.Name(), Database: st.Database, Settings: st.Settings}
	s.Version, s.Dirty = st.Version()
	byVersion := database.Migrations{} // both, in order
	for a := range st.Applied.All() {
		byVersion.Append(a)
	}
	for _, mig := range m.set.All() {
		byVersion.Append(database.Applied{Version: mig.Version, Name: mig.Name, Checksum: mig.Up.Checksum})
	}
	for entry := range byVersion.All() {
		mig, inSet := m.set.Get(entry.Version)
		_, isApplied := st.Applied.Read(entry.Version)
		ms := MigrationStatus{
			Version: entry.Version, Name: entry.Name, Checksum: entry.Checksum,
			AppliedAt: entry.AppliedAt, Duration: entry.Duration, Marked: entry.Marked,
		}
		switch {
		case !isApplied && entry.Version < s.Version:
			ms.State = OutOfOrder
		case !isApplied:
			ms.State = Pending
		case !inSet:
			ms.State = Unknown
		case mig.Up.Checksum != entry.Checksum:
			ms.State = Modified
		default:
			ms.State = Applied
		}
		s.Migrations = append(s.Migrations, ms)
	}
	return s, nil
}

// InState returns the versions in any of the given states, in ascending order; never nil.
func (s *Status) InState(states ...MigrationState) []int64 {
	vs := []int64{}
	for _, m := range s.Migrations {
		for _, st := range states {
			if m.State == st {
				vs = append(vs, m.Version)
			}
		}
	}
	return vs
}

// All returns the versions that this build knows, ascending.
func (s *Status) All() []int64 { return s.InState(Applied, Pending, OutOfOrder, Modified) }

// Applied returns the versions recorded in the database, ascending, those that
// this build does not know included.
func (s *Status) Applied() []int64 { return s.InState(Applied, Modified, Unknown) }

// Pending returns the versions that are not applied, ascending, those that are out of
// order included.
func (s *Status) Pending() []int64 { return s.InState(Pending, OutOfOrder) }
