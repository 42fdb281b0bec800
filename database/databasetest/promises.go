package databasetest

// promise is one thing that package database promises of a driver.
type promise struct {
	id   string // stable: other texts refer to the promise by it
	of   string // the identifier of package database whose documentation makes the promise
	says string // what a case that checks it expects, for the message of a failure
}

var promises []*promise

func define(id, of, says string) *promise {
	p := &promise{id, of, says}
	promises = append(promises, p)
	return p
}

// What the suite checks.
var (
	contract       = define("contract", "package", "The driver keeps the contract.")
	cancelling     = define("context.cancel", "package", "Cancelling the context cancels the statement, leaves no lock, and returns the context's error.")
	manyGoroutines = define("database.concurrent", "package", "Several goroutines can use a Database at the same time.")
	namesAreData   = define("names.are-data", "package", "Names and texts are data: quotes, spaces, any letters, SQL.")

	schemaIsCreated = define("options.schema.created", "Options.Schema", "A schema that doesn't exist is created with the tables.")
	historyName     = define("options.history-table", "Options.HistoryTable", "Another history table is another history.")
	noticeIsCalled  = define("options.notice", "Options.Notice", "Notice receives the notices and warnings of the server.")

	tablesAreLower  = define("tables.lower-case", "Database.Tables", "Tables returns the names of Whimbrel's own tables, in lower case.")
	notMentions     = define("tables.not-in-scripts", "Database.Tables", "A script that mentions one of the own tables is refused.")
	stateWritesNot  = define("state.writes-nothing", "Database.State", "State locks nothing and writes nothing.")
	stateIsZero     = define("state.untouched", "Database.State", "An untouched target has the zero State, with the default settings.")
	stateName       = define("state.database", "State.Database", "Database is the target's name.")
	stateVersion    = define("state.version.interrupted", "State.Version", "Version reports whether a run is interrupted.")
	stateRun        = define("state.interrupted", "State.Interrupted", "Interrupted is the set's interrupted run.")
	stateNoRun      = define("state.interrupted.nil", "State.Interrupted", "Interrupted is nil if no run is interrupted.")
	stateHeld       = define("state.interrupted.held", "Journal.Held", "Held reports whether a process holds the set's lock.")
	headGrows       = define("state.head.grows", "State.Head", "Head grows with every entry of the set, and of Whimbrel's own set.")
	headDecides     = define("state.head.equal", "State.Head", "Two States with the same Head are equal, apart from the interrupted run.")
	headNeverSleeps = define("state.head.late-entries", "State.Head", "Head changes even if an entry becomes visible below one that is visible already.")
	foldDecides     = define("state.fold", "State.Fold", "For each version the newest entry that says whether it is applied decides.")

	historyInOrder  = define("history.order", "Database.History", "History reads committed entries, in the order in which they happened.")
	historyErrors   = define("history.error-last", "Database.History", "An error is the last value that History yields.")
	historySet      = define("history.set", "HistoryQuery.Set", "Set selects the entries of one set.")
	historyVersion  = define("history.version", "HistoryQuery.Version", "Version selects the entries of one version.")
	historyID       = define("history.id", "HistoryQuery.ID", "ID selects one entry.")
	historySince    = define("history.since", "HistoryQuery.Since", "Since selects entries that started no earlier.")
	historyNewest   = define("history.newest", "HistoryQuery.Newest", "Newest returns the newest entry first.")
	historyLimit    = define("history.limit", "HistoryQuery.Newest", "Limit is the number of entries to return at most.")
	historyTexts    = define("history.texts", "HistoryQuery.Texts", "Texts are read only if they are asked for.")
	historyAppends  = define("history.append-only", "Entry", "Nothing changes or removes an entry.")
	entryID         = define("entry.id", "Entry.ID", "ID grows with every entry.")
	entryTimes      = define("entry.times", "Entry.StartedAt", "Times are kept to the microsecond, in UTC.")
	entryTexts      = define("entry.has-down-text", "Entry.UpText", "HasDownText distinguishes an empty down text from none.")
	entryDirectives = define("entry.directives", "Entry.UpText", "The directives of both scripts are kept.")
	entryFailed     = define("entry.failed", "Entry.Tried", "Tried and Error of a failed attempt are kept.")
	entryRetries    = define("entry.retries", "Entry.Retries", "Retries and LockWait are kept, the latter to the microsecond.")
	entryWho        = define("entry.who", "Entry.DBUser", "The driver fills in DBUser, OSUser, Host, App and Actor.")

	beginCreates   = define("begin.creates-tables", "Database.Begin", "Begin creates Whimbrel's tables if they are missing.")
	beginLocks     = define("begin.locks", "Database.Begin", "Begin holds the set's migration lock.")
	beginOtherSets = define("begin.other-sets", "Database.Begin", "The lock of one set does not block another set.")
	beginLocked    = define("begin.locked-error", "Database.Begin", "A lock that stays taken is a *LockedError.")
	guardLocks     = define("guard.locks", "Database.Guard", "Guard holds the set's lock outside of any transaction.")
	guardAlone     = define("guard.alone", "Database.Guard", "Once Guard has returned, no earlier Run of the set writes anything.")
	triesOnce      = define("lock.timeout.zero", "LockOptions.Timeout", "A timeout of 0 or less tries once.")
	waitingCalled  = define("lock.waiting", "LockOptions.Waiting", "Waiting is called when the lock is found taken.")
	waitingHolder  = define("lock.waiting.holder", "LockOptions.Waiting", "Waiting receives the holder, or the zero Holder.")

	foundHead        = define("found.head", "Found.Head", "Found.Head is the Head of State under the lock.")
	foundInterrupted = define("found.interrupted", "Found.Interrupted", "Found.Interrupted reports an interrupted run of the set.")
	recordedEntries  = define("recorded.entries", "Recorded.Entries", "Recorded has the entries as the history has them.")
	recordedHead     = define("recorded.head", "Recorded.Head", "Recorded.Head counts the entries that were recorded here, and no others.")

	closeEnds  = define("close.ends", "Database.Close", "Close ends every Tx and Run: their work is rolled back and their locks are free.")
	closeTwice = define("close.twice", "Database.Close", "After Close every method fails, and a second Close does nothing.")

	txWhole       = define("tx.atomic", "Tx", "A transaction is applied completely or not at all.")
	txLocked      = define("tx.lock", "Tx", "The lock is held until Commit or Rollback returns.")
	txState       = define("tx.state", "Tx.State", "State includes what the transaction has recorded.")
	txSavepoints  = define("tx.exec.savepoints", "Tx.Exec", "The script's savepoints work.")
	txBody        = define("tx.exec.body", "Tx.Exec", "A BEGIN … COMMIT around the whole script is left out.")
	txFunc        = define("tx.exec.func", "Tx.Exec", "A Go function runs, its error is wrapped, and another type of function is an error.")
	txTimeouts    = define("tx.exec.timeouts", "Tx.Exec", "The timeouts of the script's directives apply.")
	txSession     = define("tx.exec.session", "Tx.Exec", "The session is restored after each script.")
	txStatement   = define("tx.exec.statement-error", "Tx.Exec", "A failing statement is a *StatementError.")
	txRecord      = define("tx.record", "Tx.Record", "Record appends entries of the transaction's set.")
	txRecordTimes = define("tx.record.times", "Tx.Record", "Record fills in a StartedAt that is zero, and the Duration.")
	txEnds        = define("tx.record.ends-run", "Tx.Record", "An entry that ends the interrupted run ends it when it is committed.")
	txFails       = define("tx.record.fails-run", "Tx.Record", "An entry that says that the run failed puts its Error into the journal.")
	txCommit      = define("tx.commit", "Tx.Commit", "Commit makes everything durable and releases the lock.")
	txCommitFails = define("tx.commit.atomic", "Tx.Commit", "After an error nothing of the transaction is in the database, unless the error is a *CommitUnknownError.")
	txOver        = define("tx.commit.over", "Tx.Commit", "The Tx is over after Commit and after Rollback.")
	txRollback    = define("tx.rollback", "Tx.Rollback", "Rollback drops everything and releases the lock.")
	txRollbackAny = define("tx.rollback.any-time", "Tx.Rollback", "Rollback can be called at any time, more than once, and with a context that is done.")

	settingUpdate  = define("setting.update", "SettingUpdater.UpdateSetting", "A change is stored and recorded in one transaction.")
	settingCheck   = define("setting.update.check", "SettingUpdater.UpdateSetting", "The stored value is the one that Check returns.")
	settingError   = define("setting.update.error", "SettingUpdater.UpdateSetting", "An unknown name or a wrong value is a *SettingError, and changes nothing.")
	settingGone    = define("setting.unset", "SettingUpdate.Unset", "Unset removes the stored value.")
	settingExpires = define("setting.until", "SettingUpdate.Until", "The change ends at Until.")
	settingSettles = define("setting.settle", "SettingUpdate.Settle", "Settle waits for every Tx and Run that is open.")
	settingStays   = define("setting.settle.timeout", "SettingUpdate.Settle", "After the timeout the change stays, and the error is an *UnsettledError.")
	settingDefault = define("setting.default", "State.Settings", "Settings has every declared setting: as stored, or its default.")

	resetDrops   = define("reset.drops", "Resetter.Reset", "Reset drops everything in the schemas.")
	resetLeaves  = define("reset.leaves-own", "Resetter.Reset", "Reset leaves Whimbrel's own tables.")
	resetRecords = define("reset.records", "Resetter.Reset", "Reset is recorded for every set.")
	resetLocks   = define("reset.locks", "Resetter.Reset", "Reset takes the locks of all sets, or returns a *LockedError.")
	resetEnds    = define("reset.ends-runs", "Resetter.Reset", "Reset ends the interrupted runs of all sets.")
	resetDropped = define("reset.dropped", "Emptied.Dropped", "Dropped lists the objects that are gone.")
	resetSets    = define("reset.sets", "Emptied.Sets", "Sets are the sets that were reset, in alphabetical order.")

	metadataReads  = define("metadata.read", "MetadataReader.Metadata", "Metadata reads the entries and the objects of one moment, and writes nothing.")
	metadataNotOwn = define("metadata.not-own", "MetadataReader.Metadata", "Whimbrel's own objects are not among them.")
	metadataNone   = define("metadata.none", "MetadataReader.Metadata", "A target that was never given metadata has no entries.")
	metadataTx     = define("metadata.tx", "MetadataTx.Metadata", "In a Tx, Metadata includes what the transaction has done.")
	metadataAlone  = define("metadata.tx.alone", "MetadataTx.Metadata", "From then on no other transaction changes the entries.")
	metadataPut    = define("metadata.put", "MetadataTx.PutMetadata", "PutMetadata replaces the entries and sets the comments.")
	metadataOne    = define("metadata.put.alone", "MetadataTx.PutMetadata", "PutMetadata waits for other transactions.")

	queryPasses = define("query.rows", "Querier.Query", "Query returns all rows of a statement that reads.")
	queryReads  = define("query.read-only", "Querier.Query", "A statement that may change something is ErrReadOnly.")
	queryError  = define("query.error", "Querier.Query", "The error is a *StatementError with its place.")
	txQuery     = define("query.tx", "Querier.Query", "In a Tx, Query executes any statement.")
	txQueryEnds = define("query.tx.commit", "Querier.Query", "Its changes are committed with the transaction.")
	querySess   = define("query.tx.session", "Querier.Query", "The session is restored.")
	rowsColumns = define("query.columns", "Rows.Columns", "Columns has the names of the columns.")
	rowsValues  = define("query.values", "Rows.Rows", "Values are nil, bool, int64, float64, json.Number, or string.")

	cloneCopies   = define("clone.copy", "Cloner.Clone", "Clone returns a copy of what Fill wrote.")
	cloneApart    = define("clone.apart", "Cloner.Clone", "A change of one copy changes no other, and not the template.")
	cloneOnce     = define("clone.once", "Cloner.Clone", "Of all processes that need a template, one makes it.")
	templateDrop  = define("clone.drop-template", "Cloner.DropTemplate", "DropTemplate removes the template, and leaves its copies.")
	templateKey   = define("template.key", "Template.Key", "Templates with other keys are other templates.")
	templateFails = define("template.fill.error", "Template.Fill", "After an error of Fill there is no template.")
	copyName      = define("copy.name", "Copy.Name", "Each copy has a name of its own.")
	copyDrop      = define("copy.drop", "Copy.Drop", "Drop removes the copy, and can be called again.")

	statementPos   = define("statement-error.pos", "StatementError.Pos", "Pos is a place in the statement.")
	statementIndex = define("statement-error.index", "StatementError.Index", "Index counts statements from 0.")
	statementCode  = define("statement-error.code", "StatementError.Code", "Code is the SQLSTATE or the database's own code.")

	runHolds        = define("run.lock", "Run", "A Run holds the set's lock while statements run one by one.")
	runState        = define("run.state", "Run.State", "State includes what the run has recorded.")
	runStateJournal = define("run.state.journal", "Run.State", "State has the journal as this Run found or wrote it.")
	runExec         = define("run.exec", "Run.Exec", "Exec runs one statement, under the timeouts of the script's directives.")
	runCopy         = define("run.exec.copy", "Run.Exec", "data is the input of COPY … FROM stdin.")
	runExecError    = define("run.exec.error", "Run.Exec", "An error is a *StatementError, or a *LockLostError if the lock was lost.")
	runTransaction  = define("run.exec.transaction", "Run.Exec", "A transaction that the script opens stays open until the script ends it.")
	runSession      = define("run.exec.session", "Run.Exec", "Changes to the session last until Close.")
	execDone        = define("run.exec.done", "Run.Exec", "The statement and its journal commit in one transaction.")
	execCommit      = define("run.exec.done.commit", "Run.Exec", "The script's COMMIT commits the journal with it.")
	execNever       = define("run.exec.done.never", "Run.Exec", "A statement that can't be in a transaction is ErrNoTransaction.")
	execNothing     = define("run.exec.done.atomic", "Run.Exec", "After an error nothing of the statement has happened, unless the error is a *CommitUnknownError.")
	neverBegun      = define("run.exec.never-begun", "ErrNoTransaction", "After ErrNoTransaction nothing has happened.")
	runRecord       = define("run.record", "Run.Record", "Record makes its entries durable in one transaction.")
	runRecordTx     = define("run.record.in-transaction", "Run.Record", "Record is an error while the script's transaction is open.")
	recordEnds      = define("run.record.ends-run", "Run.Record", "Record ends the interrupted run that an entry ends.")
	recordFails     = define("run.record.fails-run", "Run.Record", "An entry that says that the run failed puts its Error into the journal.")
	runClose        = define("run.close", "Run.Close", "Close restores the session, rolls back an open transaction and releases the lock.")
	runCloseAny     = define("run.close.any-time", "Run.Close", "Close can be called more than once, and with a context that is done.")
	closeLeaves     = define("run.close.leaves-run", "Run.Close", "An interrupted run stays interrupted.")

	journalMakes = define("journal.put", "Run.Journal", "Journal replaces the set's journal and is durable when it returns.")
	journalNil   = define("journal.nil", "Run.Journal", "A nil journal ends the run.")
	journalTx    = define("journal.in-transaction", "Run.Journal", "Journal is an error while the script's transaction is open.")
	journalOne   = define("journal.one", "Journal", "A set has one journal at most.")
	journalWhen  = define("journal.times", "Journal.StartedAt", "StartedAt is when the run began, UpdatedAt when the journal was written last.")
	journalFills = define("journal.who", "Journal.StartedAt", "The driver fills in times and names, but StartedAt only if it is zero.")
	journalEnded = define("journal.ended-by", "Journal.EndedBy", "EndedBy reports whether an entry ends the run.")

	journalFailed = define("journal.failed-by", "Journal.FailedBy", "FailedBy reports whether an entry says that the run failed.")

	beforeTells    = define("run.before", "Run.Before", "Before returns what Outcome needs to know.")
	outcomeTells   = define("run.outcome", "Run.Outcome", "Outcome reports whether a statement took effect.")
	outcomeChanges = define("run.outcome.read-only", "Run.Outcome", "Outcome changes nothing.")
)
