package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	client "github.com/go-sql-driver/mysql"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/database/mysql/internal/mycatalog"
)

// cloner makes copies of templates, and owns scratch databases. A connection of its own holds the
// lock of the owner.
type cloner struct {
	*drivers.Owner
	// What templates depend on, beside their keys: the user, the database, the version. It is nil
	// before the first copy.
	place  []string
	swept  bool    // dead owners' databases were removed
	like   string  // the character set and collation of new databases, as SQL
	loader *sql.DB // its connections execute many statements at once

	building chan struct{} // has a value while a template is built

	mu      sync.Mutex // guards what follows
	keeper  *conn
	scripts map[string]string // template → the statements that make a copy of it
}

// marker is the table of a template that is made last. Its row has the statements that make a copy.
const marker = "whimbrel_template"

// Clone implements database.Cloner. The server can't copy a database, so a template is a database
// with a table that has the statements to make a copy: those that create its tables, insert its
// rows and create everything else. They are sent together. Only a Database that was opened by its
// URL can be cloned. The user needs all privileges on databases whose names begin with whimbrel_t.
func (db *Database) Clone(ctx context.Context, t database.Template) (*database.Copy, error) {
	if db.url == "" {
		return nil, &database.PowerError{Power: database.PowerClone, Driver: "mysql"}
	}
	c, err := db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer c.giveBack()
	own, err := db.ownClones(ctx, c, t)
	if err != nil {
		return nil, err
	}
	template := drivers.TemplateName(t.Key, own.place...)
	for try := 1; ; try++ {
		script, err := db.script(ctx, c, own, template, t.Fill)
		if err != nil {
			return nil, err
		}
		name := own.Next()
		if err = own.load(ctx, name, script); err == nil {
			return db.copyOf(name)
		}
		db.dropDatabase(ctx, name)
		// Another process may have removed the template since it was read.
		if n := number(err); try > 1 || n != erBadDB && n != erNoSuchTable {
			return nil, createError(err)
		}
		own.forget(template)
	}
}

// DropTemplate implements database.Cloner.
func (db *Database) DropTemplate(ctx context.Context, key string) error {
	c, err := db.acquire(ctx)
	if err != nil {
		return err
	}
	defer c.giveBack()
	place, _, err := placeOf(ctx, c)
	if err == nil {
		err = mycatalog.DropScratch(ctx, c, drivers.TemplateName(key, place...))
	}
	return ownError("dropping a template", err)
}

// placeOf returns what templates depend on, beside their keys, and the character set and collation
// of new databases, as SQL.
func placeOf(ctx context.Context, c *conn) (place []string, like string, err error) {
	var user, home, set, collation, server, serverCollation string
	err = c.row(ctx, "SELECT current_user(), database(), @@character_set_database, @@collation_database, @@character_set_server, @@collation_server", nil,
		&user, &home, &set, &collation, &server, &serverCollation)
	switch strings.ToLower(home) {
	case "mysql", "sys", "information_schema", "performance_schema":
		set, collation = server, serverCollation
	}
	return []string{user, home, strconv.Itoa(tablesVersion)}, " CHARACTER SET " + set + " COLLATE " + collation, err
}

// createError explains an error of making a database.
func createError(err error) error {
	if number(err) == erDBAccessDenied {
		return fmt.Errorf("can't create a database: %w; GRANT ALL ON `whimbrel\\_t%%`.* to the user", err)
	}
	return ownError("copying a database", err)
}

// ownClones returns the owner of the database's copies. The first call removes what dead owners
// have left, and templates that nobody uses.
func (db *Database) ownClones(ctx context.Context, c *conn, t database.Template) (*cloner, error) {
	db.cloning.Lock()
	defer db.cloning.Unlock()
	own, err := db.owner(ctx)
	if err != nil || own.place != nil {
		return own, err
	}
	place, like, err := placeOf(ctx, c)
	if err != nil {
		return nil, ownError("reading the properties of the database", err)
	}
	if err := db.sweep(ctx, c, &t); err != nil {
		return nil, err
	}
	config := db.config.Clone()
	config.MultiStatements = true
	connector, err := client.NewConnector(config)
	if err != nil {
		return nil, err
	}
	own.place, own.like, own.loader, own.swept = place, like, sql.OpenDB(connector), true
	return own, nil
}

// ownScratch returns the owner of the database's scratch databases. The first call removes what
// dead owners have left.
func (db *Database) ownScratch(ctx context.Context, c *conn) (*cloner, error) {
	db.cloning.Lock()
	defer db.cloning.Unlock()
	own, err := db.owner(ctx)
	if err != nil || own.swept {
		return own, err
	}
	own.swept = true
	return own, db.sweep(ctx, c, nil)
}

// owner returns the owner, whose lock is held, with cloning locked.
func (db *Database) owner(ctx context.Context) (*cloner, error) {
	own := db.clones
	if own == nil {
		own = &cloner{Owner: drivers.NewOwner(), building: make(chan struct{}, 1), scripts: map[string]string{}}
	}
	if err := own.keep(ctx, db); err != nil {
		return nil, err
	}
	db.clones = own
	return own, nil
}

// ownerLock returns the name of an owner's lock.
func ownerLock(key int64) string { return fmt.Sprintf("whimbrel_owner_%016x", key) }

// keep makes sure that the owner's lock is held. A new connection takes it again if the previous
// one was lost.
func (own *cloner) keep(ctx context.Context, db *Database) error {
	own.mu.Lock()
	defer own.mu.Unlock()
	held := sql.NullBool{}
	if own.keeper != nil {
		err := own.keeper.row(ctx, "SELECT IS_USED_LOCK(?) = CONNECTION_ID()", []any{ownerLock(own.Key)}, &held)
		if err == nil && held.Bool {
			return nil
		}
		own.keeper.drop()
		own.keeper.giveBack()
		own.keeper = nil
	}
	keeper, err := db.acquire(ctx)
	if err != nil {
		return err
	}
	keeper.unusable = true // its session is changed
	if _, err = keeper.exec(ctx, "SET SESSION wait_timeout = 31536000"); err == nil {
		err = keeper.row(ctx, "SELECT GET_LOCK(?, 0)", []any{ownerLock(own.Key)}, &held)
	}
	if err == nil && !held.Bool {
		err = fmt.Errorf("the lock %s is still held by a connection that was lost", ownerLock(own.Key))
	}
	if err != nil {
		keeper.giveBack()
		return err
	}
	own.keeper = keeper
	return nil
}

// end releases the owner's lock.
func (own *cloner) end() {
	own.mu.Lock()
	defer own.mu.Unlock()
	if own.keeper != nil {
		own.keeper.giveBack()
		own.keeper = nil
	}
	if own.loader != nil {
		own.loader.Close()
	}
}

// load makes a copy. Its connection then leaves the copy, because Drop ends all connections to it.
func (own *cloner) load(ctx context.Context, name, script string) error {
	c, err := own.loader.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.ExecContext(ctx, "CREATE DATABASE "+quote(name)+own.like+";\nUSE "+quote(name)+";\n"+script+"\n;\nUSE "+quote(own.place[1]))
	if err != nil {
		// It may still be in the copy.
		_ = c.Raw(func(any) error { return driver.ErrBadConn })
	}
	return err
}

// copyOf returns a copy that was made.
func (db *Database) copyOf(name string) (*database.Copy, error) {
	opened, err := db.beside(name)
	if err != nil {
		db.dropDatabase(context.Background(), name)
		return nil, err
	}
	out := &database.Copy{Database: opened, Name: name, URL: db.urlOf(name)}
	if out.DSN, err = dsn(db.config, name); err != nil {
		db.dropDatabase(context.Background(), name)
		return nil, err
	}
	var once sync.Once
	out.Drop = func(ctx context.Context) (err error) {
		once.Do(func() {
			opened.Close()
			err = db.dropDatabase(ctx, name)
		})
		return err
	}
	return out, nil
}

// urlOf returns the URL of another database of the server.
func (db *Database) urlOf(name string) string {
	base, params, found := strings.Cut(db.url, "?")
	scheme, rest, _ := strings.Cut(base, "://")
	authority, _, _ := strings.Cut(rest, "/")
	base = scheme + "://" + authority + "/" + name
	if found {
		base += "?" + params
	}
	return base
}

// dsn returns the data source name of another database of the server, for the client's driver in
// database/sql. It has the client's defaults for whatever the URL doesn't say.
func dsn(like *client.Config, name string) (string, error) {
	c := client.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr, c.DBName = like.User, like.Passwd, like.Net, like.Addr, name
	c.Params, c.AllowCleartextPasswords = like.Params, like.AllowCleartextPasswords
	c.AllowFallbackToPlaintext = like.AllowFallbackToPlaintext
	if like.TLS != nil { // a data source name has no place for certificates
		c.TLSConfig = "whimbrel-" + name
		if err := client.RegisterTLSConfig(c.TLSConfig, like.TLS); err != nil {
			return "", err
		}
	}
	return c.FormatDSN(), nil
}

// dropDatabase drops a copy, even if a context is done. It ends the connections to it first, since
// an open transaction would block it.
func (db *Database) dropDatabase(ctx context.Context, name string) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), scratchTimeout)
	defer stop()
	c, err := db.acquire(ctx)
	if err != nil {
		return err
	}
	defer c.giveBack()
	ids, err := connectionsTo(ctx, c, name)
	for _, id := range ids {
		if err == nil {
			err = db.killOn(ctx, nil, "CONNECTION", id)
		}
	}
	if err == nil {
		err = mycatalog.DropScratch(ctx, c, name)
	}
	return ownError("dropping the copy "+name, err)
}

// connectionsTo returns the connections to a database.
func connectionsTo(ctx context.Context, c *conn, name string) (ids []int64, err error) {
	err = c.each(ctx, "SELECT id FROM information_schema.processlist WHERE db = ?", []any{name}, func(scan func(...any) error) error {
		var id int64
		err := scan(&id)
		ids = append(ids, id)
		return err
	})
	return ids, err
}

// script returns the statements that make a copy of a template, and makes the template if it
// doesn't exist.
func (db *Database) script(ctx context.Context, c *conn, own *cloner, template string, fill func(context.Context, database.Database) error) (string, error) {
	own.mu.Lock()
	script, known := own.scripts[template]
	own.mu.Unlock()
	if known {
		return script, nil
	}
	script, exists, err := readMarker(ctx, c, template)
	if err == nil && !exists {
		script, err = db.buildTemplate(ctx, own, template, fill)
	}
	if err != nil {
		return "", err
	}
	// Fails if another process is removing the template, which is noticed when it is copied.
	_, _ = c.exec(ctx, "UPDATE "+quote(template)+"."+marker+" SET used = ? WHERE used <> ?", drivers.Used(time.Now()), drivers.Used(time.Now()))
	own.mu.Lock()
	defer own.mu.Unlock()
	own.scripts[template] = script
	return script, nil
}

func (own *cloner) forget(template string) {
	own.mu.Lock()
	defer own.mu.Unlock()
	delete(own.scripts, template)
}

// readMarker reads the statements of a template; false if it doesn't exist or is not complete.
func readMarker(ctx context.Context, c *conn, template string) (script string, exists bool, err error) {
	err = c.row(ctx, "SELECT script FROM "+quote(template)+"."+marker, nil, &script)
	if n := number(err); errors.Is(err, sql.ErrNoRows) || n == erBadDB || n == erNoSuchTable {
		return "", false, nil
	}
	return script, err == nil, ownError("reading a template", err)
}

// buildTemplate makes a template, or waits until another process has made it, and returns its
// statements.
func (db *Database) buildTemplate(ctx context.Context, own *cloner, template string, fill func(context.Context, database.Database) error) (string, error) {
	select {
	case own.building <- struct{}{}:
		defer func() { <-own.building }()
	case <-ctx.Done():
		return "", drivers.Reason(ctx)
	}
	c, err := db.acquire(ctx)
	if err != nil {
		return "", err
	}
	c.unusable = true // so that its lock is released, whatever happens
	defer c.giveBack()
	if _, err := c.exec(ctx, "SET SESSION wait_timeout = 31536000"); err != nil {
		return "", err
	}
	script, exists, err := lockTemplate(ctx, c, template)
	if err != nil || exists {
		return script, err
	}
	// A process that died may have left a part.
	if err := mycatalog.DropScratch(ctx, c, template); err != nil {
		return "", createError(err)
	}
	if _, err := c.exec(ctx, "CREATE DATABASE "+quote(template)+own.like); err != nil {
		return "", createError(err)
	}
	if script, err = db.fillTemplate(ctx, c, template, fill); err != nil {
		db.dropDatabase(ctx, template)
	}
	return script, err
}

// buildLock returns the name of the lock under which a template is made or removed.
func buildLock(template string) string { return strings.Replace(template, "template", "build", 1) }

// lockTemplate waits for the lock under which a template is made, or until the template exists.
func lockTemplate(ctx context.Context, c *conn, template string) (script string, exists bool, err error) {
	for {
		var locked sql.NullBool
		if err := c.row(ctx, "SELECT GET_LOCK(?, 0)", []any{buildLock(template)}, &locked); err != nil {
			return "", false, ownError("locking a template", err)
		}
		if script, exists, err = readMarker(ctx, c, template); err != nil || exists || locked.Bool {
			return script, exists, err
		}
		select {
		case <-ctx.Done():
			return "", false, drivers.Reason(ctx)
		case <-time.After(10*time.Millisecond + rand.N(20*time.Millisecond)):
		}
	}
}

// fillTemplate calls fill with a new database, and stores the statements that make a copy of it.
// With them the template is complete.
func (db *Database) fillTemplate(ctx context.Context, c *conn, template string, fill func(context.Context, database.Database) error) (script string, err error) {
	empty, err := db.beside(template)
	if err != nil {
		return "", err
	}
	defer empty.Close()
	if err := fill(ctx, empty); err != nil {
		return "", err
	}
	in, err := empty.acquire(ctx)
	if err != nil {
		return "", err
	}
	defer in.giveBack()
	in.unusable = true
	if script, err = mycatalog.CopyScript(ctx, in); err != nil {
		return "", ownError("reading a template", err)
	}
	table := quote(template) + "." + marker
	for _, statement := range []struct {
		sql  string
		args []any
	}{
		{"CREATE TABLE " + table + " (used varchar(100) NOT NULL, script longtext NOT NULL) ENGINE InnoDB CHARACTER SET utf8mb4", nil},
		{"INSERT INTO " + table + " VALUES (?, ?)", []any{drivers.Used(time.Now()), script}},
	} {
		if _, err := c.exec(ctx, statement.sql, statement.args...); err != nil {
			return "", ownError("completing a template", err)
		}
	}
	return script, nil
}

// sweep removes the copies and scratch databases whose owner is gone and, unless t is nil, the
// templates that are incomplete or that nobody uses. An owner takes its lock before it creates
// anything, and the names are read before the locks are looked at, so an owner that lives is always
// seen: except on another node of a cluster, where nothing is removed.
func (db *Database) sweep(ctx context.Context, c *conn, t *database.Template) error {
	f, err := db.learn(ctx, c)
	if err != nil || f.cluster || db.wanted == LockLease {
		return err
	}
	var names []string
	err = c.each(ctx, "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE ?", []any{drivers.OwnedLike}, func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		names = append(names, name)
		return err
	})
	for _, name := range names {
		key, isOwned := drivers.OwnerOf(name)
		switch {
		case err != nil:
		case isOwned:
			err = sweepOwned(ctx, c, name, key)
		case t != nil && drivers.IsTemplate(name):
			err = sweepTemplate(ctx, c, name, *t)
		}
	}
	return ownError("removing what killed processes have left", err)
}

func sweepOwned(ctx context.Context, c *conn, name string, key int64) error {
	var holder sql.NullInt64
	if err := c.row(ctx, "SELECT IS_USED_LOCK(?)", []any{ownerLock(key)}, &holder); err != nil || holder.Valid {
		return err
	}
	ids, err := connectionsTo(ctx, c, name)
	if err != nil || len(ids) > 0 {
		return err
	}
	return ignoring(mycatalog.DropScratch(ctx, c, name), erDBAccessDenied)
}

func sweepTemplate(ctx context.Context, c *conn, name string, t database.Template) (err error) {
	var locked sql.NullBool
	if err := c.row(ctx, "SELECT GET_LOCK(?, 0)", []any{buildLock(name)}, &locked); err != nil || !locked.Bool {
		return err
	}
	defer func() { err = errors.Join(err, c.finish("DO RELEASE_LOCK("+literal(buildLock(name))+")")) }()
	used := ""
	err = c.row(ctx, "SELECT used FROM "+quote(name)+"."+marker, nil, &used)
	n := number(err)
	incomplete := errors.Is(err, sql.ErrNoRows) || n == erBadDB || n == erNoSuchTable
	switch {
	case err != nil && !incomplete:
		return ignoring(err, erDBAccessDenied, erTableDenied)
	case incomplete || drivers.Unused(used, t, time.Now()):
		return ignoring(mycatalog.DropScratch(ctx, c, name), erDBAccessDenied)
	}
	return nil
}
