package sqlite

import "github.com/whimbrel-db/whimbrel/database"

// UseClient replaces the client by another database/sql driver, for the whole process.
func UseClient(name string) { clientName = name }

var PollWatching = pollWatching

// JournalWatch returns the journalWatch of a database.
func JournalWatch(d database.Database) func() bool { return d.(*db).journalWatch() }

// HandleOf returns SQLite's handle of a client's connection.
func HandleOf(conn any) uintptr { return nativeOf(conn).db }

// Own makes a Database treat the pool that it was given as its own.
func Own(d database.Database) { d.(*db).owned = true }
