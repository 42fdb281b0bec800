// Package whimbrel is the engine: it plans and applies migrations, and reports what is applied.
//
// The usual case is one call. It applies the pending migrations of a folder, such as an embed.FS:
//
//	db, err := database.Open(ctx, "sqlite:app.db", database.Options{})
//	result, err := whimbrel.Up(ctx, db, files, whimbrel.UpOptions{Dir: "migrations"})
//
// Everything else is a method of a [Migrator], which joins a database and a set of migrations:
//
//	set, err := source.Read(files, source.Options{})
//	m := whimbrel.New(db, set, whimbrel.Options{})
//	result, err := m.Migrate(ctx, whimbrel.Version(12), whimbrel.ApplyOptions{})
//
// Each migration runs in one transaction together with its history entry. With [Options.Atomic] one
// transaction contains all pending migrations. Statements that cannot run in a transaction execute
// one by one under the migration lock; a journal records how far they got, and the next call
// resumes there.
//
// Any number of processes may call Up at once. One works, the others wait for it and then find
// nothing to do. If nothing is pending, Up sends one query, and locks and writes nothing.
//
// The package never prints, reads the environment, exits or panics. [Options.Observe] receives its
// progress as events, and [Log] turns these into log records.
//
// # Errors
//
// Find the type of an error with errors.As. After an error of the first group, nothing has changed.
//
//	error                         reason                                  what to do
//
//	Refused before anything runs:
//	*ChecksumMismatchError        an applied file was edited              restore it, or Accept the edit
//	*OutOfOrderError              pending below the newest applied        renumber it, or AllowOutOfOrder
//	*IrreversibleError            it has no down script                   write one
//	*UnknownVersionError          no such version                         read Status
//	*TooFewAppliedError           fewer migrations are applied            read Status
//	*NotAppliedError              the version is not applied              read Status
//	*AlreadyAppliedError          the version is applied                  read Status
//	*SquashedError                only a part of a squash is applied      put the old files back
//	*HistoryExistsError           Baseline of a set with a history        BaselineOptions.Force
//	*FrozenError                  the database is frozen                  try again later, or Thaw
//	*ProtectedError               it would lose data                      set Overrule
//	*ConfirmError                 Reset lacks the database's name         set ResetOptions.Confirm
//	*ScriptsError, *AtomicError,  a script can't run as it is             fix the file
//	*sqltext.Error
//	*InterruptedError             a run can't resume by itself            Resolve
//	*NotInterruptedError          nothing for Resolve to decide           call Up
//
//	While applying:
//	*database.LockedError         another process kept the lock           try again later
//	*ConflictError                another process changed the database    plan again
//	*MigrationError               a script failed; Executed says how      fix the file, call Up again
//	                              many of its statements remain applied
//	*database.StatementError      the statement in it that failed
//	*database.CommitUnknownError  the connection broke during COMMIT      call Up again: it checks
//	*database.LockLostError,      the connection with the lock broke      call Up again: it resumes
//	database.ErrFenced
//
// After an error of the second group, earlier migrations remain applied; the [Result] lists them.
//
// # Examples
//
//	apply a folder in one call               Up
//	apply a set                              the example of the package
//	handle errors                            Migrator.Up
//	go to a version, or a number of steps    Migrator.Migrate
//	roll back                                DownTo
//	show a plan before applying it           Migrator.Plan, Migrator.Apply
//	show what is applied and pending         Migrator.Status, Migrator.History
//	follow the progress                      Options (Observe), Log
//	adopt an existing schema                 Migrator.Baseline, Migrator.Mark
//	accept an edited file                    Migrator.Accept, ChecksumMismatchError
//	load development data                    Migrator.Seed
//	empty a database                         Migrator.Reset
//	stop all migrations for a time           Migrator.Freeze
//	do your own work under the lock          Migrator.Locked
package whimbrel
