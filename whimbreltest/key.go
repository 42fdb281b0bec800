package whimbreltest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"

	"github.com/whimbrel-db/whimbrel/migration"
)

// keyFormat changes when a template is made in another way.
const keyFormat = "whimbreltest 2"

// key identifies everything that decides what a template contains, apart from the server.
func (c contents) key(o Options) (string, error) {
	k := &keyer{h: sha256.New()}
	k.add(keyFormat, c.set.Name(), o.Database.Schema, o.Database.HistoryTable, o.Database.App)
	k.add(o.Migrator.Atomic, o.Migrator.TextLimit, o.Migrator.ReadMetadata != nil)
	for _, list := range [][]migration.Migration{c.set.All(), c.set.Baselines()} {
		k.add(len(list))
		for _, m := range list {
			k.add(m.Version, m.Name, m.Down != nil, m.Metadata != nil)
			if m.Metadata != nil {
				k.script(m.Metadata)
			}
		}
	}
	for _, r := range c.set.Repeatables() {
		k.add(r.Name)
	}
	c.set.With(func(s *migration.Script) *migration.Script { // all of them, with the originals of squashes
		k.script(s)
		return s
	})
	k.add(len(c.seeds))
	for _, s := range c.seeds {
		k.add(s.Name)
		k.script(s.Script)
	}
	return hex.EncodeToString(k.h.Sum(nil)), k.err
}

type keyer struct {
	h   hash.Hash
	err error // the first one
}

func (k *keyer) add(values ...any) {
	for _, v := range values {
		text := fmt.Sprint(v)
		fmt.Fprintf(k.h, "%d:%s", len(text), text)
	}
}

// script adds a script: its text, since a checksum ignores line ends.
func (k *keyer) script(s *migration.Script) {
	k.add(s.Checksum, s.Directives, len(s.Replaces), s.Size)
	for _, r := range s.Replaces {
		k.add(r.Version, r.Checksum)
	}
	if s.Func() != nil {
		sum, err := program()
		k.add(sum)
		k.fail(err)
		return
	}
	text, err := s.Open()
	if err == nil {
		_, err = io.Copy(k.h, text)
		text.Close()
	}
	k.fail(err)
}

func (k *keyer) fail(err error) {
	if k.err == nil {
		k.err = err
	}
}

// program returns the checksum of this program. What a Go function does changes with it.
var program = sync.OnceValues(func() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
})
