package databasetest

// What the suite checks of journalled runs.
var (
	runStateJournal = sentence("Run.State", "State has the journal as this Run found it or wrote it.")
	runAlone        = sentence("Run.State", "Once Guard has returned, no earlier Run of the set writes anything any more.")

	journalMakes = sentence("Run.Journal", "Journal makes j the set's open run, whatever was there, and is durable when it returns.")
	journalNil   = sentence("Run.Journal", "Where j is nil, no run is open any more.")
	journalTx    = sentence("Run.Journal", "It is an error while a transaction that the script opened is still open.")
	journalOne   = sentence("Journal", "A set has one open run at most.")
	journalWhen  = sentence("Journal.StartedAt", "StartedAt is when the run began, UpdatedAt when the journal was written last")
	journalFills = sentence("Journal.StartedAt", "Run.Journal and Run.Exec fill them in, but StartedAt only where it is zero.")
	journalEnded = sentence("Journal.EndedBy", "EndedBy reports whether an event of the journal's set ends the run: whatever says that its version is applied, or is not, or that its script ran; and a reset.")

	execDone    = sentence("Run.Exec", "Otherwise it runs in a transaction of its own, which also makes done the set's journal")
	execCommit  = sentence("Run.Exec", "the COMMIT of a transaction that the script has opened makes it so in that one.")
	execNever   = sentence("Run.Exec", "or one that is ErrNoTransaction, when done is not nil and the statement can't be in a transaction")
	execNothing = sentence("Run.Exec", "After an error nothing of a statement with done has happened, unless it is a *CommitUnknownError: the journal tells.")
	neverBegun  = sentence("ErrNoTransaction", "Nothing of it has happened.")

	beforeTells    = sentence("Run.Before", "Before returns what the target holds of what a statement may change, for Outcome.")
	outcomeTells   = sentence("Run.Outcome", "Outcome tells what became of a statement that another Run, or this one, has begun and of which it is not known whether it has happened")
	outcomeChanges = sentence("Run.Outcome", "It changes nothing.")

	recordEnds       = sentence("Run.Record", "In the same transaction it ends the open run, if one of the events does: see Journal.EndedBy.")
	closeLeaves      = sentence("Run.Close", "A run that is open stays so.")
	batchInterrupted = sentence("Batch.Interrupted", "Interrupted reports whether a run of the set was open when the lock was taken.")
	batchEnds        = sentence("Batch.Record", "Where a run of the set is open and the event ends it (Journal.EndedBy), it is open no more.")
	resetEnds        = sentence("Batch.Reset", "No run of any set is open then.")

	stateRun    = sentence("State.Interrupted", "Interrupted is the set's open run: one that stopped part-way, or that a process is at now.")
	stateNoRun  = sentence("State.Interrupted", "It is nil where there is none.")
	stateHeld   = sentence("Journal.Held", "Held says that somebody has the set's lock, and is at work now, where the database can tell.")
	stateDirty  = sentence("State.Version", "whether a run is open, so that something of a migration has happened that is not recorded yet")
	notMentions = sentence("Database.Tables", "No script may mention them.")
)
