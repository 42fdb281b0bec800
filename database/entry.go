package database

import (
	"maps"
	"time"

	"github.com/whimbrel-db/whimbrel/migration"
)

// Direction says what a history entry did to its version.
type Direction string

// The directions. Up, Mark, Baseline, Load and Start make a version applied; Down and Forget make
// it not applied; Accept changes the checksum that an applied version is compared with. Finish and
// Control belong to the backfill of an applied version, which they leave applied. The others belong
// to no version and have NilVersion: Repeat and Seed to a script by name, Reset to the whole set,
// Drift, Metadata and Query to the whole target, Setting to the setting that is named. Resolve has
// the version of the run. Failed, Abandon and Terminate have that of the attempt, or NilVersion if
// its script has none; they change nothing that is applied.
const (
	Up        Direction = "up"
	Down      Direction = "down"
	Mark      Direction = "mark"      // recorded as applied without running it
	Forget    Direction = "forget"    // recorded as not applied without running anything
	Accept    Direction = "accept"    // an edited script was accepted as it is now
	Baseline  Direction = "baseline"  // the script of a baseline, which covers all versions up to its own, ran on an empty database
	Load      Direction = "load"      // the schema of a database was created from its text, which covers what is recorded with it
	Start     Direction = "start"     // a backfill was started: it is applied, but not all of its rows are changed yet
	Finish    Direction = "finish"    // a backfill is done: all of its rows are changed
	Control   Direction = "backfill"  // a backfill was paused, resumed, changed, …: Remark says how
	Repeat    Direction = "repeat"    // a repeatable script ran
	Seed      Direction = "seed"      // a script with development data ran
	Reset     Direction = "reset"     // the target was emptied: nothing is applied any more
	Drift     Direction = "drift"     // the schema was accepted as it is: UpText creates it
	Setting   Direction = "setting"   // a setting was changed
	Metadata  Direction = "metadata"  // the metadata was changed: the name says how
	Query     Direction = "query"     // a user executed a statement that may change something: UpText
	Resolve   Direction = "resolve"   // a user decided the outcome of a statement of an interrupted run: Remark says how
	Failed    Direction = "failed"    // an attempt failed, or its process was lost: Tried says what it was to do, Error why
	Terminate Direction = "terminate" // a session that blocked a migration was terminated: the name says which, UpText is its query
	Abandon   Direction = "abandon"   // a user gave up an interrupted run of which nothing remains applied: Tried is its direction
)

// Entry is one entry of the history. The history is append-only: nothing ever
// changes or removes an entry.
type Entry struct {
	// ID grows with every entry. Record sets it.
	ID        int64
	Set       string
	Version   int64
	Name      string
	Direction Direction
	// Checksum is the up script's, DownChecksum the down script's; the zero
	// Checksum means that there was none.
	Checksum, DownChecksum migration.Checksum
	// UpText and DownText are the scripts' texts, if the history keeps them. History fills them in
	// if HistoryQuery.Texts is set. HasDownText, which is always filled in, reports whether the
	// history has a down text; it may be empty. UpDirectives and DownDirectives are the directives
	// of the two scripts: a stored text runs only as they say.
	UpText, DownText             string
	HasDownText                  bool
	UpDirectives, DownDirectives migration.Directives
	// StartedAt is when the step began, in UTC. Duration is how long its script took. Both have
	// microsecond precision.
	StartedAt time.Time
	Duration  time.Duration
	// Tried is the direction of the attempt that failed or was abandoned, and Error the reason of a
	// failure. Both are "" for any other direction.
	Tried Direction
	Error string
	// Retries is how often the step was tried again because of a lock, and LockWait how long these
	// attempts and the pauses between them took. Both are 0 if the first attempt succeeded.
	// LockWait has microsecond precision.
	Retries  int
	LockWait time.Duration
	// DBUser, OSUser, Host, App, Actor and ToolVersion say who it was. Record fills in all but
	// ToolVersion, whatever was there: App and Actor are what Options say, OSUser is the operating
	// system's user of the process. DBUser is the database's user, or OSUser where a database has
	// no users.
	DBUser, OSUser, Host, App, Actor, ToolVersion string
	// Reason is why a person did it. Remark is what Whimbrel adds: which value a setting has now,
	// or how an interrupted statement was resolved. Both may be "".
	Reason, Remark string
}

// HistoryQuery selects history entries. The zero value selects all entries of all sets.
type HistoryQuery struct {
	Set     string    // "" for all sets
	Version *int64    // nil for all versions
	ID      int64     // of one entry; 0 for all
	Since   time.Time // only entries with a StartedAt that is not before it
	Texts   bool      // fill in the scripts' texts
	// Newest returns the newest entry first. Limit is the number of entries to return at most, the
	// first in that order; 0 for all. No more than necessary is read.
	Newest bool
	Limit  int
}

// Selects reports whether the query selects an entry, apart from its Limit.
func (q HistoryQuery) Selects(e Entry) bool {
	return (q.Set == "" || q.Set == e.Set) && (q.Version == nil || *q.Version == e.Version) &&
		(q.ID == 0 || q.ID == e.ID) && !e.StartedAt.Before(q.Since)
}

// State is everything that a target stores about a set, at one moment.
type State struct {
	Set string
	// Database is the name of the target: what its server calls it, or the name of its file.
	Database string
	// Head grows with every entry of the set or of Whimbrel's own set; 0 for none. As the history
	// is append-only, two States with one Head are equal, apart from an interrupted run and how far
	// backfills are. The newest id alone is enough only if no entry can become visible below one
	// that is already visible: an UpdateSetting can begin and end while a transaction is open, and a
	// database that assigns ids before the commit then shows the higher one first. The same holds
	// for ChangeBackfill, so an entry with the direction Control, which changes nothing in a State,
	// need not change the Head.
	Head int64
	// Applied are the applied versions.
	Applied *AppliedSet
	// Repeated and Seeded are, by name, the repeatable and the seed scripts that ran since
	// everything was rolled back, as they were when they ran last.
	Repeated, Seeded map[string]AppliedMigration
	// Interrupted is the set's interrupted run, or one that a process is executing now. It is nil
	// if there is none.
	Interrupted *Journal
	// Backfills are those of the set that are not done. The engine reads them if Applied has an
	// unfinished one; a driver leaves them nil.
	Backfills []Backfill
	// Settings has every declared setting: as stored, or its default.
	Settings Settings
	// ServerMajor is PostgreSQL's major version, if the server reported it when the client
	// connected. Otherwise it is 0, and a plan assumes the oldest version.
	ServerMajor int
	// Bare reports that the database has no table and no view, not even Whimbrel's own. It is false
	// if the driver does not know.
	Bare bool
}

// Version returns the newest applied version, [NilVersion] if there is none, and
// whether the set has an interrupted run.
func (s *State) Version() (version int64, interrupted bool) {
	v, ok := s.Applied.Last()
	if !ok {
		v = NilVersion
	}
	return v, s.Interrupted != nil
}

// Clone returns a copy that Fold can change.
func (s *State) Clone() *State {
	c := *s
	c.Applied, c.Repeated, c.Seeded = s.Applied.Clone(), maps.Clone(s.Repeated), maps.Clone(s.Seeded)
	return &c
}

// Fold adds an entry of the set to the state. Call it for each entry, oldest first. For each
// version, the newest entry that makes it applied or not applied counts; for each repeatable and
// seed script, the newest entry of a run. A backfill that is done has taken the time from its Start
// to its Finish. After a Down that leaves no version applied, no
// repeatable or seed script counts as run: their objects and rows may be gone with the tables.
func (s *State) Fold(e Entry) {
	if s.Applied == nil {
		s.Applied = &AppliedSet{}
	}
	if s.Interrupted != nil && s.Interrupted.EndedBy(e) {
		s.Interrupted = nil
	}
	switch e.Direction {
	case Up, Mark, Baseline, Load, Start:
		s.Applied.Put(e.applied())
	case Finish:
		if a, ok := s.Applied.Get(e.Version); ok {
			a.Unfinished, a.Duration = false, max(e.StartedAt.Sub(a.AppliedAt), 0)
			s.Applied.Put(a)
		}
	case Down:
		if s.Applied.Remove(e.Version); s.Applied.Len() == 0 {
			s.Repeated, s.Seeded = nil, nil
		}
	case Forget:
		s.Applied.Remove(e.Version)
	case Accept:
		if old, ok := s.Applied.Get(e.Version); ok {
			a := e.applied()
			a.Marked, a.Unfinished, a.AppliedAt, a.Duration = old.Marked, old.Unfinished, old.AppliedAt, old.Duration
			s.Applied.Put(a)
		}
	case Repeat:
		put(&s.Repeated, e)
	case Seed:
		put(&s.Seeded, e)
	case Reset:
		s.Applied, s.Repeated, s.Seeded = &AppliedSet{}, nil, nil
	}
}

func put(scripts *map[string]AppliedMigration, e Entry) {
	if *scripts == nil {
		*scripts = map[string]AppliedMigration{}
	}
	(*scripts)[e.Name] = e.applied()
}

func (e Entry) applied() AppliedMigration {
	return AppliedMigration{
		Version: e.Version, Name: e.Name, Checksum: e.Checksum, DownChecksum: e.DownChecksum, HasDownText: e.HasDownText,
		EntryID: e.ID, Marked: e.Direction == Mark, Unfinished: e.Direction == Start, AppliedAt: e.StartedAt, Duration: e.Duration,
	}
}
