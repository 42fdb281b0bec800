// Package classic is an older driver contract, which programs of before are written against, and an
// adapter that keeps it over any database that Whimbrel can migrate. Such a program moves by
// changing an import:
//
//	import (
//		database "github.com/whimbrel-db/whimbrel/adopt/classic"
//		_ "github.com/whimbrel-db/whimbrel/database/postgres"
//	)
//
//	d, err := database.Open("postgres://…", false, nil)
//	…
//	err = d.Lock()
//	err = d.Run(file, "sql", "0001_users.up.sql")
//	err = d.InsertVersion(1)
//	err = d.UnLock() // sends all of it
//
// It then has Whimbrel's guarantees. What is queued between Lock and UnLock is one transaction, a
// process that dies leaves no lock, the history keeps scripts and checksums, an interrupted run is
// resumed, and a frozen or protected database refuses. The history is that of the Whimbrel library
// and command, so they work beside the program.
//
// New programs use package whimbrel. New drivers implement package database: its contract is the
// real one. Package classictest tests implementations of the contract of this package.
package classic

import (
	"io"
	"log"
	"strings"
	"sync"

	"github.com/whimbrel-db/whimbrel/database"
)

// NilVersion is the version of a database to which no migration is applied.
const NilVersion int64 = -1

// ErrLocked is the error of Lock if the lock is taken, by this driver or another process.
var ErrLocked = database.ErrLocked

// Driver migrates one database. All its input comes from the URL of Open or the arguments of
// WithInstance.
//
// The drivers of this package queue what Run, InsertVersion and RemoveVersion are given, and send
// it with UnLock: everything that was queued since Lock is one transaction. Without Lock,
// InsertVersion and RemoveVersion send what was queued before them. An error of Run discards the
// queue, and UnLock returns the error again, so that no part of it is sent.
//
// A script that can't be in a transaction, such as CREATE INDEX CONCURRENTLY or all DDL on MySQL,
// is a step of its own. Whimbrel keeps its progress, and sending the same script again resumes it.
type Driver interface {
	// Open returns a new driver for the database of a URL. isCMD says that a command is the caller;
	// the drivers of this package report the same to all callers. logger may be nil.
	Open(url string, isCMD bool, logger *log.Logger) (Driver, error)

	// Close closes the database. What is queued is discarded, and the lock is free.
	Close() error

	// Lock takes the lock that one process at a time can have. If it is taken, the error is
	// ErrLocked. It empties nothing that was queued without the lock.
	Lock() error

	// UnLock sends what is queued and releases the lock, also after an error. After an error
	// nothing of it has happened, unless a script could not be in a transaction.
	UnLock() error

	// Run queues a migration script. The file's type is "sql", or "meta" for metadata; its name
	// appears in errors and in the history.
	Run(migration io.Reader, fileType, fileName string) error

	// ResetQuery discards what is queued.
	ResetQuery()

	// InsertVersion records a version as applied, with the scripts that were queued since the
	// version before it. Without such a script the version is recorded without running anything.
	InsertVersion(version int64) error

	// RemoveVersion records a version as not applied, with the scripts that were queued since the
	// version before it.
	RemoveVersion(version int64) error

	// Version returns the newest applied version, or NilVersion. It includes what is queued. dirty
	// reports that a migration was interrupted.
	Version() (version int64, dirty bool, err error)

	// Reset empties the database: its migrated schemas, the applied versions, the metadata. A
	// protected database refuses. Called with the lock, it gives the lock back and takes it again.
	Reset() error

	// First returns the lowest applied version. It and the methods below work on the versions that
	// the last Open, Lock, UnLock, Version or Reset has read, with what is queued. ok is false if
	// there is no such version.
	First() (version uint64, ok bool)

	// Last returns the highest applied version.
	Last() (version uint64, ok bool)

	// Prev returns the applied version before an applied version.
	Prev(version uint64) (prevVersion uint64, ok bool)

	// Next returns the applied version after an applied version.
	Next(version uint64) (nextVersion uint64, ok bool)

	// Read reports whether a version is applied.
	Read(version uint64) (ok bool)

	SettingsDriver

	MetadataDriver
}

var registry = struct {
	sync.RWMutex
	drivers map[string]Driver
}{drivers: map[string]Driver{}}

// Register makes a driver known under a name, which is the scheme of its URLs. It panics if the
// driver is nil or the name is already registered. The databases of Whimbrel need no registration.
func Register(name string, driver Driver) {
	registry.Lock()
	defer registry.Unlock()
	if driver == nil {
		panic("classic: Register of a nil driver as " + name)
	}
	if _, ok := registry.drivers[name]; ok {
		panic("classic: Register called twice for " + name)
	}
	registry.drivers[name] = driver
}

// Open opens the database of a URL with the driver that is registered for its scheme, or else with
// Whimbrel's. The program imports Whimbrel's driver: database/postgres, database/sqlite or
// database/mysql. logger may be nil.
func Open(url string, isCMD bool, logger *log.Logger) (Driver, error) {
	scheme, _, _ := strings.Cut(url, ":")
	registry.RLock()
	d, ok := registry.drivers[scheme]
	registry.RUnlock()
	if !ok {
		d = &driver{}
	}
	return d.Open(url, isCMD, logger)
}
