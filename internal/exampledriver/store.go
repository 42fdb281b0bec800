package exampledriver

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/whimbrel-db/whimbrel/database"
)

// data is what the file contains.
type data struct {
	Tables    map[string][]string // rows by table
	Histories map[string]*history // by the name of the history table
	LastID    int64               // of an entry
}

// history is what other drivers keep in Whimbrel's own tables.
type history struct {
	Entries  []database.Entry
	Journals map[string]*database.Journal // by set
}

// history returns a history, or an empty one if the file does not have it.
func (d *data) history(name string) *history {
	if h := d.Histories[name]; h != nil {
		return h
	}
	return &history{}
}

// clone returns a copy. A transaction works on one; a real database has its own way.
func (d *data) clone() (*data, error) {
	b, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	c := &data{Tables: map[string][]string{}, Histories: map[string]*history{}}
	return c, json.Unmarshal(b, c)
}

// store is a file, shared by all Databases of this process that have it open. It plays the
// server. Its lock exists only in this process: a real driver takes a lock that the server releases
// when the connection ends.
type store struct {
	path string
	mu   sync.Mutex // guards what follows
	data *data
	lock *hold // who has the migration lock; nil for nobody
}

var (
	storesMu sync.Mutex
	stores   = map[string]*store{}
)

// openStore reads a file, which may be missing.
func openStore(path string) (*store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	storesMu.Lock()
	defer storesMu.Unlock()
	if s := stores[path]; s != nil {
		return s, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		b, err = []byte("{}"), nil
	}
	if err != nil {
		return nil, err
	}
	d := &data{Tables: map[string][]string{}, Histories: map[string]*history{}}
	if err := json.Unmarshal(b, d); err != nil {
		return nil, err
	}
	s := &store{path: path, data: d}
	stores[path] = s
	return s, nil
}

// snapshot returns a copy of what is committed.
func (s *store) snapshot() (*data, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data.clone()
}

// commit makes next what is committed: the rename is the moment at which it is durable.
func (s *store) commit(next *data) error {
	b, err := json.Marshal(next)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(s.path), ".commit-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after the rename
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.Rename(f.Name(), s.path); err != nil {
		return err
	}
	s.data = next
	return nil
}
