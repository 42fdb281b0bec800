package sqlite

// seen is what is known about a connection since it committed its last Tx of a set, so that the
// next Tx needs no query: with a thousand migrations in a thousand transactions, each query costs a
// tenth of the time. It is valid while PRAGMA data_version stays the same, which means that nobody
// else has committed ("changed by another connection", in SQLite's documentation of the pragma).
type seen struct {
	client  any // identifies the connection
	set     string
	version int64
	head    int64
}

// recall returns the standing that a connection has seen, in a transaction with the write lock.
func (d *db) recall(c *conn, set string) (standing, bool) {
	d.mu.Lock()
	s := d.seen
	d.mu.Unlock()
	if s.client == nil || s.set != set || c.client() != s.client {
		return standing{}, false
	}
	var err error
	c.version, err = c.dataVersion()
	c.hasVersion = err == nil
	return standing{head: s.head}, c.hasVersion && c.version == s.version
}

// remember is called before the write lock is released: later commits by others change the version.
func (d *db) remember(b *transaction) {
	s := seen{client: b.c.client(), set: b.set, version: b.c.version, head: recordedAt(b.found.Head, b.entries).Head}
	var err error
	if !b.c.hasVersion { // unchanged since the transaction began: nobody else can have committed
		s.version, err = b.c.dataVersion()
	}
	if err != nil || !d.owned || !b.plain() {
		s = seen{}
	}
	d.mu.Lock()
	d.seen = s
	d.mu.Unlock()
}

// forget is called before a connection writes something that recall would not detect.
func (d *db) forget() {
	d.mu.Lock()
	d.seen = seen{}
	d.mu.Unlock()
}

// plain reports whether a Tx wrote only to its set's history, and neither found nor ended an
// interrupted run. A function's code can do anything.
func (b *transaction) plain() bool {
	if b.found.Interrupted {
		return false
	}
	for _, s := range b.scripts {
		if s.Func() != nil {
			return false
		}
	}
	for _, e := range b.entries {
		if e.Set != b.set {
			return false
		}
	}
	return true
}

func (c *conn) dataVersion() (version int64, err error) {
	err = c.ask("PRAGMA data_version").Scan(&version)
	return version, err
}

// client returns the underlying connection, which is the same each time it comes from the pool.
func (c *conn) client() (client any) {
	c.Raw(func(is any) error { client = is; return nil })
	return client
}
