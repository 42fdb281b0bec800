package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
)

// cloner makes copies of templates, and owns scratch databases. A connection of its own holds, in
// an open transaction, an advisory lock with the key of the owner. It is visible in pg_locks from
// every database.
type cloner struct {
	*drivers.Owner
	place    []string // what templates depend on, beside their keys; nil before the first copy
	strategy string   // how the server copies a database, as an option of CREATE DATABASE
	swept    bool     // dead owners' databases were removed

	building chan struct{} // has a value while a template is built

	mu      sync.Mutex // guards what follows
	keeper  *conn
	used    map[string]string // template → the note that it has
	refills map[string]int    // template → how often it was cloned since its spares are being made
}

// keeperTimeout limits how long a question on the owner's connection takes.
const keeperTimeout = 30 * time.Second

// Clone implements database.Cloner: a template is a database to which nobody can connect, and a
// copy is made of it by CREATE DATABASE. While the caller uses its copy, spares are made for the
// next calls, of this process or another one. Only a Database that was opened by its URL can do so.
// The role needs CREATEDB.
func (db *Database) Clone(ctx context.Context, t database.Template) (*database.Copy, error) {
	if db.url == "" {
		return nil, &database.PowerError{Power: database.PowerClone, Driver: "postgres"}
	}
	c, err := db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer c.release()
	own, err := db.ownClones(ctx, c, t)
	if err != nil {
		return nil, err
	}
	template, name := drivers.TemplateName(t.Key, own.place...), own.Next()
	if !takeSpare(ctx, c, template, name) {
		create := command(own.copyOf(template, name))
		const noDatabase = "3D000"
		for err = c.pipeline(ctx, create); hasCode(err, noDatabase); err = c.pipeline(ctx, create) {
			if err := db.buildTemplate(ctx, c, own, template, t.Fill); err != nil {
				return nil, err
			}
		}
		if err != nil {
			return nil, createError("copy a database", err)
		}
	}
	own.note(ctx, c, template)
	db.refill(own, template)
	return db.copyOf(ctx, c, name)
}

// copyOf returns the statement that makes a copy of a template.
func (own *cloner) copyOf(template, name string) string {
	return "CREATE DATABASE " + quote(name) + " TEMPLATE " + quote(template) + own.strategy
}

// DropTemplate implements database.Cloner.
func (db *Database) DropTemplate(ctx context.Context, key string) error {
	c, err := db.acquire(ctx)
	if err != nil {
		return err
	}
	defer c.release()
	place, err := placeOf(ctx, c)
	if err != nil {
		return err
	}
	template := drivers.TemplateName(key, place...)
	if err := c.pipeline(ctx, silent("DROP DATABASE IF EXISTS "+quote(template))); err != nil {
		return err
	}
	return dropSpares(ctx, c, template)
}

// placeOf returns what templates depend on, beside their keys.
func placeOf(ctx context.Context, c *conn) ([]string, error) {
	var user, home string
	err := c.pipeline(ctx, query{sql: "SELECT current_user, current_database()", row: into(&user, &home)})
	return []string{user, home, strconv.Itoa(tablesVersion)}, err
}

// strategyOf returns how the server copies a database fastest. By default, it writes the copy to
// the WAL. Copying the files takes two checkpoints and an fsync for every file. Without fsync, that
// is faster, and so is the first connection, since the copy includes the server's cache file.
func strategyOf(ctx context.Context, c *conn) (string, error) {
	const first = 15 // whose CREATE DATABASE has the option
	if c.serverMajor() < first {
		return "", nil
	}
	var fsync string
	err := c.pipeline(ctx, query{sql: "SELECT current_setting('fsync')", row: into(&fsync)})
	if err != nil || fsync != "off" {
		return "", err
	}
	return " STRATEGY FILE_COPY", nil
}

// createError explains an error of CREATE DATABASE.
func createError(doing string, err error) error {
	if hasCode(err, "42501") {
		return fmt.Errorf("can't %s: %w; give the role CREATEDB", doing, err)
	}
	return err
}

// ownClones returns the owner of the database's copies. The first call removes what dead owners
// have left, and templates that nobody uses.
func (db *Database) ownClones(ctx context.Context, c *conn, t database.Template) (*cloner, error) {
	db.cloning.Lock()
	defer db.cloning.Unlock()
	own, err := db.owner(ctx, c)
	if err != nil || own.place != nil {
		return own, err
	}
	place, err := placeOf(ctx, c)
	if err != nil {
		return nil, err
	}
	strategy, err := strategyOf(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := sweep(ctx, c, &t); err != nil {
		return nil, err
	}
	own.place, own.strategy, own.swept = place, strategy, true
	return own, nil
}

// ownScratch returns the owner of the database's scratch databases. The first call removes what
// dead owners have left.
func (db *Database) ownScratch(ctx context.Context, c *conn) (*cloner, error) {
	db.cloning.Lock()
	defer db.cloning.Unlock()
	own, err := db.owner(ctx, c)
	if err != nil || own.swept {
		return own, err
	}
	own.swept = true
	return own, sweep(ctx, c, nil)
}

// owner returns the owner, whose lock is held, with cloning locked.
func (db *Database) owner(ctx context.Context, c *conn) (*cloner, error) {
	own := db.clones
	if own == nil {
		own = &cloner{Owner: drivers.NewOwner(), building: make(chan struct{}, 1), used: map[string]string{}, refills: map[string]int{}}
	}
	if err := own.keep(ctx, db, c); err != nil {
		return nil, err
	}
	db.clones = own
	return own, nil
}

// keep makes sure that the owner's lock is held. A new connection takes it again if the previous
// one was lost.
func (own *cloner) keep(ctx context.Context, db *Database, c *conn) error {
	own.mu.Lock()
	defer own.mu.Unlock()
	if own.keeper != nil {
		if own.ask(command("SELECT")) == nil {
			return nil
		}
		own.keeper.closeNow()
		own.keeper.release()
		own.keeper = nil
	}
	keeper, err := db.beside(ctx, c)
	if err != nil {
		return err
	}
	got := false
	err = keeper.pipeline(ctx, append(append([]query{command("BEGIN ISOLATION LEVEL READ COMMITTED")}, unlimited(keeper)...), query{
		sql: "SELECT pg_try_advisory_xact_lock($1)", args: []arg{number(own.Key)}, row: into(&got),
	})...)
	if err == nil && !got {
		err = fmt.Errorf("the advisory lock %d is still held by a connection that was lost", own.Key)
	}
	if err != nil {
		keeper.closeNow()
		keeper.release()
		return err
	}
	own.keeper = keeper
	return nil
}

// unlimited lets a transaction stay idle for as long as its client lives.
func unlimited(c *conn) []query {
	qs := []query{command("SET LOCAL idle_in_transaction_session_timeout = 0")}
	if c.serverMajor() >= 17 {
		qs = append(qs, command("SET LOCAL transaction_timeout = 0"))
	}
	return qs
}

// ask sends a query on the owner's connection, with mu held. The end of the caller's context must
// not cancel it: the transaction would fail, and the owner's lock would be released.
func (own *cloner) ask(q query) error {
	return own.keeper.within(keeperTimeout, pipelined([]query{q}))
}

// end releases the owner's lock.
func (own *cloner) end() {
	own.mu.Lock()
	defer own.mu.Unlock()
	if own.keeper != nil {
		own.keeper.release()
		own.keeper = nil
	}
}

// copyOf returns a copy that was created.
func (db *Database) copyOf(ctx context.Context, c *conn, name string) (*database.Copy, error) {
	opened, err := db.openBeside(ctx, c, name)
	if err != nil {
		dropOn(ctx, c, name)
		return nil, err
	}
	opened.creator, opened.created = db, name
	out := &database.Copy{Database: opened, Name: name, URL: atDatabase(db.url, name), DSN: atDatabase(withoutPool(db.url), name)}
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

// openBeside opens another database of the server, without connecting to it.
func (db *Database) openBeside(ctx context.Context, c *conn, name string) (*Database, error) {
	config, err := db.scratchConfig(ctx, c, name)
	if err != nil {
		return nil, err
	}
	pool, err := newOwnPool(config, nil)
	if err != nil {
		return nil, err
	}
	return newDatabase(pool, config.Config, db.opts), nil
}

// buildTemplate makes a template, or waits until another process has made it. The template has the
// name of a copy until it is complete, so that it is removed like one if this process dies.
func (db *Database) buildTemplate(ctx context.Context, c *conn, own *cloner, template string, fill func(context.Context, database.Database) error) error {
	select {
	case own.building <- struct{}{}:
		defer func() { <-own.building }()
	case <-ctx.Done():
		return drivers.Reason(ctx)
	}
	unlock, exists, err := own.lockTemplate(ctx, c, template)
	if err != nil || exists {
		return err
	}
	defer unlock()
	if err := dropSpares(ctx, c, template); err != nil { // of a template that somebody has dropped
		return err
	}
	name := own.Next()
	create, err := createDatabase(ctx, c, name)
	if err != nil {
		return err
	}
	if err := c.pipeline(ctx, command(create)); err != nil {
		return createError("create a database", err)
	}
	if err = db.fillTemplate(ctx, c, name, fill); err == nil {
		err = becomeTemplate(ctx, c, name, template)
	}
	if err != nil {
		dropOn(ctx, c, name)
	}
	return err
}

// lockTemplate waits for the lock under which a template is made, or until the template exists. It
// never waits inside the server: see poll. The lock is that of the session, since the transaction
// of the owner's lock must continue.
func (own *cloner) lockTemplate(ctx context.Context, c *conn, template string) (unlock func(), exists bool, err error) {
	sum := sha256.Sum256([]byte("build " + template))
	key := number(int64(binary.BigEndian.Uint64(sum[:8]) >> 1))
	ask := func(sql string, into func(*row) error) error {
		own.mu.Lock()
		defer own.mu.Unlock()
		if own.keeper == nil {
			return drivers.ErrClosed
		}
		return own.ask(query{sql: sql, args: []arg{key}, row: into})
	}
	unlock = func() {
		// If it fails, the connection is broken, which releases the lock as well.
		_ = ask("SELECT pg_advisory_unlock($1)", nil)
	}
	for {
		locked := false
		if err := ask("SELECT pg_try_advisory_lock($1)", into(&locked)); err != nil {
			return nil, false, err
		}
		err := c.pipeline(ctx, query{
			sql: "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", args: []arg{text(template)}, row: into(&exists),
		})
		if locked && (exists || err != nil) {
			unlock()
		}
		if exists || err != nil || locked {
			return unlock, exists, err
		}
		select {
		case <-ctx.Done():
			return nil, false, drivers.Reason(ctx)
		case <-time.After(10*time.Millisecond + rand.N(20*time.Millisecond)):
		}
	}
}

// fillTemplate calls fill with a new database.
func (db *Database) fillTemplate(ctx context.Context, c *conn, name string, fill func(context.Context, database.Database) error) error {
	empty, err := db.openBeside(ctx, c, name)
	if err != nil {
		return err
	}
	defer empty.Close()
	if err := empty.adoptSchema(ctx, c); err != nil {
		return err
	}
	return fill(ctx, empty)
}

// becomeTemplate closes a database to everybody and gives it the template's name, which completes
// it. A server process whose client has disconnected may need a moment to end, and a pooler keeps
// its connections.
func becomeTemplate(ctx context.Context, c *conn, name, template string) error {
	const inUse = "55006"
	if err := c.pipeline(ctx, command("ALTER DATABASE "+quote(name)+" ALLOW_CONNECTIONS false")); err != nil {
		return err
	}
	for start := time.Now(); ; {
		err := c.pipeline(ctx, command("ALTER DATABASE "+quote(name)+" RENAME TO "+quote(template)))
		if !hasCode(err, inUse) || time.Since(start) > scratchTimeout {
			return err
		}
		err = c.pipeline(ctx, query{sql: "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", args: []arg{text(name)}})
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return drivers.Reason(ctx)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// note records, once a day, that a template is in use. It is no error if that fails: another
// process may be writing the same note, or removing the template, of which this one has a copy
// already.
func (own *cloner) note(ctx context.Context, c *conn, template string) {
	note := drivers.Used(time.Now())
	own.mu.Lock()
	known := own.used[template] == note
	own.used[template] = note
	own.mu.Unlock()
	if known {
		return
	}
	stored := ""
	err := c.pipeline(ctx, query{
		sql:  "SELECT coalesce(shobj_description(oid, 'pg_database'), '') FROM pg_database WHERE datname = $1",
		args: []arg{text(template)}, row: into(&stored),
	})
	if err == nil && stored != note {
		_ = c.pipeline(ctx, command("COMMENT ON DATABASE "+quote(template)+" IS "+literal(note)))
	}
}

// sweep removes the copies and scratch databases whose owner is gone and, unless t is nil, the
// templates and spares that nobody uses. It never forces anybody out: the server refuses to drop a
// database with connections. The snapshot of pg_database is older than what pg_locks returns, and
// an owner takes its lock before it creates anything, so the owner of every copy found is seen if
// it lives.
func sweep(ctx context.Context, c *conn, t *database.Template) error {
	notes, locked := map[string]string{}, map[int64]bool{}
	err := c.pipeline(ctx, query{
		sql: `SELECT datname, coalesce(shobj_description(oid, 'pg_database'), ''), NULL FROM pg_database
WHERE datname LIKE $1 AND NOT datistemplate AND pg_has_role(datdba, 'MEMBER')
UNION ALL SELECT NULL, NULL, (classid::bigint << 32 | objid::bigint) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1`,
		args: []arg{text(drivers.OwnedLike)},
		row: func(r *row) error {
			if r.values[0] == nil {
				r.next = 2
				locked[r.number()] = true
				return r.err
			}
			name := r.text()
			notes[name] = r.text()
			return r.err
		},
	})
	if err != nil {
		return err
	}
	for name, note := range notes {
		owner, isOwned := drivers.OwnerOf(name)
		dead := isOwned && !locked[owner]
		unused := t != nil && (drivers.IsTemplate(name) && drivers.Unused(note, *t, time.Now()) || sparable(name, notes, *t))
		if !dead && !unused {
			continue
		}
		// Other processes may be removing the same, or still be connected.
		if err := c.pipeline(ctx, silent("DROP DATABASE IF EXISTS "+quote(name))); err != nil && ctx.Err() != nil {
			return err
		}
	}
	return nil
}

// sparable reports whether a name is that of a spare whose template is missing or rests.
func sparable(name string, notes map[string]string, t database.Template) bool {
	template, isSpare := drivers.SpareOf(name)
	note, exists := notes[template]
	return isSpare && (!exists || drivers.Resting(note, time.Now()) || drivers.Unused(note, t, time.Now()))
}

// atDatabase returns a URL that leads to another database of the same server.
func atDatabase(rawURL, name string) string {
	scheme, rest, _ := strings.Cut(rawURL, "://")
	rest, params, _ := strings.Cut(rest, "?")
	userinfo := ""
	if i := strings.IndexAny(rest, "@/"); i >= 0 && rest[i] == '@' {
		userinfo, rest = rest[:i+1], rest[i+1:]
	}
	hosts, _, _ := strings.Cut(rest, "/")
	return joinParams(scheme+"://"+userinfo+hosts+"/"+url.PathEscape(name), params, func(key string) bool { return key != "dbname" })
}

// withoutPool returns a URL without the parameters that only pgx's own pool understands.
func withoutPool(rawURL string) string {
	base, params, _ := strings.Cut(rawURL, "?")
	return joinParams(base, params, func(key string) bool { return !strings.HasPrefix(key, "pool_") })
}

// joinParams adds the parameters to keep to a URL.
func joinParams(base, params string, keep func(key string) bool) string {
	var kept []string
	for part := range strings.SplitSeq(params, "&") {
		if key, _, _ := strings.Cut(part, "="); part != "" && keep(key) {
			kept = append(kept, part)
		}
	}
	if len(kept) == 0 {
		return base
	}
	return base + "?" + strings.Join(kept, "&")
}
