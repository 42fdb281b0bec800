package whimbrel

import (
	"fmt"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// contents describe a set: migrations of setOf, a squash of a range of their versions, with or
// without the original files, baselines, and repeatable scripts.
type contents struct {
	versions   []int64
	squash     [2]int64 // the oldest and the newest version, which is the squash's own
	gone       bool     // the originals' files
	baselines  []int64
	repeatable []string
}

func (c contents) set(t testing.TB) *migration.Set {
	t.Helper()
	var all migration.Contents
	for _, m := range setOf(t, c.versions...).All() {
		if inside := m.Version >= c.squash[0] && m.Version <= c.squash[1]; !inside || !c.gone {
			all.Migrations = append(all.Migrations, m)
		}
	}
	if newest := c.squash[1]; newest > 0 {
		all.Migrations = append(all.Migrations, squashOf(t, c.squash[0], newest))
	}
	for _, v := range c.baselines {
		name := fmt.Sprintf("b%d", v)
		all.Baselines = append(all.Baselines, migration.Migration{Version: v, Name: name, Up: migration.Text("B_"+name+".sql", "-- the schema as of "+name)})
	}
	for _, name := range c.repeatable {
		all.Repeatables = append(all.Repeatables, migration.Named{Name: name, Script: migration.Text("R__"+name+".sql", "-- "+name)})
	}
	set, err := all.Set("s")
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// squashOf returns a squash of all versions from one to another, which are those of setOf.
func squashOf(t testing.TB, from, to int64) migration.Migration {
	t.Helper()
	q := migration.Migration{Version: to, Name: "squash", Up: migration.Text("squash.up.sql", "-- all of it"), Down: migration.Text("squash.down.sql", "-- none of it")}
	for v := from; v <= to; v++ {
		m, _ := setOf(t, v).Get(v)
		if err := q.Up.Direct(fmt.Sprintf("replaces %d %s", v, m.Up.Checksum)); err != nil {
			t.Fatal(err)
		}
	}
	return q
}

// recordedAs returns the applied set of a database that has recorded a squash and other versions.
func recordedAs(t testing.TB, from, to int64, others ...int64) *database.AppliedSet {
	t.Helper()
	q := squashOf(t, from, to)
	applied := appliedOf(others...)
	applied.Put(database.AppliedMigration{Version: to, Name: q.Name, Checksum: q.Up.Checksum, DownChecksum: q.Down.Checksum, HasDownText: true, EntryID: 100})
	return applied
}

// decision is a set, a database, a goal, and the plan that they lead to.
type decision struct {
	name    string
	set     contents
	applied *database.AppliedSet
	goal    Goal
	want    string // as for wantDecision
}

func checkDecisions(t *testing.T, all []decision) {
	for _, tt := range all {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			wantDecision(t, tt.set.set(t), stateOf(tt.applied), tt.goal, false, tt.want)
		})
	}
}

// In the wanted steps = is recorded without running, * a baseline, and a name a repeatable
// script.
func TestDecideSquash(t *testing.T) {
	t.Parallel()
	six := []int64{1, 2, 3, 4, 5, 6}
	there := contents{versions: six, squash: [2]int64{2, 4}}
	gone := contents{versions: six, squash: [2]int64{2, 4}, gone: true}
	recorded := recordedAs(t, 2, 4, 1)
	checkDecisions(t, []decision{
		{name: "a fresh database runs the squash", set: there, want: "+1 +4 +5 +6"},
		{name: "before the range", set: there, applied: appliedOf(1), want: "+4 +5 +6"},
		{name: "inside the range the originals continue", set: there, applied: appliedOf(1, 2), want: "+3 +4 =4 +5 +6"},
		{name: "inside the range without the files", set: gone, applied: appliedOf(1, 2), want: "*whimbrel.SquashedError"},
		{name: "at the end of the range", set: gone, applied: appliedOf(1, 2, 3, 4), want: "=4 +5 +6"},
		{name: "after the range", set: gone, applied: appliedOf(1, 2, 3, 4, 5, 6), want: "=4"},
		{name: "recorded already", set: gone, applied: recordedAs(t, 2, 4, 1, 5, 6)},
		{name: "recorded already, with the files", set: there, applied: recorded, want: "+5 +6"},
		{name: "the range alone", set: contents{versions: six[:4], squash: [2]int64{1, 4}, gone: true}, applied: appliedOf(1, 2, 3, 4), want: "=4"},
		{name: "a squash of one", set: contents{versions: six[:4], squash: [2]int64{4, 4}, gone: true}, applied: appliedOf(1, 2, 3, 4), want: "=4"},
		{name: "pending below an applied version", set: gone, applied: appliedOf(1, 6), want: "*whimbrel.OutOfOrderError"},

		{name: "up to before the range", set: there, goal: UpTo(1), want: "+1"},
		{name: "up to inside the range takes the originals", set: there, goal: UpTo(3), want: "+1 +2 +3"},
		{name: "up to inside the range without the files", set: gone, goal: UpTo(3), want: "*whimbrel.UnknownVersionError"},
		{name: "up to the squash", set: there, goal: UpTo(4), want: "+1 +4"},
		{name: "up to inside the recorded squash", set: there, applied: recorded, goal: UpTo(3)},
		{name: "up to inside the range, from inside", set: there, applied: appliedOf(1, 2), goal: UpTo(3), want: "+3"},

		{name: "one step is the squash", set: there, applied: appliedOf(1), goal: By(1), want: "+4"},
		{name: "one step inside the range", set: there, applied: appliedOf(1, 2), goal: By(1), want: "+3"},
		{name: "the last step of the range records, too", set: there, applied: appliedOf(1, 2, 3), goal: By(1), want: "+4 =4"},
		{name: "recording is no step", set: there, applied: appliedOf(1, 2, 3, 4), goal: By(1), want: "=4 +5"},

		{name: "a recorded squash goes down as one", set: there, applied: recorded, goal: By(-1), want: "-4"},
		{name: "redo of a recorded squash", set: gone, applied: recorded, goal: Redo(1), want: "-4 +4"},
		{name: "down below it", set: gone, applied: recorded, goal: DownTo(1), want: "-4"},
		{name: "to inside the recorded squash", set: there, applied: recorded, goal: Version(3), want: "-4 +2 +3"},
		{name: "to inside the recorded squash, without the files", set: gone, applied: recorded, goal: Version(3), want: "*whimbrel.UnknownVersionError"},
		{name: "originals go down one by one", set: there, applied: appliedOf(1, 2, 3, 4), goal: By(-2), want: "-4 -3"},
		{name: "with the history's scripts where the files are gone", set: gone, applied: appliedOf(1, 2, 3, 4, 5), goal: DownTo(2), want: "-5 -4h -3h"},
		{name: "to inside the range, not recorded", set: gone, applied: appliedOf(1, 2, 3, 4), goal: Version(3), want: "-4h"},
		{name: "redo of an original", set: there, applied: appliedOf(1, 2, 3), goal: Redo(1), want: "-3 +3"},
		{name: "redo of an original without its file", set: gone, applied: appliedOf(1, 2, 3), goal: Redo(1), want: "*whimbrel.UnknownVersionError"},
	})
}

func TestDecideSquashErrorNamesTheMissingFiles(t *testing.T) {
	t.Parallel()
	set := contents{versions: []int64{1, 2, 3, 4}, squash: [2]int64{2, 4}, gone: true}.set(t)
	wantDecideError(t, set, appliedOf(1, 2), Latest(),
		`squash.up.sql: the squash 4 squash of set "s" replaces the versions 2, 3, 4, but the database lacks 3, 4, and the files of 3, 4 are missing`)
}

func TestDecideBaseline(t *testing.T) {
	t.Parallel()
	five := []int64{1, 2, 3, 4, 5}
	both := contents{versions: five, baselines: []int64{2, 4}}
	filesGone := contents{versions: []int64{5}, baselines: []int64{4}}
	b4, _ := both.set(t).Baseline(4)
	started := database.NewAppliedSet(database.AppliedMigration{Version: 4, Name: "b4", Checksum: b4.Up.Checksum, EntryID: 1})
	checkDecisions(t, []decision{
		{name: "an empty database starts from the newest", set: both, want: "*4 +5"},
		{name: "from the newest that the goal reaches", set: both, goal: UpTo(3), want: "*2 +3"},
		{name: "or from none", set: both, goal: Version(1), want: "+1"},
		{name: "at the goal", set: both, goal: Version(4), want: "*4"},
		{name: "steps are migrations", set: both, goal: By(2), want: "+1 +2"},
		{name: "a database that has something does not", set: both, applied: appliedOf(1), want: "+2 +3 +4 +5"},
		{name: "the files may be gone", set: filesGone, want: "*4 +5"},
		{name: "a goal may name it", set: filesGone, goal: UpTo(4), want: "*4"},
		{name: "started from it", set: filesGone, applied: started, want: "+5"},
		{name: "files that come back are not pending", set: both, applied: started, want: "+5"},
		{name: "a baseline can't be rolled back", set: both, applied: started, goal: DownTo(NilVersion), want: "*whimbrel.IrreversibleError"},
		{name: "an older database continues without it", set: filesGone, applied: appliedOf(1, 2, 3, 4), want: "+5"},
	})
}

func TestDecideRepeatables(t *testing.T) {
	t.Parallel()
	set := contents{versions: []int64{1, 2}, repeatable: []string{"views", "grants", "functions"}}.set(t)
	ran := func(names ...string) map[string]database.AppliedMigration {
		all := map[string]database.AppliedMigration{}
		for _, n := range names {
			all[n] = database.AppliedMigration{Name: n, Checksum: migration.Sum("-- " + n)}
		}
		return all
	}
	changed := ran("views", "grants", "functions")
	changed["grants"] = database.AppliedMigration{Name: "grants", Checksum: migration.Sum("-- what it was")}
	tests := []struct {
		name    string
		applied *database.AppliedSet
		ran     map[string]database.AppliedMigration
		goal    Goal
		want    string
	}{
		{name: "after everything else, by name", want: "+1 +2 functions grants views"},
		{name: "each script that has not run", applied: appliedOf(1, 2), ran: ran("grants"), want: "functions views"},
		{name: "no script that has run", applied: appliedOf(1, 2), ran: ran("views", "grants", "functions", "gone")},
		{name: "a script that has changed", applied: appliedOf(1, 2), ran: changed, want: "grants"},
		{name: "for the latest version only", goal: UpTo(2), want: "+1 +2"},
		{name: "not on the way down", applied: appliedOf(1, 2), goal: By(-1), want: "-2"},
		{name: "not by a build older than the database", applied: appliedOf(1, 2, 3)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			st := stateOf(tt.applied)
			st.Repeated = tt.ran
			wantDecision(t, set, st, tt.goal, false, tt.want)
		})
	}
}
