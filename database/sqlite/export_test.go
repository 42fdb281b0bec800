package sqlite

import "github.com/whimbrel-db/whimbrel/database"

// UseClient makes another driver of database/sql the client, for the whole process.
func UseClient(name string) { clientName = name }

var PollWatching = pollWatching

// JournalWatch is the journalWatch of a database.
func JournalWatch(d database.Database) func() bool { return d.(*db).journalWatch() }
