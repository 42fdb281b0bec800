package databasetest

// promise is a sentence of the contract, as it stands in the documentation of
// package database.
type promise struct {
	of   string // the identifier whose comment has it
	says string
}

var promises []*promise

func sentence(of, says string) *promise {
	p := &promise{of, says}
	promises = append(promises, p)
	return p
}

// What the suite checks. A test holds each sentence against the comments of package
// database, so that neither can change without the other.
var (
	contract       = sentence("package", "Package database is the contract between Whimbrel and the databases it migrates.")
	cancelling     = sentence("package", "Cancelling it cancels the statement on the server, and leaves nothing locked and nothing half-recorded; the error is then the context's, as errors.Is sees it.")
	manyGoroutines = sentence("package", "A Database may be used by several goroutines; a Batch and a Run by one at a time.")
	namesAreData   = sentence("package", "Names and texts are data, whatever is in them: quotes, spaces, any letters, SQL.")

	schemaIsCreated = sentence("Options.Schema", "A schema that doesn't exist is created with the tables.")
	historyName     = sentence("Options.HistoryTable", "HistoryTable is the name of the history; the other tables' names are made from it")
	noticeIsCalled  = sentence("Options.Notice", "Notice is called with each notice and warning that the server sends while a script runs")

	tablesAreLower  = sentence("Database.Tables", "Tables are the names of Whimbrel's own tables in the target, in lower case.")
	stateWritesNot  = sentence("Database.State", "State reads what the target says of a set, with one question to the server and without locking or writing anything.")
	stateIsZero     = sentence("Database.State", "A target that Whimbrel has never written to has the zero State, with the default settings.")
	headGrows       = sentence("State.Head", "Head grows with every event of the set or of Whimbrel's own set; 0 for none.")
	headDecides     = sentence("State.Head", "As the history is append-only, two States with one Head are equal")
	headNeverSleeps = sentence("State.Head", "The newest id alone is enough only where no event can become visible below one that is visible already")
	foldDecides     = sentence("State.Fold", "for each version the newest event that says whether it is applied decides")

	historyInOrder  = sentence("Database.History", "History reads events in the order they happened: those that are committed.")
	historyErrors   = sentence("Database.History", "An error is the last thing it yields.")
	historySet      = sentence("HistoryQuery.Set", `"" for all sets`)
	historyVersion  = sentence("HistoryQuery.Version", "nil for all versions")
	historyTexts    = sentence("HistoryQuery.Texts", "fill in the scripts' texts")
	historyAppends  = sentence("Event", "The history is append-only: nothing ever changes or removes an event.")
	eventID         = sentence("Event.ID", "ID grows with every event.")
	eventTimes      = sentence("Event.StartedAt", "Both are kept to the microsecond, the time in UTC.")
	eventTexts      = sentence("Event.UpText", "HasDownText tells, without the text, whether there is one, which may be empty.")
	eventDirectives = sentence("Event.UpText", "UpDirectives and DownDirectives are those of the two scripts")
	eventWho        = sentence("Event.DBUser", "Record fills in DBUser, Host and App, whatever was there: App is what Options say.")

	beginCreates   = sentence("Database.Begin", "It creates Whimbrel's tables if they are missing.")
	beginLocks     = sentence("Database.Begin", "Begin opens a transaction that holds the set's migration lock.")
	beginOtherSets = sentence("Database.Begin", "The lock of another set is not in its way, unless the database has one writer at a time.")
	beginLocked    = sentence("Database.Begin", "It returns a *LockedError (which is ErrLocked) when somebody else held the lock for all of opts.Timeout.")
	guardLocks     = sentence("Database.Guard", "Guard holds the set's migration lock without a transaction in the way of what is run under it.")
	triesOnce      = sentence("LockOptions.Timeout", "0 or less tries once.")
	waitingCalled  = sentence("LockOptions.Waiting", "Waiting is called when the lock is found taken")
	waitingHolder  = sentence("LockOptions.Waiting", "The zero Holder means that the database can't tell who.")

	settingUpdate  = sentence("Database.UpdateSetting", "UpdateSetting changes one declared setting and records that as an event, in one transaction, and creates Whimbrel's tables if they are missing.")
	settingCheck   = sentence("Database.UpdateSetting", "What it stores is what Check returns.")
	settingError   = sentence("Database.UpdateSetting", "It returns a *SettingError for names that are not declared and values of the wrong type, and then changes nothing.")
	settingGone    = sentence("SettingUpdate.Unset", "Unset takes the stored value away, so that the default holds")
	settingExpires = sentence("SettingUpdate.Until", "Until ends the change by itself, by the database's clock if it has one")
	settingSettles = sentence("SettingUpdate.Settle", "until every Batch and Run of the history, of any set, that was open then is over")
	settingStays   = sentence("SettingUpdate.Settle", "When its time is over the change stays, and the error is an *UnsettledError.")
	settingDefault = sentence("State.Settings", "Settings has every declared setting: as stored, or its default.")

	closeEnds  = sentence("Database.Close", "A Batch or Run that is open is over: nothing of the batch is in the database, and the lock is free.")
	closeTwice = sentence("Database.Close", "Every other method is an error afterwards, a second Close does nothing.")

	batchWhole       = sentence("Batch", "Batch is applied whole or not at all.")
	batchLocked      = sentence("Batch", "The set's migration lock is held until Commit or Rollback return.")
	batchHead        = sentence("Batch.Head", "Head is State.Head as it stood when the lock was taken.")
	batchHeadAfter   = sentence("Batch.Head", "After Commit it is what the batch's own events made of it: a State that says otherwise tells that a setting was changed meanwhile.")
	batchState       = sentence("Batch.State", "State is Database.State as it stands under the lock, with what the batch has recorded.")
	batchSavepoints  = sentence("Batch.Run", "with the script's savepoints")
	batchBody        = sentence("Batch.Run", "Run runs the body of a script in the transaction: what its Analysis says it is, without a BEGIN … COMMIT around the whole")
	batchFunc        = sentence("Batch.Run", "or a Go function, whose error it wraps and which must be of the type that the driver takes.")
	batchTimeouts    = sentence("Batch.Run", "It runs under the timeouts that the script's directives ask for.")
	batchSession     = sentence("Batch.Run", "Afterwards the session is what it was before: settings, role, search path, temporary objects.")
	batchStatement   = sentence("Batch.Run", "An error of a statement is a *StatementError with its place in the script; it may be returned by a later method of the Batch, Commit at the latest.")
	batchRecord      = sentence("Batch.Record", "Record appends an event of the batch's set to the history, with the texts it is given.")
	batchRecordTimes = sentence("Batch.Record", "Where StartedAt is zero it fills in, by the database's clock if it has one, when the batch began or the event before was recorded, and the Duration from then to now.")
	batchRecorded    = sentence("Batch.Recorded", "Recorded returns, after Commit, the events of the batch as the history has them, without texts: with their IDs, times and durations.")
	batchDiscard     = sentence("Batch.Discard", "Discard drops everything since Begin, queued and executed, and goes on as after Begin: nothing of it is in the database, the lock is held.")
	batchCommit      = sentence("Batch.Commit", "Commit executes what is queued, makes everything durable and releases the lock.")
	batchCommitFails = sentence("Batch.Commit", "After an error nothing of the batch is in the database, unless the error is a *CommitUnknownError.")
	batchOver        = sentence("Batch.Commit", "The Batch is over either way.")
	batchRollback    = sentence("Batch.Rollback", "Rollback drops everything and releases the lock.")
	batchRollbackAny = sentence("Batch.Rollback", "It can be called at any time, after Commit too, where it does nothing, and with a context that is done.")

	resetDrops   = sentence("Batch.Reset", "It drops everything in the schema of Whimbrel's tables, and in the given schemas as far as they exist")
	resetLeaves  = sentence("Batch.Reset", "It leaves Whimbrel's own tables")
	resetRecords = sentence("Batch.Reset", "For every set of the history, for each of which a run is open, and for the batch's own, it records e as an event of direction Reset.")
	resetLocks   = sentence("Batch.Reset", "It takes the locks of those sets first, trying each once, and holds them like the batch's own: a *LockedError says which is held by somebody else.")
	resetDropped = sentence("Emptied.Dropped", "Dropped are the objects that are gone.")
	resetSets    = sentence("Emptied.Sets", "Sets are the sets of which nothing is applied any more, in alphabetical order.")
	stateName    = sentence("State.Database", "Database is the target's name, as its server or its file says it.")

	metadataReads  = sentence("MetadataDriver.Metadata", "Metadata reads the entries that the target keeps, and the objects that it has, as they are at one moment, and writes nothing.")
	metadataNotOwn = sentence("MetadataDriver.Metadata", "The objects of Whimbrel's own, the server's and an extension's are not among them.")
	metadataNone   = sentence("MetadataDriver.Metadata", "A target that was never given metadata has no entries.")
	metadataBatch  = sentence("MetadataBatch.Metadata", "Metadata is Database.Metadata as it stands under the lock, with what the batch has done.")
	metadataAlone  = sentence("MetadataBatch.Metadata", "From then on no other batch, whatever its set is, changes the entries until this one is over")
	metadataPut    = sentence("MetadataBatch.PutMetadata", "PutMetadata makes the entries of a change all that the target keeps, and its comments those of the objects.")
	metadataOne    = sentence("MetadataBatch.PutMetadata", "It waits for other batches as Metadata does.")
	queryPasses    = sentence("MetadataDriver.Query", "Query executes one statement that reads, outside of any batch and without the migration lock, and returns its rows, all of them.")
	queryReads     = sentence("MetadataDriver.Query", "It changes nothing: a statement that may change something is an error that is ErrReadOnly.")
	batchQuery     = sentence("MetadataBatch.Query", "Query executes one statement in the transaction, whatever it is, and returns its rows, all of them.")
	batchQueryEnds = sentence("MetadataBatch.Query", "What it changes is there when the batch is committed.")
	querySess      = sentence("MetadataBatch.Query", "The session is put back as it was.")
	queryError     = sentence("MetadataDriver.Query", `The error is a *StatementError, whose place is in the file "query".`)
	rowsColumns    = sentence("Rows.Columns", "Columns are the names of the columns")
	rowsValues     = sentence("Rows.Rows", "Rows have a value for each column: nil, bool, int64, float64, json.Number, or string.")

	statementPos   = sentence("StatementError.Pos", "Pos is the place that the server points at, or where the statement begins.")
	statementIndex = sentence("StatementError.Index", "Index is the statement's number in its script, from 0; Statement its text.")
	statementCode  = sentence("StatementError.Code", "Code is the SQLSTATE, or the database's own code where it has no SQLSTATE.")

	runHolds       = sentence("Run", "Run holds the lock of a set while the statements of a script run one by one")
	runState       = sentence("Run.Head", "Head, Interrupted and State are as in Batch.")
	runHead        = sentence("Run.Head", "After Record Head is what the run's own events made of it.")
	runExec        = sentence("Run.Exec", "Exec runs one statement of s and waits for it, under the timeouts that the directives of s ask for.")
	runCopy        = sentence("Run.Exec", "data is what follows a COPY … FROM stdin, else nil.")
	runExecError   = sentence("Run.Exec", "or a *LockLostError when the lock was lost before or while the statement ran")
	runTransaction = sentence("Run.Exec", "A transaction that the script opens itself is the script's until it ends it.")
	runSession     = sentence("Run.Exec", "What the statement changes in the session lasts until Close.")
	runRecord      = sentence("Run.Record", "Record appends events of the run's set to the history, in one transaction, makes them durable, and returns them as the history has them.")
	runRecordTx    = sentence("Run.Record", "It is an error while a transaction that the script opened is still open.")
	runClose       = sentence("Run.Close", "Close puts the session back, rolls back a transaction that the script left open, and releases the lock.")
	runCloseAny    = sentence("Run.Close", "It can be called more than once, and with a context that is done.")
)
