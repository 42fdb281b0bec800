package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/cli/render"
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
//	checksum_mismatch  5     the file of an applied migration was edited
//	out_of_order       5     a pending version is below the newest applied one
//	irreversible       5     a migration has no down script
//	frozen             5     the database is frozen
//	protected          5     the command needs the database's name, or the database is protected
//	in_use             5     objects that must remain depend on objects that a reset would drop
//	output             1     the file that --out names could not be written
//	squashed           5     the database has only some of the versions of a squash, and their files are gone
//	history            5     baseline for a set that already has a history
//	unresolved         5     an interrupted migration needs a decision
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
	kindChecksum    render.Kind = "checksum_mismatch"
	kindOrder       render.Kind = "out_of_order"
	kindNoDown      render.Kind = "irreversible"
	kindFrozen      render.Kind = "frozen"
	kindProtected   render.Kind = "protected"
	kindInUse       render.Kind = "in_use"
	kindSquashed    render.Kind = "squashed"
	kindHistory     render.Kind = "history"
	kindUnresolved  render.Kind = "unresolved"
	kindInterrupted render.Kind = "interrupted"
)

func exitCode(k render.Kind) int {
	switch k {
	case kindUsage:
		return exitUsage
	case kindLocked:
		return exitLocked
	case kindChecksum, kindOrder, kindNoDown, kindFrozen, kindSquashed, kindHistory, kindUnresolved, kindProtected, kindInUse:
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

// explain converts an error into a failure: its kind, its position, and what to do. It also returns the
// exit code.
func explain(ctx context.Context, err error) (*render.Failure, int) {
	f := &render.Failure{Message: err.Error()}
	explainMigration(f, err)
	for _, explain := range []func(*render.Failure, error) bool{
		explainUsage, explainServer, explainInterrupted, explainScratch, explainRecords, explainRule, explainReset,
		explainTables, explainLock, explainLost, explainStatement, explainMetadata, explainScript, explainFolder,
		explainOutput, explainOpen, explainDatabase,
	} {
		if explain(f, err) {
			break
		}
	}
	if i, ok := bySignal(ctx); ok {
		f = &render.Failure{
			Kind: kindInterrupted, Message: i.Error(),
			Version: f.Version, Name: f.Name, Direction: f.Direction, ExecutedStatements: f.ExecutedStatements, Journal: f.Journal,
		}
		if f.Direction != "" || f.Version != nil {
			f.Message += " during " + which(f)
			f.Detail = "the statement was cancelled on the server"
		}
		if f.Journal == nil {
			f.Next = "Run the same command again to continue."
		}
		return f, i.code()
	}
	return f, exitCode(f.Kind)
}

// explainMigration sets which migration failed. Another function explains the error in it.
func explainMigration(f *render.Failure, err error) {
	var e *whimbrel.MigrationError
	if errors.As(err, &e) {
		f.Name, f.Direction, f.ExecutedStatements, f.Journal = e.Name, string(e.Direction), e.Executed, e.Journal
		if e.Version != whimbrel.NilVersion {
			f.Version = &e.Version
		}
		if e.Err != nil {
			f.Message = which(f) + " failed: " + e.Err.Error()
		}
	}
}

func explainUsage(f *render.Failure, err error) bool {
	var (
		u       *usageError
		url     *database.URLError
		setting *database.SettingError
		unknown *whimbrel.UnknownVersionError
		steps   *whimbrel.TooFewAppliedError
		not     *whimbrel.NotAppliedError
		already *whimbrel.AlreadyAppliedError
	)
	switch {
	case errors.As(err, &u):
		f.File, f.Line, f.Column, f.Next = u.file, u.line, u.column, u.hint
	case errors.As(err, &url):
		f.Next = urlHint(url)
	case errors.As(err, &setting):
	case errors.As(err, &unknown) && unknown.Redo:
		f.Version, f.Next = &unknown.Version, "Restore its file, or roll it back with \"whimbrel down\"."
	case errors.As(err, &unknown):
		f.Message = fmt.Sprintf("there is no version %d in set %q%s", unknown.Version, unknown.Set, near(unknown))
		f.Version, f.Next = &unknown.Version, `"whimbrel status" lists the versions.`
		if unknown.Below == whimbrel.NilVersion && unknown.Above != whimbrel.NilVersion {
			f.Next += ` To roll back everything, run "whimbrel down --all".`
		}
	case errors.As(err, &steps):
		f.Message = fmt.Sprintf("can't roll back %s: %s applied", migrations(steps.Asked), onlyCount(steps.AppliedCount))
		f.Next = `"whimbrel status" shows what is applied.`
	case errors.As(err, &not):
		f.Version, f.Next = &not.Version, `"whimbrel status" shows what is applied.`
	case errors.As(err, &already):
		f.Version, f.Next = &already.Version, `"whimbrel status" shows what is applied.`
	default:
		return false
	}
	f.Kind = kindUsage
	return true
}

// near names the existing versions next to an unknown one.
func near(e *whimbrel.UnknownVersionError) string {
	switch below, above := e.Below, e.Above; {
	case below != whimbrel.NilVersion && above != whimbrel.NilVersion:
		return fmt.Sprintf("; the nearest are %d and %d", below, above)
	case max(below, above) != whimbrel.NilVersion:
		return fmt.Sprintf("; the nearest is %d", max(below, above))
	}
	return ""
}

func migrations(n int) string { return fmt.Sprintf("%d %s", n, plural(n, "migration", "migrations")) }

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
	schemeless  = regexp.MustCompile(`^([A-Za-z]:[\\/]|[^:]*$)`)
	keywordForm = regexp.MustCompile(`(^|\s)(host|hostaddr|port|user|dbname|password)\s*=`)
)

// urlHint returns advice on common mistakes: a file path or libpq keywords in place of a URL.
func urlHint(e *database.URLError) string {
	switch {
	case keywordForm.MatchString(e.URL) && !strings.Contains(e.URL, ":"):
		return "Write it as a URL: postgres://user:password@host:port/name"
	case strings.TrimSpace(e.URL) != "" && !strings.Contains(e.URL, "…") && schemeless.MatchString(e.URL):
		return fmt.Sprintf("For a SQLite file, use sqlite:%s", e.URL)
	case e.NoDriver:
		return `"whimbrel drivers" lists the schemes.`
	}
	return ""
}

// explainRule handles what Whimbrel refuses because of a rule or a setting.
func explainRule(f *render.Failure, err error) bool {
	var (
		sum   *whimbrel.ChecksumMismatchError
		order *whimbrel.OutOfOrderError
		down  *whimbrel.IrreversibleError
		mode  *whimbrel.FrozenError
		prot  *whimbrel.ProtectedError
	)
	switch {
	case errors.As(err, &sum):
		explainMismatch(f, sum)
	case errors.As(err, &order):
		f.Kind = kindOrder
		var names []string
		for _, m := range order.Migrations {
			f.Versions = append(f.Versions, m.Version)
			names = append(names, m.String())
		}
		f.Version, f.File = &f.Versions[0], order.Migrations[0].Up.File
		f.Message = fmt.Sprintf("%s pending below the newest applied version %d", isAre(names), order.Newest)
		f.Next = fmt.Sprintf(`Give it a version above %d, or add --allow-out-of-order to apply it anyway. If the database already has its changes, run "whimbrel mark %d".`, order.Newest, f.Versions[0])
	case errors.As(err, &down):
		f.Kind, f.Version, f.Name = kindNoDown, &down.Version, down.Name
		f.Next = fmt.Sprintf(`Write a down script for it, or undo the change in a new migration. If the database has already lost its changes, run "whimbrel forget %d".`, down.Version)
		switch {
		case down.TextNotKept:
			f.Next = "Use a build that has its down script."
		case down.Baseline:
			f.Next = "Undo the change in a new migration."
		}
	case errors.As(err, &mode):
		f.Kind, f.Reason, f.By, f.Since, f.Until = kindFrozen, mode.Reason, mode.By, render.NewInstant(mode.Since), render.NewInstant(mode.Until)
		f.Next = `To allow migrations again, run "whimbrel thaw".`
	case errors.As(err, &prot):
		f.Kind, f.Reason, f.By, f.Since = kindProtected, prot.Reason, prot.By, render.NewInstant(prot.Since)
		f.Database = prot.Database
		f.Next = "To confirm, add --confirm-protected " + prot.Database
	default:
		return false
	}
	return true
}

func isAre(names []string) string {
	if len(names) == 1 {
		return "migration " + names[0] + " is"
	}
	return "migrations " + strings.Join(names, ", ") + " are"
}

func explainMismatch(f *render.Failure, e *whimbrel.ChecksumMismatchError) {
	f.Kind, f.Version, f.Name, f.File = kindChecksum, &e.Version, e.Name, e.File
	f.Stored, f.Expected, f.Diff, f.OnlyBlank = e.Stored.String(), e.Expected.String(), e.Diff, e.OnlyBlank
	f.Versions = append([]int64{e.Version}, e.Others...)
	f.Message = fmt.Sprintf("migration %d %s was edited after it was applied", e.Version, e.Name)
	if n := len(e.Others); n > 0 {
		f.Message += fmt.Sprintf(", and so %s %s", plural(n, "was", "were"), list(e.Others))
	}
	f.Next = fmt.Sprintf(`Restore the file and make the change in a new migration. If the database already has the change, run: whimbrel accept %d --reason "…"`, e.Version)
}

// explainServer handles a COMMIT with an unknown outcome, also if a later error prevented Whimbrel from
// checking it, and servers that can't be migrated.
func explainServer(f *render.Failure, err error) bool {
	var unknown *database.CommitUnknownError
	var standby *database.StandbyError
	var other *database.OtherServerError
	switch {
	case errors.As(err, &unknown):
		f.Kind, f.Message = kindConnection, unknown.Error()
		f.Next = "Run the same command again: it checks the history and does what is not done yet."
	case errors.As(err, &standby):
		f.Kind, f.Message = kindConnection, standby.Error()
		f.Next = "Name the primary in the URL, or list several hosts: Whimbrel selects the primary."
	case errors.As(err, &other):
		f.Kind, f.Message = kindConnection, other.Error()
		f.Next = "Name one host in the URL, or have the URL select the primary."
	default:
		return false
	}
	return true
}

// explainTables handles Whimbrel's own tables that can't be used.
func explainTables(f *render.Failure, err error) bool {
	var e *database.TablesError
	if !errors.As(err, &e) {
		return false
	}
	f.Kind, f.Message, f.Next = kindTables, e.Msg, sentence(e.Hint)
	var said *database.StatementError
	if errors.As(e.Err, &said) {
		f.SQLState = said.Code
	}
	if e.Fix != "" {
		f.Next = strings.TrimSuffix(f.Next, ".") + ": " + e.Fix + ";"
	}
	switch e.Problem {
	case database.TablesSeveral:
		f.Next = "Select one with --schema " + e.Schemas[0] + " (or schema in " + configName + ")."
	case database.TablesUntrusted:
		f.Next = fmt.Sprintf("Connect as %q. If you trust that role, add --tables-owner %s (or tables_owner in %s). To keep a separate history in another schema, add --schema NAME.", e.Owner, e.Owner, configName)
	}
	return true
}

func explainLock(f *render.Failure, err error) bool {
	var unsettled *database.UnsettledError
	if errors.As(err, &unsettled) {
		f.Kind, f.Holder = kindLocked, render.NewHolder(unsettled.Holder)
		f.Waited = new(render.Millis(unsettled.Waited))
		f.Message = unsettled.Error()
		f.Next = "Run the command again to wait for it; to wait longer, add --lock-timeout 5m."
		return true
	}
	var e *database.LockedError
	if !errors.As(err, &e) {
		return false
	}
	f.Kind, f.Holder = kindLocked, render.NewHolder(e.Holder)
	f.Waited = new(render.Millis(e.Waited))
	f.Message = e.Error()
	f.Next = "Run the command again later; to wait longer, add --lock-timeout 5m."
	if e.What == "" && e.Set == migration.ReservedSet { // changing a setting failed
		f.Message = "the setting was not changed: another process is migrating or writing to the database; waited " + e.Waited.Round(time.Millisecond).String()
	}
	return true
}

// explainLost handles the loss of the migration lock. The server reports only that the statement was
// cancelled.
func explainLost(f *render.Failure, err error) bool {
	var lost *database.LockLostError
	switch {
	case errors.Is(err, database.ErrFenced):
		f.Kind, f.Message = kindConflict, "this process lost the migration lock, and another process has taken over "+cmp.Or(taken(f), "the run")
		f.Next = `The other process continues. "whimbrel status" shows its progress.`
	case errors.As(err, &lost):
		f.Kind = kindConnection
		f.Message = fmt.Sprintf("lost the connection that holds the migration lock of set %q: %v", lost.Set, lost.Err)
		f.Detail = "the statement was cancelled"
	default:
		return false
	}
	var e *database.StatementError
	if errors.As(err, &e) {
		setPlace(f, e.Pos)
	}
	return true
}

func explainStatement(f *render.Failure, err error) bool {
	var e *database.StatementError
	if !errors.As(err, &e) {
		return false
	}
	f.Kind, f.Message, f.SQLState, f.Detail, f.Hint, f.Excerpt = kindStatement, e.Message, e.Code, e.Detail, e.Hint, e.Excerpt
	setPlace(f, e.Pos)
	if errors.Is(err, database.ErrReadOnly) {
		f.Next = "To change the database, add --write. The statement is then recorded in the history."
		return true
	}
	if circumstance.MatchString(e.Code) || e.Code == "" && brokenOff(e) {
		f.Next = "Fix the cause above, then run the command again."
	}
	return true
}

// circumstance matches the error codes of failures that the statement did not cause: locks and deadlocks,
// a full disk or too little memory, a server that shuts down, a broken connection.
var circumstance = regexp.MustCompile(`^(08|40|53|57|58|55P03|25006|SQLITE_(FULL|BUSY|LOCKED|IOERR|NOMEM|INTERRUPT|READONLY))`)

// brokenOff reports whether a statement failed because its connection broke.
func brokenOff(err error) bool {
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
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

// explainScript handles scripts that can't run.
func explainScript(f *render.Failure, err error) bool {
	var (
		text   *sqltext.Error
		all    *whimbrel.ScriptsError
		atomic *whimbrel.AtomicError
		folder *folderError
		file   *source.Error
	)
	switch {
	case errors.As(err, &folder):
		return false
	case errors.As(err, &all):
		explainScripts(f, all)
	case errors.As(err, &file):
		f.Message, f.File, f.Line, f.Column = file.Msg, file.File, file.Line, file.Column
		if file.ReadsAs != source.Auto {
			f.Next = fmt.Sprintf("If this is a %s folder, where such a script does nothing, add --format %s.", file.ReadsAs, file.ReadsAs)
		}
	case errors.As(err, &text):
		f.Message = text.Msg
		setPlace(f, text.Pos)
	case errors.As(err, &atomic):
		f.Name, f.File = atomic.Step.Name, atomic.Step.Script.File
		if atomic.Step.Version != whimbrel.NilVersion {
			f.Version = &atomic.Step.Version
		}
		f.Message = fmt.Sprintf("%s can't share one transaction with the others: %s", which(f), atomic.Why)
		f.Next = "Run the command without --atomic, or apply this migration first."
	case errors.Is(err, migration.ErrChanged):
		f.Next = "Run the command again."
	default:
		return false
	}
	f.Kind = kindSource
	return true
}

// explainScripts handles several problems in scripts.
func explainScripts(f *render.Failure, all *whimbrel.ScriptsError) {
	f.MoreProblems = max(0, len(all.Problems)-source.ShownProblems)
	for i, p := range all.Problems[:len(all.Problems)-f.MoreProblems] {
		one := &render.Failure{Message: p.Error()}
		explainScript(one, p)
		f.Problems = append(f.Problems, render.Problem{Message: one.Message, File: one.File, Line: one.Line, Column: one.Column})
		f.Next = cmp.Or(f.Next, one.Next)
		if i == 0 {
			f.Message, f.File, f.Line, f.Column = one.Message, one.File, one.Line, one.Column
		}
	}
}

// explainFolder handles problems with the folder.
func explainFolder(f *render.Failure, err error) bool {
	var dir *folderError
	if !errors.As(err, &dir) {
		return false
	}
	f.Kind = kindSource
	var all *source.FolderError
	var one *source.Error
	switch {
	case errors.Is(err, fs.ErrNotExist) && (!errors.As(err, &one) || one.File == dir.dir):
		f.Message = fmt.Sprintf("the folder %s does not exist", dir.dir)
		f.Next = cmp.Or(dir.next, `Pass the folder with --dir, or create the first migration with "whimbrel new NAME".`)
	case errors.As(err, &all) && len(all.Problems) > 1:
		for _, p := range all.Problems[:min(len(all.Problems), source.ShownProblems)] {
			f.Problems = append(f.Problems, render.Problem{Message: p.Msg, File: p.File, Line: p.Line, Column: p.Column})
		}
		f.MoreProblems = len(all.Problems) - len(f.Problems)
		first := all.Problems[0]
		f.Message, f.File, f.Line, f.Column = first.Msg, first.File, first.Line, first.Column
	case errors.As(err, &one):
		f.Message, f.File, f.Line, f.Column = one.Msg, one.File, one.Line, one.Column
	}
	if errors.As(err, new(*source.AmbiguousError)) {
		f.Next = "Select the format with --format, or move the other files away."
	}
	if errors.As(err, &all) && all.ReadsAs != source.Auto {
		f.Next = fmt.Sprintf("As a %s folder it has no problem: add --format %s", all.ReadsAs, all.ReadsAs)
		if n := len(all.PassedOver); n > 0 {
			f.Next += fmt.Sprintf(" (it ignores %d %s, such as %s)", n, plural(n, "file", "files"), all.PassedOver[0])
		}
		f.Next += "."
	}
	return true
}

// explainOutput handles a file that can't be written.
func explainOutput(f *render.Failure, err error) bool {
	var out *outputError
	if !errors.As(err, &out) {
		return false
	}
	f.Kind = kindOutput
	return true
}

// explainOpen handles a database that can't be opened.
func explainOpen(f *render.Failure, err error) bool {
	var open *openError
	var conn *database.ConnectError
	isConn := errors.As(err, &conn)
	if !isConn && !errors.As(err, &open) {
		return false
	}
	f.Kind = kindConnection
	if isConn {
		f.Message = fmt.Sprintf("can't connect to %s: %v", conn.Target, conn.Err)
		f.SQLState, f.Next = conn.Code, sentence(conn.Hint)
	}
	return true
}

// explainDatabase handles all other errors: those of the database and its connection.
func explainDatabase(f *render.Failure, err error) bool {
	var (
		conflict *whimbrel.ConflictError
		newer    *database.TablesNewerError
	)
	f.Kind = kindConnection
	switch {
	case errors.As(err, &conflict):
		f.Kind, f.Version = kindConflict, &conflict.Version
		f.Message = fmt.Sprintf("version %d %s", conflict.Version, conflict.Problem)
		if conflict.Script != "" {
			f.Version, f.Name = nil, conflict.Script
			f.Message = fmt.Sprintf("script %q %s", conflict.Script, conflict.Problem)
		}
		if conflict.Entry.ID != 0 {
			f.Entry = new(render.NewEntry(conflict.Entry))
		}
		f.Next = `Check "whimbrel status", then run the command again.`
	case errors.As(err, &newer):
		f.Kind, f.Next = kindConflict, "Use a newer version of whimbrel."
	}
	return true
}

// taken names the migration or script of a failure, "" for none.
func taken(f *render.Failure) string {
	if f.Name == "" && f.Version == nil {
		return ""
	}
	return which(f)
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
