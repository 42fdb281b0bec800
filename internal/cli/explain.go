package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/metadata"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/internal/durations"
	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// The exit codes. For a signal it is 128 plus the signal's number: 130 for Ctrl-C.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitPending = 3
	exitLocked  = 4
	exitRefused = 5
)

// The kinds of failures, each with its exit code.
//
//	kind               exit  meaning
//	usage              2     invalid command line or configuration, or an unknown version or setting
//	connection         1     the database can't be reached, refused the connection, or closed it
//	source             1     a problem with the folder or a file, or a script that can't run as requested
//	statement          1     a statement failed
//	conflict           1     the database has changed since the plan was made
//	tables             1     Whimbrel's own tables can't be used: hidden, altered, missing or not trusted
//	locked             4     another process is migrating, or has locked Whimbrel's tables
//	blocked            4     other sessions held a lock until the statement, and its retries, timed out
//	checksum_mismatch  5     the file of an applied migration was edited
//	out_of_order       5     a pending version is below the newest applied one
//	irreversible       5     a migration has no down script
//	frozen             5     the database is frozen
//	protected          5     the command needs the database's name, or the database is protected
//	in_use             5     objects that must remain depend on objects that a reset would drop; or
//	                         clients are connected to a database that would be dropped
//	output             1     the file that --out names could not be written
//	schema_file        1     the schema file could not be written; everything else succeeded
//	not_empty          5     load for a database that has objects or applied migrations
//	squashed           5     the database has only some of the versions of a squash, and their files are gone
//	history            5     baseline for a set that already has a history
//	unresolved         5     an interrupted migration needs a decision
//	unrecorded         5     up in a database that another tool or a person has made, without a history of ours
//	not_adopted        5     the history of another tool does not match the files
//	queue              5     the job queue can't work in the database, or its tables don't fit
//	backfill           1     a backfill failed, so that its other rows are not changed
//	unfinished         5     a backfill is not done: it was stopped, or a migration comes after it
//	interrupted        128+  a signal ended the command
const (
	kindUsage       render.Kind = "usage"
	kindConnection  render.Kind = "connection"
	kindOutput      render.Kind = "output"
	kindSource      render.Kind = "source"
	kindStatement   render.Kind = "statement"
	kindConflict    render.Kind = "conflict"
	kindTables      render.Kind = "tables"
	kindLocked      render.Kind = "locked"
	kindBlocked     render.Kind = "blocked"
	kindChecksum    render.Kind = "checksum_mismatch"
	kindOrder       render.Kind = "out_of_order"
	kindNoDown      render.Kind = "irreversible"
	kindFrozen      render.Kind = "frozen"
	kindProtected   render.Kind = "protected"
	kindInUse       render.Kind = "in_use"
	kindSchemaFile  render.Kind = "schema_file"
	kindNotEmpty    render.Kind = "not_empty"
	kindSquashed    render.Kind = "squashed"
	kindHistory     render.Kind = "history"
	kindUnresolved  render.Kind = "unresolved"
	kindInterrupted render.Kind = "interrupted"
	kindUnrecorded  render.Kind = "unrecorded"
	kindRefused     render.Kind = "not_adopted"
	kindQueue       render.Kind = "queue"
	kindBackfill    render.Kind = "backfill"
	kindUnfinished  render.Kind = "unfinished"
)

func exitCode(k render.Kind) int {
	switch k {
	case kindUsage:
		return exitUsage
	case kindLocked, kindBlocked:
		return exitLocked
	case kindChecksum, kindOrder, kindNoDown, kindFrozen, kindSquashed, kindHistory, kindUnresolved, kindProtected, kindInUse, kindNotEmpty, kindUnrecorded, kindRefused, kindQueue, kindUnfinished:
		return exitRefused
	}
	return exitFailed
}

// openError reports a database that can't be opened.
type openError struct{ error }

func (e *openError) Unwrap() error { return e.error }

// folderError reports a folder that can't be read.
type folderError struct {
	dir  string
	err  error
	next string // what to do if the folder does not exist; "" for a folder of migrations
}

// outputError reports a file named by --out that can't be written.
type outputError struct {
	file string
	err  error
}

func (e *outputError) Error() string { return fmt.Sprintf("can't write %s: %v", shown(e.file), e.err) }
func (e *outputError) Unwrap() error { return e.err }

func (e *folderError) Error() string { return e.err.Error() }
func (e *folderError) Unwrap() error { return e.err }

// explain converts an error into a failure with explain and the digits of the set's versions. An
// invalid URL has its place in the configuration file.
func (a *app) explain(ctx context.Context, err error) (*render.Failure, int) {
	f, code := explain(ctx, err, a.print().Digits())
	if e, ok := asType[*database.URLError](err); ok && a.inConfig != nil && e.URL == a.target {
		f.File, f.Line, f.Column = a.inConfig.file, a.inConfig.line, a.inConfig.column
	}
	return f, code
}

// explain converts an error into a failure: its kind, its position, and what to do. It also returns
// the exit code.
func explain(ctx context.Context, err error, digits render.Digits) (*render.Failure, int) {
	f := &render.Failure{Message: err.Error(), Kind: kindConnection, Digits: digits}
	explainMigration(f, err)
	applyRule(rules(), f, err)
	if i, ok := bySignal(ctx); ok {
		f = &render.Failure{
			Kind: kindInterrupted, Message: i.Error(), Digits: digits,
			Version: f.Version, Name: f.Name, Direction: f.Direction, ExecutedStatements: f.ExecutedStatements, Journal: f.Journal, Leftover: f.Leftover,
			Retries: f.Retries, LockWait: f.LockWait, Blockage: f.Blockage, Backfill: f.Backfill,
		}
		if f.Backfill != nil {
			interruptedBackfill(f, err)
			return f, i.code()
		}
		if f.Direction != "" || f.Version != nil {
			f.Message += " during " + which(f)
			f.Detail = "the statement was cancelled on the server"
			if forALock(err) {
				f.Retries = max(f.Retries-1, 0) // the next attempt has not begun
				f.Detail = "no statement was running: it was blocked before, and waited for the next attempt"
			}
		}
		if f.Journal == nil {
			f.Next = "Run the same command again to continue."
		}
		return f, i.code()
	}
	code := exitCode(f.Kind)
	f.Refused = code == exitRefused || code == exitUsage || code == exitLocked || f.Kind == kindSource
	return f, code
}

// explainMigration sets which migration failed. A rule explains the error in it.
func explainMigration(f *render.Failure, err error) {
	e, ok := asType[*whimbrel.MigrationError](err)
	if !ok {
		return
	}
	f.Name, f.Direction, f.ExecutedStatements, f.Journal, f.Leftover = e.Name, string(e.Direction), e.Executed, e.Journal, e.Leftover
	f.SetVersion(e.Version)
	setBlockage(f, e.Retries, e.LockWait, e.Blockage)
	if e.Err != nil {
		f.Message = which(f) + " failed: " + e.Err.Error()
	}
}

// rule explains an error if it applies to it.
type rule func(f *render.Failure, err error) bool

// on returns the rule for errors of a type. The failure has the error's text as its message, unless
// explain sets another. explain may be nil.
func on[E error](kind render.Kind, explain func(f *render.Failure, e E)) rule {
	return func(f *render.Failure, err error) bool {
		e, ok := asType[E](err)
		if !ok {
			return false
		}
		f.Kind = kind
		if explain != nil {
			explain(f, e)
		}
		return true
	}
}

// own is on for errors whose own text, without that of the errors around them, is the message.
func own[E error](kind render.Kind, explain func(f *render.Failure, e E)) rule {
	return on(kind, func(f *render.Failure, e E) {
		f.Message = e.Error()
		explain(f, e)
	})
}

// is returns the rule for a certain error.
func is(target error, kind render.Kind, explain func(f *render.Failure, err error)) rule {
	return func(f *render.Failure, err error) bool {
		if !errors.Is(err, target) {
			return false
		}
		f.Kind = kind
		explain(f, err)
		return true
	}
}

// advice returns an explanation that only says what to do.
func advice[E error](next string) func(*render.Failure, E) {
	return func(f *render.Failure, _ E) { f.Next = next }
}

const (
	seeApplied = `"whimbrel status" shows what is applied.`
)

// rules returns all rules. The first one that applies explains an error, so the rules for what
// matters most to the user come first.
func rules() []rule {
	return slices.Concat(usageRules(), backfillRules(), adoptRules(), serverRules(), interruptedRules(), scratchRules(), loadRules(), recordRules(), settingRules(), lockRules(), statementRules(), scriptRules(), otherRules())
}

func applyRule(rules []rule, f *render.Failure, err error) {
	for _, r := range rules {
		if r(f, err) {
			return
		}
	}
}

func usageRules() []rule {
	return []rule{
		on(kindUsage, func(f *render.Failure, e *usageError) {
			f.File, f.Line, f.Column, f.Next = e.file, e.line, e.column, e.hint
		}),
		on(kindUsage, func(f *render.Failure, e *database.URLError) { f.Next = urlHint(e) }),
		own(kindQueue, func(f *render.Failure, e *AdvisedError) { f.Next = e.Do }),
		on(kindUsage, func(f *render.Failure, e *database.SettingError) {
			var names []string
			for _, s := range database.DeclaredSettings() {
				names = append(names, s.Name)
			}
			if best := nearest(e.Name, names); best != "" && best != e.Name {
				f.Next = "Did you mean " + best + "?"
			}
		}),
		on(kindUsage, explainUnknownVersion),
		on(kindUsage, func(f *render.Failure, e *whimbrel.TooFewAppliedError) {
			f.Message = fmt.Sprintf("can't roll back %s: %s applied", render.Count(e.Asked, "migration"), onlyCount(e.AppliedCount))
			f.Next = seeApplied
		}),
		on(kindUsage, func(f *render.Failure, e *whimbrel.NotAppliedError) {
			f.Version, f.Next = &e.Version, seeApplied
			f.Message = fmt.Sprintf("version %s of set %q is not applied", f.Label(e.Version), e.Set)
		}),
		on(kindUsage, func(f *render.Failure, e *whimbrel.AlreadyAppliedError) {
			f.Version, f.Next = &e.Version, seeApplied
			f.Message = fmt.Sprintf("version %s of set %q is already applied", f.Label(e.Version), e.Set)
		}),
		on(kindUsage, advice[*metadata.RulesError](`See "whimbrel metadata check --help".`)),
	}
}

func explainUnknownVersion(f *render.Failure, e *whimbrel.UnknownVersionError) {
	f.Version = &e.Version
	if e.Redo {
		f.Message = fmt.Sprintf("version %s can't be applied again: set %q lacks it", f.Label(e.Version), e.Set)
		f.Next = "Restore its file, or roll it back with \"whimbrel down\"."
		return
	}
	f.Message = fmt.Sprintf("there is no version %s in set %q%s", f.Label(e.Version), e.Set, near(f, e))
	f.Next = `"whimbrel status" lists the versions.`
	if f.Digits == render.Dotted && e.Version < 1_000_000_000 { // written without a dot
		f.Message = fmt.Sprintf("there is no version %d in set %q", e.Version, e.Set)
		f.Next = fmt.Sprintf(`The versions of this folder have dots: write %d.0. "whimbrel status" lists them.`, e.Version)
		return
	}
	if e.Below == whimbrel.NilVersion && e.Above != whimbrel.NilVersion {
		f.Next += ` To roll back everything, run "whimbrel down --all".`
	}
}

// near names the existing versions next to an unknown one.
func near(f *render.Failure, e *whimbrel.UnknownVersionError) string {
	switch below, above := e.Below, e.Above; {
	case below != whimbrel.NilVersion && above != whimbrel.NilVersion:
		return fmt.Sprintf("; the nearest are %s and %s", f.Label(below), f.Label(above))
	case max(below, above) != whimbrel.NilVersion:
		return "; the nearest is " + f.Label(max(below, above))
	}
	return ""
}

func onlyCount(n int) string {
	switch n {
	case 0:
		return "none is"
	case 1:
		return "only 1 is"
	}
	return fmt.Sprintf("only %d are", n)
}

var (
	schemeless  = lazyregexp.New(`^([A-Za-z]:[\\/]|[^:]*$)`)
	keywordForm = lazyregexp.New(`(^|\s)(host|hostaddr|port|user|dbname|password)\s*=`)
)

// urlHint returns advice on common mistakes: a file path or libpq keywords in place of a URL.
func urlHint(e *database.URLError) string {
	hidden := strings.Contains(e.URL, "…") // parts of it
	switch {
	case keywordForm.MatchString(e.URL) && !strings.Contains(e.URL, ":"):
		return "Write it as a URL: postgres://user:password@host:port/name"
	case strings.TrimSpace(e.URL) != "" && !hidden && schemeless.MatchString(e.URL):
		return fmt.Sprintf("For a SQLite file, use sqlite:%s", e.URL)
	case e.NoDriver:
		return `"whimbrel drivers" lists the schemes.`
	case !hidden && lacksDatabase(e.URL):
		return "Add the name of the database to the URL, or set " + envDatabaseName + "."
	}
	return ""
}

// serverRules handle a COMMIT with an unknown outcome, also if a later error prevented Whimbrel
// from checking it, and servers that can't be migrated.
func serverRules() []rule {
	return []rule{
		own(kindConnection, func(f *render.Failure, _ *database.CommitUnknownError) {
			f.Unknown, f.Next = true, "Run the same command again: it checks the history and does what is not done yet."
		}),
		own(kindConnection, advice[*database.StandbyError]("Name the primary in the URL, or list several hosts: Whimbrel selects the primary.")),
		own(kindConnection, advice[*database.OtherServerError]("Name one host in the URL, or have the URL select the primary.")),
	}
}

// recordRules handle files, squashes and baselines that don't fit the history.
func recordRules() []rule {
	return []rule{
		on(kindSquashed, func(f *render.Failure, e *whimbrel.SquashedError) {
			f.Version, f.Name, f.File, f.Versions = &e.Version, e.Name, e.File, e.Lacks
			f.Message = fmt.Sprintf("the database has only some of the versions that this squash replaces: it lacks %s, and the files of %s are missing", f.Labels(e.Lacks), f.Labels(e.Missing))
			f.Next = fmt.Sprintf("Restore these files, or migrate the database to version %s with an older build. Then run the command again.", f.Label(e.Version))
		}),
		on(kindHistory, func(f *render.Failure, e *whimbrel.HistoryExistsError) {
			f.Entry = render.Pointer(render.NewEntry(e.Last))
			now := "nothing is applied at present"
			if e.Version != whimbrel.NilVersion {
				now = fmt.Sprintf("%d applied, the newest version is %s", e.AppliedCount, f.Label(e.Version))
			}
			f.Message = fmt.Sprintf("set %q already has a history: %s", e.Set, now)
			f.Next = `Use baseline only for a set without a history. To correct this history, add --force --reason "…"`
		}),
		on(kindChecksum, func(f *render.Failure, e *whimbrel.ChecksumMismatchError) {
			f.Version, f.Name, f.File = &e.Version, e.Name, e.File
			f.Stored, f.Expected, f.Diff, f.OnlyBlank = e.Stored.String(), e.Expected.String(), e.Diff, e.OnlyBlank
			f.Versions = append([]int64{e.Version}, e.Others...)
			f.Message = which(f) + " was edited after it was applied"
			if n := len(e.Others); n > 0 {
				f.Message += fmt.Sprintf(", and so %s %s", plural(n, "was", "were"), f.Labels(e.Others))
			}
			redo, accept := "whimbrel redo", "whimbrel accept"
			if e.Newest > 1 {
				redo += fmt.Sprintf(" --steps %d", e.Newest)
			}
			for _, v := range f.Versions {
				accept += " " + f.Label(v)
			}
			f.Next = fmt.Sprintf(`Restore the file and make the change in a new migration. If no other database has it yet, run %q, which rolls back and applies the present files. If the database already has the change, run: %s --reason "…"`, redo, accept)
		}),
		on(kindOrder, func(f *render.Failure, e *whimbrel.OutOfOrderError) {
			var names []string
			for _, m := range e.Migrations {
				f.Versions = append(f.Versions, m.Version)
				names = append(names, f.Label(m.Version)+" "+m.Name)
			}
			f.Version, f.File = &f.Versions[0], e.Migrations[0].Up.File
			f.Message = fmt.Sprintf("%s %s %s pending below the newest applied version %s", plural(len(names), "migration", "migrations"), strings.Join(names, ", "), plural(len(names), "is", "are"), f.Label(e.Newest))
			f.Next = fmt.Sprintf(`Run "whimbrel renumber" to give it the next version, or add --allow-out-of-order to apply it anyway. If the database already has its changes, run "whimbrel mark %s".`, f.Label(f.Versions[0]))
		}),
		on(kindNoDown, func(f *render.Failure, e *whimbrel.IrreversibleError) {
			f.Version, f.Name = &e.Version, e.Name
			if e.Interrupted {
				f.Next = fmt.Sprintf(`It was interrupted. Run "whimbrel up" to complete it; or undo its statements, then run "whimbrel abandon %s --undone".`, f.Label(e.Version))
				return
			}
			f.Next = fmt.Sprintf(`Write a down script for it, or undo the change in a new migration. If the database has already lost its changes, run "whimbrel forget %s".`, f.Label(e.Version))
			why := "it has no down script"
			switch {
			case e.TextNotKept:
				why = "this build lacks its down script, which was too large for the history"
				f.Next = "Use a build that has its down script."
			case e.Baseline:
				why = "the database started from it as a baseline"
				f.Next = "Undo the change in a new migration."
			}
			f.Message = fmt.Sprintf("%s of set %q can't be rolled back: %s", which(f), e.Set, why)
		}),
	}
}

// settingRules handle what the settings of the database forbid, and own tables that can't be used.
func settingRules() []rule {
	return []rule{
		on(kindFrozen, func(f *render.Failure, e *whimbrel.FrozenError) {
			f.Reason, f.By, f.Since, f.Until = e.Reason, e.By, render.NewInstant(e.Since), render.NewInstant(e.Until)
			f.Next = `To allow migrations again, run "whimbrel thaw".`
		}),
		on(kindProtected, func(f *render.Failure, e *whimbrel.ProtectedError) {
			f.Reason, f.By, f.Since, f.Database = e.Reason, e.By, render.NewInstant(e.Since), e.Database
			f.Next = "To confirm, add --yes " + e.Database
		}),
		on(kindProtected, func(f *render.Failure, e *whimbrel.ConfirmError) {
			f.Database, f.Next = e.Database, "To confirm, add --yes "+e.Database
		}),
		on(kindInUse, func(f *render.Failure, e *database.OccupiedError) {
			f.Next = "Close their connections, or add --force to end their sessions."
		}),
		on[*database.ServerDatabaseError](kindInUse, nil),
		on(kindInUse, func(f *render.Failure, e *database.InUseError) {
			f.Message = "can't reset: objects that Whimbrel must not drop depend on objects that it would drop; nothing was changed"
			var uses []string
			for _, u := range e.Uses {
				uses = append(uses, u.By.String()+" depends on "+u.Of.String())
			}
			f.Detail, f.Next = strings.Join(uses, "\n"), "Drop the dependent objects, or have their owner drop them, then run the command again."
		}),
		on(kindTables, explainTables),
	}
}

func explainTables(f *render.Failure, e *database.TablesError) {
	f.Message, f.Next = e.Msg, sentence(e.Hint)
	if said, ok := asType[*database.StatementError](e.Err); ok {
		f.SQLState = said.Code
	}
	if e.Fix != "" {
		f.Next = strings.TrimSuffix(f.Next, ".") + ":\n" + strings.ReplaceAll(e.Fix, "; GRANT ", ";\nGRANT ") + ";"
	}
	switch e.Problem {
	case database.TablesEmpty:
		f.Next = `Restore its rows. If the dump had none on purpose, record what the schema has: run "whimbrel baseline VERSION" or, if another tool has migrated the database, "whimbrel adopt".`
	case database.TablesSeveral:
		f.Next = "Select one with --schema " + e.Schemas[0] + " (or schema in " + configName + ")."
	case database.TablesUntrusted:
		f.Next = fmt.Sprintf("Connect as %q. If you trust that role, add --tables-owner %s (or tables_owner in %s). To keep a separate history in another schema, add --schema NAME.", e.Owner, e.Owner, configName)
	}
}

// lockRules handle a lock that another process holds, and the loss of the lock, of which the server
// reports only that the statement was cancelled.
func lockRules() []rule {
	return []rule{
		own(kindLocked, func(f *render.Failure, e *database.UnsettledError) {
			f.Holder, f.Waited = render.NewHolder(e.Holder), render.Pointer(render.Millis(e.Waited))
			f.Next = "Run the command again to wait for it" + waitLonger(e.Waited)
		}),
		own(kindLocked, func(f *render.Failure, e *database.LockedError) {
			f.Holder, f.Waited = render.NewHolder(e.Holder), render.Pointer(render.Millis(e.Waited))
			f.Next = "Run the command again later" + waitLonger(e.Waited)
			if e.What == "" && e.Set == migration.ReservedSet { // changing a setting failed
				f.Message = "the setting was not changed: another process is migrating or writing to the database; waited " + e.Waited.Round(time.Millisecond).String()
			}
		}),
		is(database.ErrFenced, kindConflict, func(f *render.Failure, err error) {
			taken := "the run"
			if f.Name != "" || f.Version != nil {
				taken = which(f)
			}
			f.Message = "this process lost the migration lock, and another process has taken over " + taken
			f.Next = `The other process continues. "whimbrel status" shows its progress.`
			setStatement(f, err)
		}),
		func(f *render.Failure, err error) bool {
			lost, ok := asType[*database.LockLostError](err)
			if ok {
				f.Message = fmt.Sprintf("lost the connection that holds the migration lock of set %q: %v", lost.Set, lost.Err)
				f.Kind, f.Detail = kindConnection, "the statement was cancelled"
				setStatement(f, err)
			}
			return ok
		},
	}
}

// waitLonger ends advice with a --migration-lock-timeout that is clearly longer than what the
// command waited, if there is a sensible one.
func waitLonger(waited time.Duration) string {
	for _, longer := range []string{"5m", "30m", "2h"} {
		if d, err := durations.Parse(longer); err == nil && d >= 2*waited {
			return "; to wait longer, add --migration-lock-timeout " + longer + "."
		}
	}
	return "."
}

// setStatement sets the position of the statement that failed, if it is known.
func setStatement(f *render.Failure, err error) {
	if e, ok := asType[*database.StatementError](err); ok {
		setPlace(f, e.Pos)
	}
}

func statementRules() []rule {
	return []rule{
		explainBlocked,
		on(kindStatement, func(f *render.Failure, e *database.StatementError) {
			f.Message, f.SQLState, f.Detail, f.Hint, f.Excerpt = e.Message, e.Code, e.Detail, e.Hint, e.Excerpt
			setPlace(f, e.Pos)
			switch {
			case errors.Is(e, database.ErrReadOnly):
				f.Next = "To change the database, add --write. The statement is then recorded in the history."
			default:
				f.Next = adviceFor(e)
			}
			if e.OwnHint && f.Next != "" { // the advice says the same, more exactly
				f.Hint = ""
			}
		}),
		on(kindSource, func(f *render.Failure, all metadata.Errors) {
			explainFact(f, all[0])
			if len(all) > 1 {
				for _, p := range all {
					f.Problems = append(f.Problems, render.Problem{Message: p.Msg, File: p.File, Line: p.Line, Column: p.Column})
				}
			}
		}),
		on(kindSource, explainFact),
	}
}

const brokeOff = "The connection broke. Wait until the server accepts connections, then " + runAgain + "."

// brokenOff reports whether a statement failed because its connection broke.
func brokenOff(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// explainFact handles errors in metadata files.
func explainFact(f *render.Failure, e *metadata.Error) {
	f.Message, f.File, f.Line, f.Column = e.Msg, e.File, e.Line, e.Column
	if f.Direction == "" {
		f.Next = nothingChanged
	}
}

// scriptRules handle folders and scripts that can't run.
func scriptRules() []rule {
	return []rule{
		explainEmpty(),
		on(kindSource, explainFolder),
		on(kindSource, explainScripts),
		on(kindSource, func(f *render.Failure, e *source.Error) {
			f.Message, f.File, f.Line, f.Column = e.Msg, e.File, e.Line, e.Column
			if e.ReadsAs != source.Auto {
				f.Next = fmt.Sprintf("If this is a %s folder, where such a script does nothing, add --format %s.", e.ReadsAs, e.ReadsAs)
			}
		}),
		on(kindSource, func(f *render.Failure, e *sqltext.Error) {
			f.Message = e.Msg
			setPlace(f, e.Pos)
		}),
		on(kindSource, func(f *render.Failure, e *whimbrel.AtomicError) {
			f.Name, f.File = e.Step.Name, e.Step.Script.File
			f.SetVersion(e.Step.Version)
			f.Message = fmt.Sprintf("%s can't share one transaction with the others: %s", which(f), e.Why)
			f.Next = "To apply each migration in its own transaction, add --atomic=false."
		}),
		is(migration.ErrChanged, kindSource, func(f *render.Failure, _ error) { f.Next = "Run the command again." }),
	}
}

func explainScripts(f *render.Failure, all *whimbrel.ScriptsError) {
	f.MoreProblems = max(0, len(all.Problems)-source.ShownProblems)
	for i, p := range all.Problems[:len(all.Problems)-f.MoreProblems] {
		one := &render.Failure{Message: p.Error(), Digits: f.Digits}
		applyRule(scriptRules(), one, p)
		f.Problems = append(f.Problems, render.Problem{Message: one.Message, File: one.File, Line: one.Line, Column: one.Column})
		f.Next = cmp.Or(f.Next, one.Next)
		if i == 0 {
			f.Message, f.File, f.Line, f.Column = one.Message, one.File, one.Line, one.Column
		}
	}
}

// notWritten describes an error of the operating system on writing a folder. It returns "" for any
// other error, such as one that is around it and says more.
func notWritten(err error) string {
	switch err := err.(type) { //nolint:errorlint // see above
	case *os.LinkError:
		return fmt.Sprintf("can't %s %s to %s: %v", err.Op, shown(err.Old), shown(err.New), err.Err)
	case *fs.PathError:
		doing := map[string]string{"open": "open or create", "mkdir": "create the folder"}
		return fmt.Sprintf("can't %s %s: %v", cmp.Or(doing[err.Op], "use"), shown(err.Path), err.Err)
	}
	return ""
}

func explainFolder(f *render.Failure, dir *folderError) {
	all, isAll := asType[*source.FolderError](dir)
	one, isOne := asType[*source.Error](dir)
	switch {
	case errors.Is(dir, fs.ErrNotExist) && (!isOne || one.File == dir.dir):
		f.Message = fmt.Sprintf("the folder %s does not exist", dir.dir)
		if here, err := filepath.Abs("."); err == nil && !filepath.IsAbs(dir.dir) {
			f.Message += " in " + shown(here)
		}
		f.Next = cmp.Or(dir.next, otherFolder(dir.dir), `Pass the folder with --dir, or create the first migration with "whimbrel new NAME".`)
	case isAll && len(all.Problems) > 1:
		for _, p := range all.Problems[:min(len(all.Problems), source.ShownProblems)] {
			f.Problems = append(f.Problems, render.Problem{Message: p.Msg, File: p.File, Line: p.Line, Column: p.Column})
		}
		f.MoreProblems = len(all.Problems) - len(f.Problems)
		first := all.Problems[0]
		f.Message, f.File, f.Line, f.Column = first.Msg, first.File, first.Line, first.Column
	case isOne:
		f.Message, f.File, f.Line, f.Column = one.Msg, one.File, one.Line, one.Column
	default:
		f.Message = cmp.Or(notWritten(dir.err), f.Message)
	}
	if errors.As(dir, new(*source.AmbiguousError)) {
		f.Next = "Select the format with --format, or move the other files away."
	}
	if missing, ok := asType[*source.PlaceholderError](dir); ok {
		f.Next = fmt.Sprintf("Pass the value with --placeholder %s=VALUE or in whimbrel.yaml. If ${…} is text, add --no-placeholders.", shellWord("placeholder", missing.Name))
	}
	if errors.As(dir, new(*migration.DuplicateError)) {
		f.Next = `Run "whimbrel renumber" to give one of them the next version.`
	}
	if isAll && all.ReadsAs != source.Auto {
		f.Next = fmt.Sprintf("As a %s folder it has no problem: add --format %s", all.ReadsAs, all.ReadsAs)
		if n := len(all.PassedOver); n > 0 {
			f.Next += fmt.Sprintf(" (it ignores %s, such as %s)", render.Count(n, "file"), all.PassedOver[0])
		}
		f.Next += "."
	}
}

// otherRules handle outputs, connections, and changes by other processes.
func otherRules() []rule {
	return []rule{
		on[*outputError](kindOutput, nil),
		on(kindConnection, func(f *render.Failure, e *notReadyError) {
			f.Message = e.err.Error()
			explainConnect(f, e.err)
			f.Message = e.begin() + ": " + f.Message
			if !e.refused() {
				f.Next = strings.TrimSpace(f.Next + " To wait longer, add --timeout 5m.")
			}
		}),
		explainConnect,
		on[*openError](kindConnection, nil),
		on(kindConflict, func(f *render.Failure, e *whimbrel.ConflictError) {
			f.Version, f.Message = &e.Version, "version "+f.Label(e.Version)+" "+e.Problem
			if e.Script != "" {
				f.Version, f.Name = nil, e.Script
				f.Message = fmt.Sprintf("script %q %s", e.Script, e.Problem)
			}
			if e.Entry.ID != 0 {
				f.Entry = render.Pointer(render.NewEntry(e.Entry))
			}
			f.Next = `Check "whimbrel status", then run the command again.`
		}),
		on(kindConflict, advice[*database.TablesNewerError]("Use a newer version of whimbrel.")),
		func(f *render.Failure, err error) bool {
			broken := brokenOff(err) && !errors.Is(err, context.DeadlineExceeded)
			if broken {
				f.Message, f.Next = "lost the connection to the database: "+f.Message, brokeOff
			}
			return broken
		},
	}
}

// relabelled formats the number of a version in a text of the library as the set's files have it.
func relabelled(f *render.Failure, text string, version int64) string {
	for _, word := range []string{"migration", "version"} {
		text = strings.ReplaceAll(text, fmt.Sprintf("%s %d ", word, version), word+" "+f.Label(version)+" ")
	}
	return text
}

// which names the migration of a failure, or the script if it has no version.
func which(f *render.Failure) string {
	if f.Version == nil {
		return fmt.Sprintf("script %q", f.Name)
	}
	return "migration " + f.Label(*f.Version) + " " + f.Name
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

func setPlace(f *render.Failure, p sqltext.Position) {
	f.File, f.Line, f.Column = p.File, p.Line, p.Column
}

// sentence adds a capital letter and a full stop.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.ContainsAny(s[len(s)-1:], ".?!") {
		s += "."
	}
	return s
}

// explainConnect is the rule for a database that can't be reached.
func explainConnect(f *render.Failure, err error) bool {
	return on(kindConnection, func(f *render.Failure, e *database.ConnectError) {
		f.Message = fmt.Sprintf("can't connect to %s: %v", e.Target, e.Err)
		f.SQLState, f.Next = e.Code, sentence(e.Hint)
		if e.NoDatabase {
			f.Next = `Create it with "whimbrel create", or check its name.`
		}
	})(f, err)
}
