// Package whimbrel is the engine: it plans and applies migrations, and reports what is applied.
//
// One call applies the pending migrations of a folder:
//
//	package main
//
//	import (
//		"context"
//		"embed"
//		"log"
//
//		"github.com/whimbrel-db/whimbrel"
//		"github.com/whimbrel-db/whimbrel/database"
//		_ "github.com/whimbrel-db/whimbrel/database/sqlite" // the driver; or postgres, or mysql
//	)
//
//	//go:embed migrations
//	var files embed.FS
//
//	func main() {
//		ctx := context.Background()
//		db, err := database.Open(ctx, "sqlite:app.db", database.Options{})
//		if err != nil {
//			log.Fatal(err)
//		}
//		defer db.Close()
//		if _, err := whimbrel.Up(ctx, db, files); err != nil {
//			log.Print(err)
//		}
//	}
//
// Everything else is a method of a [Migrator], which joins a database and a set of migrations:
//
//	set, err := source.Read(source.Dir("migrations"), source.Options{})
//	m := whimbrel.New(db, set, whimbrel.Options{})
//	result, err := m.Migrate(ctx, whimbrel.Version(12), whimbrel.ApplyOptions{})
//
// Each migration runs in one transaction together with its history entry. With [Options.Atomic] one
// transaction contains all pending migrations. Statements that cannot run in a transaction execute
// one by one under the migration lock; a journal records how far they got, and the next call
// resumes there.
//
// A backfill changes the rows of a large table in batches, each in a transaction of its own that
// also records how far it is. Up starts it, executes its batches and then continues; if it is
// interrupted, the next call continues after the last batch. Other processes that call Up meanwhile
// help. With [Options.Detach], Up only starts it, and the workers of a job queue execute it: see
// package backfill.
//
// Any number of processes may call Up at once. One works, the others wait for it and then find
// nothing to do. If nothing is pending, Up sends one query, and locks and writes nothing.
//
// The package never prints, reads the environment, exits or panics. [Options.Observe] receives its
// progress as events, and [Log] turns these into log records.
//
// # Errors
//
// Find the type of an error with errors.As. Most programs handle none: they stop, and the next
// start does the rest. A program that handles some starts with *database.LockedError (try again
// later) and *FrozenError.
//
//	error                         reason                                  what to do
//
//	Nothing has changed, the database or the folder can't be used:
//	*database.URLError            the URL is invalid, or no driver is     correct it; import the package
//	                              imported                                in its field Import
//	*database.ConnectError        no server, or it refuses                try again later
//	*database.StandbyError,       the server is not the one to migrate    name the primary in the URL
//	*database.OtherServerError
//	*database.TablesError         Whimbrel's tables are hidden, altered,  its fields Hint and Fix say it
//	                              or of an untrusted owner
//	*database.TablesNewerError    a newer Whimbrel created the tables     update the program
//	*database.PowerError          the driver can't do this                errors.ErrUnsupported
//	*source.Error,                the folder or its files are not         fix the files; each problem
//	*source.FolderError           as the format requires                  has its place
//	*source.AmbiguousError        files of more than one format           set source.Options.Format
//	*source.PlaceholderError      a ${name} of Flyway has no value        set source.Options.Placeholders
//	*NoMigrationsError            Up: the folder has no migrations        UpOptions.Dir, or AllowEmpty
//
//	Nothing has changed, a rule refuses it:
//	*ChecksumMismatchError        an applied file was edited              restore it, or Accept the edit
//	*OutOfOrderError              pending below the newest applied        renumber it, or AllowOutOfOrder
//	*IrreversibleError            it has no down script                   write one
//	*UnknownVersionError          no such version                         read Status
//	*TooFewAppliedError           fewer migrations are applied            read Status
//	*NotAppliedError              the version is not applied              read Status
//	*AlreadyAppliedError          the version is applied                  read Status
//	*SquashedError                only a part of a squash is applied      put the old files back
//	*HistoryExistsError           Baseline of a set with a history        BaselineOptions.Force
//	*NotEmptyError                Load: the database is not empty         use another database
//	*SchemaMismatchError          Load: the set has other texts           use the schema of this set
//	*FrozenError                  the database is frozen                  try again later, or Thaw
//	*ProtectedError               it would lose data                      set Overrule
//	*ConfirmError                 Reset lacks the database's name         set ResetOptions.Confirm
//	*database.InUseError          Reset: other objects depend on it       drop these first
//	*database.SettingError        no such setting, or an invalid value    see database.DeclaredSettings
//	*ScriptsError, *AtomicError,  a script can't run as it is             fix the file
//	*sqltext.Error
//	*InterruptedError             a run can't resume by itself            Resolve
//	*NotInterruptedError          nothing for Resolve or Abandon          call Up
//	*PartlyAppliedError           Abandon: statements remain applied      undo them, or call Up
//
//	database.ErrNoBackfill        the database has no such backfill       read Backfills
//	ErrNoText                     the history lacks the text of its       use the set that has it
//	                              script, and so does the set
//	*database.BackfillStateError  the state of the backfill does not      read Backfills
//	                              allow the action
//
//	While applying:
//	*database.LockedError         another process kept the lock           try again later
//	*ConflictError                another process changed the database    plan again
//	*MigrationError               a script failed; Executed says how      fix the file, call Up again
//	                              many of its statements remain applied
//	*database.StatementError      the statement in it that failed
//	database.ErrLockTimeout,      it waited for a lock, or deadlocked,    call Up again, or raise
//	database.ErrDeadlock          for as long as RetryFor allows          Options.RetryFor
//	*BlockedError                 the same in Reset, or in work of        end what its Blockage lists,
//	                              Migrator.Locked                         and call it again
//	*database.CommitUnknownError  the connection broke during COMMIT      call Up again: it checks
//	*database.LockLostError,      the connection with the lock broke      call Up again: it resumes
//	database.ErrFenced
//	*BackfillError                a backfill failed, or was paused,       its fields say why; it continues
//	                              cancelled or interrupted                where it is
//	*database.BatchError          the rows of it that failed
//	*UnfinishedError              a migration comes after a backfill      wait, or WaitForBackfills
//	                              that is not done
//	*database.UnsettledError      Freeze: a migration still runs          it is frozen; wait
//
// After an error of the last group, earlier migrations remain applied; the [Result] lists them.
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
//	change the rows of a large table         RunBackfill, ChangeBackfill, Backfills
package whimbrel
