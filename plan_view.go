package whimbrel

import (
	"slices"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// view is a set as one database has it. In a database that has recorded a squash, or has applied
// nothing of what the squash replaces, the squash is a migration like others. In any other database
// it is open: its originals are applied there.
type view struct {
	set     *migration.Set
	applied *database.AppliedSet
	// covered is the version of the baseline that the database started from while the set lacked
	// the migrations up to it. If they return to the set, none of them is pending.
	covered int64
}

func viewOf(set *migration.Set, applied *database.AppliedSet) view {
	v := view{set: set, applied: applied, covered: NilVersion}
	for _, b := range set.Baselines() {
		a, ok := applied.Get(b.Version)
		m, inSet := set.Get(b.Version)
		if ok && a.Checksum == b.Up.Checksum && !(inSet && m.Up.Checksum == b.Up.Checksum) {
			v.covered = b.Version
		}
	}
	return v
}

func (v view) isApplied(version int64) bool {
	_, ok := v.applied.Get(version)
	return ok
}

// open reports whether the database has applied originals of the squash q.
func (v view) open(q migration.Migration) bool {
	return slices.ContainsFunc(q.Up.Replaces, func(r migration.Replaced) bool {
		a, ok := v.applied.Get(r.Version)
		return ok && (r.Version != q.Version || a.Checksum == r.Checksum && a.Checksum != q.Up.Checksum)
	})
}

// recorded returns the squash that this database has recorded in place of a version.
func (v view) recorded(version int64) (migration.Migration, bool) {
	q, ok := v.set.Squash(version)
	return q, ok && v.isApplied(q.Version) && !v.open(q)
}

// get returns the migration that a version is in this database.
func (v view) get(version int64) (migration.Migration, bool) {
	q, ok := v.set.Squash(version)
	switch {
	case !ok:
		return v.set.Get(version)
	case version == q.Version && !v.open(q):
		return q, true
	}
	if _, ok := v.recorded(version); ok {
		return migration.Migration{}, false
	}
	return v.set.Original(version)
}

// expected returns the checksum that an applied version should have; false means that the set lacks
// the version.
func (v view) expected(a database.AppliedMigration) (migration.Checksum, bool) {
	if q, ok := v.set.Squash(a.Version); ok && v.open(q) {
		i := slices.IndexFunc(q.Up.Replaces, func(r migration.Replaced) bool { return r.Version == a.Version })
		return q.Up.Replaces[i].Checksum, true
	}
	if b, ok := v.set.Baseline(a.Version); ok && a.Checksum == b.Up.Checksum {
		return a.Checksum, true
	}
	m, ok := v.set.Get(a.Version)
	if !ok {
		return migration.Checksum{}, false
	}
	return m.Up.Checksum, true
}

// replaced reports whether a squash or a baseline of the set replaces an applied version.
func (v view) replaced(a database.AppliedMigration) bool {
	if q, ok := v.set.Squash(a.Version); ok {
		return v.open(q)
	}
	if _, ok := v.set.Get(a.Version); ok {
		return false
	}
	b, ok := v.newestBaseline(Latest())
	return ok && a.Version <= b.Version
}

// known reports whether a goal can name a version.
func (v view) known(version int64) bool {
	if _, ok := v.get(version); ok {
		return true
	}
	_, original := v.set.Original(version)
	_, baseline := v.set.Baseline(version)
	return original || baseline || v.isApplied(version)
}

// newestBaseline returns the newest baseline that a goal reaches.
func (v view) newestBaseline(g Goal) (b migration.Migration, ok bool) {
	for _, each := range v.set.Baselines() {
		if g.reaches(each.Version) {
			b, ok = each, true
		}
	}
	return b, ok
}

// behind reports whether this build is older than the database: the set lacks its newest version.
func (v view) behind() bool {
	last, ok := v.applied.Last()
	if !ok {
		return false
	}
	a, _ := v.applied.Get(last)
	_, known := v.expected(a)
	return !known && !v.replaced(a)
}
