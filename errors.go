package whimbrel

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/times"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// ChecksumMismatchError reports that an applied migration's file was edited. Nothing has changed.
type ChecksumMismatchError struct {
	Set     string
	Version int64
	Name    string
	File    string
	// Stored is the checksum in the history, Expected that of the set.
	Stored, Expected migration.Checksum
	// Diff compares the stored text with the set's, if the history keeps the text.
	Diff string
	// OnlyBlank reports that they differ only in comments and white space.
	OnlyBlank bool
	// Others are the other edited versions.
	Others []int64
	// Newest is how many of the newest applied migrations include all that were edited: [Redo] of so
	// many applies the present files.
	Newest int
}

func (e *ChecksumMismatchError) Error() string {
	msg := fmt.Sprintf("%s: migration %d %s of set %q was edited after it was applied (stored checksum %.12s…, present checksum %.12s…)",
		e.File, e.Version, e.Name, e.Set, e.Stored, e.Expected)
	if e.OnlyBlank {
		msg += "; only comments or white space differ"
	}
	if len(e.Others) > 0 {
		msg += fmt.Sprintf("; also edited: %s", joinVersions(e.Others))
	}
	return msg
}

// NoMigrationsError reports that the folder of Up has no migrations. Nothing has changed.
type NoMigrationsError struct{ Dir string } // "" is the root of the file system

func (e *NoMigrationsError) Error() string {
	if e.Dir == "" {
		return "the folder has no migrations"
	}
	return fmt.Sprintf("the folder %q has no migrations", e.Dir)
}

// OutOfOrderError reports pending migrations below the newest applied one. Nothing has changed.
type OutOfOrderError struct {
	Set        string
	Migrations []migration.Migration
	Newest     int64 // the newest version that is, or stays, applied
}

func (e *OutOfOrderError) Error() string {
	var names []string
	for _, m := range e.Migrations {
		names = append(names, m.String())
	}
	are := "is"
	if len(names) > 1 {
		are = "are"
	}
	return fmt.Sprintf("set %q: %s %s pending below the newest applied version %d", e.Set, strings.Join(names, ", "), are, e.Newest)
}

// IrreversibleError reports that a rollback includes a migration without a down script. Nothing has
// changed.
type IrreversibleError struct {
	Set         string
	Version     int64
	Name        string
	TextNotKept bool // it had a down script, which was too large for the history
	Baseline    bool // it is the baseline that the database started from
	Interrupted bool // its up script was interrupted; the rollback would first complete it
}

func (e *IrreversibleError) Error() string {
	why := "it has no down script"
	switch {
	case e.Baseline:
		why = "the database started from it as a baseline"
	case e.TextNotKept:
		why = "this build lacks its down script, which was too large for the history"
	}
	return fmt.Sprintf("migration %d %s of set %q can't be rolled back: %s", e.Version, e.Name, e.Set, why)
}

// UnknownVersionError reports a version that neither the set nor the database has.
type UnknownVersionError struct {
	Set          string
	Version      int64
	Below, Above int64 // the nearest existing versions, or NilVersion
	Redo         bool  // the database has it, but the set lacks it, so Redo can't apply it again
}

func unknownVersion(set *migration.Set, applied *database.AppliedSet, v int64) error {
	known := &database.AppliedSet{}
	for _, have := range append(set.Versions(), applied.Versions()...) {
		known.Append(database.AppliedMigration{Version: have})
	}
	for _, b := range set.Baselines() {
		known.Append(database.AppliedMigration{Version: b.Version})
	}
	below, _ := known.Prev(v)
	above, _ := known.Next(v)
	return &UnknownVersionError{Set: set.Name(), Version: v, Below: below, Above: above}
}

func (e *UnknownVersionError) Error() string {
	if e.Redo {
		return fmt.Sprintf("version %d can't be applied again: set %q lacks it", e.Version, e.Set)
	}
	var near []string
	for _, v := range []int64{e.Below, e.Above} {
		if v != NilVersion {
			near = append(near, fmt.Sprint(v))
		}
	}
	msg := fmt.Sprintf("set %q has no version %d", e.Set, e.Version)
	switch len(near) {
	case 1:
		msg += "; the nearest is " + near[0]
	case 2:
		msg += "; the nearest are " + near[0] + " and " + near[1]
	}
	return msg
}

// TooFewAppliedError reports a goal that rolls back more migrations than are applied.
type TooFewAppliedError struct{ Asked, AppliedCount int }

func (e *TooFewAppliedError) Error() string {
	migrations := "migrations"
	if e.Asked == 1 {
		migrations = "migration"
	}
	return fmt.Sprintf("can't roll back %d %s: %d applied", e.Asked, migrations, e.AppliedCount)
}

// NotAppliedError reports a version that is not applied.
type NotAppliedError struct {
	Set     string
	Version int64
}

func (e *NotAppliedError) Error() string {
	return fmt.Sprintf("version %d of set %q is not applied", e.Version, e.Set)
}

// AlreadyAppliedError reports a version that is already applied.
type AlreadyAppliedError struct {
	Set     string
	Version int64
}

func (e *AlreadyAppliedError) Error() string {
	return fmt.Sprintf("version %d of set %q is already applied", e.Version, e.Set)
}

// FrozenError reports that the database is frozen: nothing may migrate it.
type FrozenError struct {
	Reason, By   string
	Since, Until time.Time // Until is zero if it has no end
}

func (e *FrozenError) Error() string {
	return "the database is frozen" + change(e.By, e.Since, e.Until, e.Reason)
}

// change describes the change of a setting: " by … since … until … (reason)".
func change(by string, since, until time.Time, reason string) string {
	msg := ""
	if by != "" {
		msg += " by " + by
	}
	if !since.IsZero() {
		msg += " since " + times.Format(since)
	}
	if !until.IsZero() {
		msg += " until " + times.Format(until)
	}
	if reason != "" {
		msg += " (" + reason + ")"
	}
	return msg
}

// ProtectedError reports that the database's setting "protected" is true, which prevents a call
// that would lose data. Nothing has changed.
type ProtectedError struct {
	Database string // its name, which Overrule must be
	What     string // the refused action: "roll back", "reset", "seed", "reset the metadata"
	Overrule string // the value that the call passed
	Reason   string
	By       string
	Since    time.Time
}

func (e *ProtectedError) Error() string {
	msg := fmt.Sprintf("can't %s: database %q is protected", e.What, e.Database) + change(e.By, e.Since, time.Time{}, e.Reason)
	if e.Overrule != "" {
		msg += fmt.Sprintf("; its name is not %q", e.Overrule)
	}
	return msg
}

// ConflictError reports that another process changed the database after the plan was made, so that
// the plan no longer fits. Earlier steps remain applied.
type ConflictError struct {
	Set     string
	Version int64
	Script  string // the name of a repeatable script or a seed; these have no version
	Problem string // completes "version 3 …": what prevents it
	// Entry is the last history entry of the version: what changed, when, and who changed it.
	Entry database.Entry
}

func (e *ConflictError) Error() string {
	msg := fmt.Sprintf("set %q: version %d %s", e.Set, e.Version, e.Problem)
	if e.Script != "" {
		msg = fmt.Sprintf("set %q: script %q %s", e.Set, e.Script, e.Problem)
	}
	if last := e.Entry; last.ID != 0 {
		msg += fmt.Sprintf(" (%s at %s", last.Direction, times.Format(last.StartedAt))
		if by := strings.Trim(last.DBUser+"@"+last.Host, "@"); by != "" {
			msg += " by " + by
		}
		if last.App != "" {
			msg += ", " + last.App
		}
		msg += ")"
	}
	return msg
}

// AtomicError reports a migration that can't share one transaction with the others of its plan,
// which Options.Atomic requires. Nothing has changed.
type AtomicError struct {
	Step Step
	Why  string // with the statement's place
}

func (e *AtomicError) Error() string {
	return fmt.Sprintf("can't apply everything in one transaction: %s: %s", what(e.Step.Version, e.Step.Name), e.Why)
}

// ScriptsError lists the problems that prevent the scripts of a plan from running, in the order of
// the plan, if there are several. Each is a *[sqltext.Error], an *[AtomicError], or an error of
// reading a file. Nothing has changed.
type ScriptsError struct{ Problems []error }

// shownProblems is the number of problems that Error lists.
const shownProblems = 50

// Error has one line for each of the first 50 problems, and a count of the others.
func (e *ScriptsError) Error() string {
	var lines []string
	for _, p := range e.Problems[:min(len(e.Problems), shownProblems)] {
		lines = append(lines, p.Error())
	}
	if more := len(e.Problems) - shownProblems; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the problems.
func (e *ScriptsError) Unwrap() []error { return e.Problems }

// joined returns the problems as one error.
func joined(problems []error) error {
	switch len(problems) {
	case 0:
		return nil
	case 1:
		return problems[0]
	}
	return &ScriptsError{Problems: problems}
}

// flat returns the errors that an error joins.
func flat(err error) []error {
	if joins, ok := err.(interface{ Unwrap() []error }); ok {
		return joins.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// what names a migration, or a script without a version.
func what(version int64, name string) string {
	if version == NilVersion {
		return fmt.Sprintf("script %q", name)
	}
	return fmt.Sprintf("migration %d %s", version, name)
}

// MigrationError reports that a migration, a repeatable script or a seed failed. Err is the reason.
type MigrationError struct {
	Set       string
	Version   int64 // NilVersion for a script without a version
	Name      string
	Direction database.Direction
	// Executed is the number of its statements that remain applied: 0 if it ran in a transaction.
	Executed int
	// Journal is the interrupted run, which the next call resumes; nil for none.
	Journal *database.Journal
	// Leftover is what the interrupted statement of the run may have left behind, such as "an invalid
	// index"; "" for nothing. The next call removes it before it continues.
	Leftover string
	// Retries is how often it was tried again because of a lock, and LockWait how long all attempts
	// that failed for that reason, and the pauses between them, took.
	Retries  int
	LockWait time.Duration
	// Blockage is what was last known about the sessions that it waited for; zero if nothing is.
	Blockage database.Blockage
	Err      error
}

func (e *MigrationError) Error() string {
	msg := fmt.Sprintf("%s (%s) failed: %v", what(e.Version, e.Name), e.Direction, e.Err)
	if e.Executed > 0 {
		msg += fmt.Sprintf("; its first %d statements remain applied", e.Executed)
	}
	return msg + gaveUpAfter(e.Retries, e.LockWait, e.Blockage)
}

// BlockedError reports that a call without steps, such as Reset, failed because of a lock. Nothing
// has changed.
type BlockedError struct {
	Set string
	// Retries, LockWait and Blockage are those of a *MigrationError.
	Retries  int
	LockWait time.Duration
	Blockage database.Blockage
	Err      error
}

func (e *BlockedError) Error() string {
	return e.Err.Error() + gaveUpAfter(e.Retries, e.LockWait, e.Blockage)
}

func (e *BlockedError) Unwrap() error { return e.Err }

// gaveUpAfter describes the attempts that failed because of a lock, and what blocked the last.
func gaveUpAfter(retries int, wait time.Duration, b database.Blockage) (msg string) {
	if retries > 0 {
		msg = fmt.Sprintf("; tried %d times in %s", retries+1, wait.Round(time.Millisecond))
	}
	if len(b.Blockers) > 0 {
		msg += "; " + blockedBy(b)
	}
	return msg
}

// shownBlockers is the number of blockers that a message lists.
const shownBlockers = 5

// blockedBy describes what a statement waited for.
func blockedBy(b database.Blockage) string {
	msg := "it was blocked by "
	if b.Object != "" {
		msg = fmt.Sprintf("it waited for %s, blocked by ", b.Object)
	}
	var who []string
	for _, blocker := range b.Blockers[:min(len(b.Blockers), shownBlockers)] {
		text := cmp.Or(blocker.Holder.String(), "an unknown session")
		if blocker.Prepared != "" {
			text = fmt.Sprintf("the prepared transaction %q", blocker.Prepared)
		}
		who = append(who, text)
	}
	if more := len(b.Blockers) - shownBlockers; more > 0 {
		who = append(who, fmt.Sprintf("%d more", more))
	}
	msg += strings.Join(who, "; ")
	if b.Queued > 0 {
		msg += fmt.Sprintf("; queued behind it: %d", b.Queued)
	}
	return msg
}

func (e *MigrationError) Unwrap() error { return e.Err }

// SquashedError reports that a database has applied only some of the migrations that a squash
// replaces, and that the set lacks some of the others. Nothing has changed.
type SquashedError struct {
	Set      string
	Version  int64
	Name     string
	File     string
	Replaces []int64 // the versions that the squash replaces
	Lacks    []int64 // those that are not applied
	Missing  []int64 // those of them that are not in the set
}

func (e *SquashedError) Error() string {
	return fmt.Sprintf("%s: the squash %d %s of set %q replaces the versions %s, but the database lacks %s, and the files of %s are missing",
		e.File, e.Version, e.Name, e.Set, joinVersions(e.Replaces), joinVersions(e.Lacks), joinVersions(e.Missing))
}

// HistoryExistsError reports that Baseline was called for a set that already has a history. Nothing
// has changed.
type HistoryExistsError struct {
	Set          string
	Version      int64 // the newest applied version, or NilVersion
	AppliedCount int   // how many are applied
	// Last is the last history entry of the set.
	Last database.Entry
}

func (e *HistoryExistsError) Error() string {
	now := "nothing is applied at present"
	if e.Version != NilVersion {
		now = fmt.Sprintf("%d applied, the newest version is %d", e.AppliedCount, e.Version)
	}
	return fmt.Sprintf("set %q already has a history (%s)", e.Set, now)
}

func joinVersions(vs []int64) string {
	var s []string
	for _, v := range vs {
		s = append(s, fmt.Sprint(v))
	}
	return strings.Join(s, ", ")
}

// InterruptedError reports an interrupted run that can't resume: its script was edited or is
// missing, or the database can't tell whether its last statement took effect. Nothing has changed.
type InterruptedError struct {
	Set     string
	Journal database.Journal
	// Problem is the reason.
	Problem string
	// File, Pos and SQL are those of the statement in question, if there is one.
	File string
	Pos  sqltext.Position
	SQL  string
	// Edited reports that the script no longer contains statements that remain applied.
	Edited bool
	// Missing reports that the set lacks the script.
	Missing bool
	// Changes are the changes of the schema since the statement in question started.
	Changes []catalog.Change
}

func (e *InterruptedError) Error() string {
	place := ""
	if e.Pos.Line > 0 {
		place = e.Pos.String() + ": "
	}
	return place + fmt.Sprintf("%s of set %q (%s) was interrupted at statement %d of %d and can't resume: %s",
		what(e.Journal.Version, e.Journal.Name), e.Set, e.Journal.Direction, e.Journal.Done+1, e.Journal.Of, e.Problem)
}

// Resolvable reports whether Migrator.Resolve can decide the outcome.
func (e *InterruptedError) Resolvable() bool { return e.Edited || e.SQL != "" }
