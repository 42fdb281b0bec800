// Package whimbrel brings a database from the schema it has to the schema a
// build needs.
//
// A [Migrator] is made of an open database and a set of migrations:
//
//	db, err := database.Open(ctx, "sqlite:app.db", database.Options{})
//	set, err := source.Read(source.Dir("migrations"), source.Options{})
//	result, err := whimbrel.New(db, set, whimbrel.Options{}).Up(ctx)
//
// By default each migration is one transaction together with its history row; with
// [Options.Atomic] everything pending is one transaction. Either happens whole or
// not at all. Statements that cannot be in a transaction run one by one under the
// migration lock.
//
// Any number of processes may call Up at once, on one set or on several: one works, the
// others wait for it and find the work done. When nothing is pending, Up asks the
// database one question, and locks and writes nothing.
//
// The package never writes to the terminal, never reads the environment and keeps
// no state of its own. What happens is told as events to [Options.Observe].
package whimbrel
