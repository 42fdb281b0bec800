package classic_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"strings"

	"github.com/whimbrel-db/whimbrel/adopt/classic"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
)

// MigrateDriver is the interface database.Driver of golang-migrate.
type MigrateDriver interface {
	Open(url string) (MigrateDriver, error)
	Close() error
	Lock() error
	Unlock() error
	Run(migration io.Reader) error
	SetVersion(version int, dirty bool) error
	Version() (version int, dirty bool, err error)
	Drop() error
}

// adapter is a MigrateDriver for any database of Whimbrel.
type adapter struct{ classic.Driver }

func (adapter) Open(url string) (MigrateDriver, error) {
	d, err := classic.Open(url, false, nil)
	return adapter{d}, err
}

func (a adapter) Unlock() error { return a.UnLock() }

func (a adapter) Drop() error { return a.Reset() }

func (a adapter) Run(migration io.Reader) error { return a.Driver.Run(migration, "sql", "migration") }

// SetVersion is called before a script, with dirty, and after it. The scripts and the version are
// one transaction, so nothing needs to be marked before.
func (a adapter) SetVersion(version int, dirty bool) error {
	if dirty {
		return nil
	}
	for last, ok := a.Last(); ok && int64(last) > int64(version); last, ok = a.Last() {
		if err := a.RemoveVersion(int64(last)); err != nil {
			return err
		}
	}
	if version < 0 || a.Read(uint64(version)) {
		return nil
	}
	return a.InsertVersion(int64(version))
}

func (a adapter) Version() (version int, dirty bool, err error) {
	v, dirty, err := a.Driver.Version()
	return int(v), dirty, err
}

// A program of golang-migrate's driver interface moves with an adapter.
func Example_golangMigrate() {
	db, err := memdb.New().Open(context.Background(), database.Options{})
	if err != nil {
		log.Fatal(err)
	}
	d, err := classic.WithInstance(db, classic.Config{})
	if err != nil {
		log.Fatal(err)
	}
	var driver MigrateDriver = adapter{d}
	defer driver.Close()

	for _, step := range []func() error{
		driver.Lock,
		func() error { return driver.SetVersion(1, true) },
		func() error { return driver.Run(strings.NewReader("CREATE TABLE users (id int)")) },
		func() error { return driver.SetVersion(1, false) },
		driver.Unlock,
	} {
		if err := step(); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(driver.Version())
	// Output: 1 false <nil>
}
