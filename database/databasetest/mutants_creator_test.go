package databasetest

import (
	"context"
	"sync"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
)

// memServer is a server with at most one database, of memdb.
type memServer struct {
	mu      sync.Mutex
	target  *memdb.Target // nil if it does not exist
	clients map[*memClient]bool
}

// memClient is a Database of a memServer.
type memClient struct {
	*memdb.Database
	server *memServer
}

func (m *memClient) Close() error {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	delete(m.server.clients, m)
	return m.Database.Close()
}

func (s *memServer) create(context.Context) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.target != nil {
		return false, nil
	}
	s.target = memdb.New()
	return true, nil
}

func (s *memServer) drop(_ context.Context, force bool) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.target == nil:
		return false, nil
	case len(s.clients) > 0 && !force:
		return false, &database.OccupiedError{Name: "mem", Clients: len(s.clients)}
	}
	for m := range s.clients {
		m.Kill()
	}
	clear(s.clients)
	s.target = nil
	return true, nil
}

func (s *memServer) open(ctx context.Context, opts database.Options) (database.Database, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.target == nil {
		return nil, &database.ConnectError{NoDatabase: true}
	}
	db, err := s.target.Driver().Open(ctx, "mem:", opts)
	if err != nil {
		return nil, err
	}
	m := &memClient{db.(*memdb.Database), s}
	s.clients[m] = true
	return m, nil
}

// plainCreator returns a target that keeps the contract of Creator.
func plainCreator() Target {
	s := &memServer{clients: map[*memClient]bool{}}
	return Target{Open: s.open, creator: creator{s.create, s.drop}}
}

// creates and drops alter Create and Drop.
func creates(name string, breaks *promise, alter func(ctx context.Context, t Target) (bool, error)) creatorMutant {
	return creatorMutant{name, breaks, func(t *Target) {
		plain := *t
		t.creator.create = func(ctx context.Context) (bool, error) { return alter(ctx, plain) }
	}}
}

func drops(name string, breaks *promise, alter func(ctx context.Context, t Target, force bool) (bool, error)) creatorMutant {
	return creatorMutant{name, breaks, func(t *Target) {
		plain := *t
		t.creator.drop = func(ctx context.Context, force bool) (bool, error) { return alter(ctx, plain, force) }
	}}
}

// creatorMutant is a Creator that breaks one promise.
type creatorMutant struct {
	name   string
	breaks *promise
	alter  func(*Target)
}

func (m creatorMutant) newTarget() Target {
	t := plainCreator()
	m.alter(&t)
	return t
}

var creatorMutants = []creatorMutant{
	creates("Create does nothing", createNew, func(context.Context, Target) (bool, error) { return false, nil }),
	creates("a new database is not empty", createNew, func(ctx context.Context, t Target) (bool, error) {
		created, err := t.creator.create(ctx)
		if err != nil || !created {
			return created, err
		}
		db, err := t.Open(ctx, database.Options{})
		if err != nil {
			return false, err
		}
		defer db.Close()
		tx, _, err := db.Begin(ctx, "s", patient)
		if err != nil {
			return false, err
		}
		return true, execAndCommit(ctx, tx, text("CREATE TABLE t (x int)"), 1)
	}),
	creates("everybody creates the database", createOnce, func(ctx context.Context, t Target) (bool, error) {
		_, err := t.creator.create(ctx)
		return true, err
	}),
	creates("Create of a database that exists fails", createExists, func(ctx context.Context, t Target) (bool, error) {
		created, err := t.creator.create(ctx)
		if err == nil && !created {
			err = database.ErrReadOnly
		}
		return created, err
	}),
	creates("Create empties a database that exists", createExists, func(ctx context.Context, t Target) (bool, error) {
		dropped, err := t.creator.drop(ctx, true)
		if err != nil {
			return false, err
		}
		_, err = t.creator.create(ctx)
		return !dropped, err
	}),
	drops("Drop does nothing", dropEverything, func(context.Context, Target, bool) (bool, error) { return true, nil }),
	drops("Drop says nothing", dropEverything, func(ctx context.Context, t Target, force bool) (bool, error) {
		_, err := t.creator.drop(ctx, force)
		return false, err
	}),
	drops("Drop drops what does not exist", dropMissing, func(ctx context.Context, t Target, force bool) (bool, error) {
		_, err := t.creator.drop(ctx, force)
		return err == nil, err
	}),
	drops("Drop obeys a setting", dropSettings, func(ctx context.Context, t Target, force bool) (bool, error) {
		if db, err := t.Open(ctx, database.Options{}); err == nil {
			defer db.Close()
			st, err := db.State(ctx, "s")
			if err != nil || st.Settings.Bool(database.Frozen) {
				return false, err
			}
			db.Close()
		}
		return t.creator.drop(ctx, force)
	}),
	drops("Drop ends the sessions of clients", dropOccupied, func(ctx context.Context, t Target, _ bool) (bool, error) {
		return t.creator.drop(ctx, true)
	}),
	drops("Drop by force spares clients", dropForce, func(ctx context.Context, t Target, _ bool) (bool, error) {
		return t.creator.drop(ctx, false)
	}),
}
