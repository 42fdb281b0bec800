package sqlite

// seen is what is known about a connection since it committed its last Tx of a set, so that the
// next Tx needs no query: with a thousand migrations in a thousand transactions, each query costs a
// tenth of the time. It is valid while the data version stays the same, which means that nobody has
// committed since.
type seen struct {
	client  any // identifies the connection
	set     string
	version uint32
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
	version, ok := c.dataVersion()
	return standing{head: s.head, recalled: true}, ok && version == s.version
}

// remember is called after the COMMIT, before the connection takes another lock: until then it does
// not notice commits by others.
func (d *db) remember(b *transaction) {
	s := seen{client: b.c.client(), set: b.set, head: recordedAt(b.found.Head, b.entries).Head}
	var ok bool
	if s.version, ok = b.c.dataVersion(); !ok || !d.owned || !b.plain() {
		s = seen{}
	}
	d.mu.Lock()
	d.seen = s
	d.mu.Unlock()
}

// plain reports whether a Tx wrote only to its set's history, and neither found nor ended an
// interrupted run. A function's code can do anything.
func (b *transaction) plain() bool {
	if b.found.Interrupted || b.filled {
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

// dataVersion returns a number that changes with each commit, whoever commits, as soon as the
// connection has taken a lock. Asking for it is no query.
func (c *conn) dataVersion() (version uint32, ok bool) {
	c.Raw(func(client any) (err error) { // a client without this method tells nothing
		if client, has := client.(interface {
			FileControlDataVersion(string) (uint32, error)
		}); has {
			version, err = client.FileControlDataVersion("main")
			ok = err == nil
		}
		return err
	})
	return version, ok
}

// client returns the underlying connection, which is the same each time it comes from the pool.
func (c *conn) client() (client any) {
	c.Raw(func(is any) error { client = is; return nil })
	return client
}
