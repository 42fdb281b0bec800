package classic_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/adopt/classic"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

var errNoChange = errors.New("no change")

// program is a migration command of the contract. While it queues migrations, another goroutine
// reads ahead of it and asks the driver what is applied.
type program struct {
	d    classic.Driver
	last uint64            // versions are 1 to last
	file map[string]string // "2.up.sql"
}

// task is one file of a version.
type task struct {
	version        uint64
	up             bool
	fileType, name string
}

// send queues what a reader finds, as one unit.
func (p program) send(read func(chan<- any)) (err error) {
	if err := p.d.Lock(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.d.UnLock()) }()
	tasks := make(chan any, 10)
	go func() {
		defer close(tasks)
		read(tasks)
	}()
	inserted := uint64(0)
	for t := range tasks {
		switch t := t.(type) {
		case error:
			p.d.ResetQuery()
			return t
		case task:
			text, ok := p.file[t.name]
			if !ok {
				continue
			}
			if err := p.d.Run(strings.NewReader(text), t.fileType, t.name); err != nil {
				return err
			}
			switch {
			case !t.up:
				err = p.d.RemoveVersion(int64(t.version))
			case t.version != inserted:
				inserted = t.version
				err = p.d.InsertVersion(int64(t.version))
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (p program) up() error {
	return p.send(func(tasks chan<- any) {
		pending := false
		for v := uint64(1); v <= p.last; v++ {
			if p.d.Read(v) {
				continue
			}
			pending = true
			n := strconv.FormatUint(v, 10)
			tasks <- task{v, true, "sql", n + ".up.sql"}
			tasks <- task{v, true, "meta", n + ".up.yaml"}
		}
		if !pending {
			tasks <- errNoChange
		}
	})
}

func (p program) down(steps int) error {
	return p.send(func(tasks chan<- any) {
		v, ok := p.d.Last()
		if !ok {
			tasks <- errNoChange
		}
		for ; ok && steps > 0; steps-- {
			prev, more := p.d.Prev(v)
			n := strconv.FormatUint(v, 10)
			tasks <- task{v, false, "meta", n + ".down.yaml"}
			tasks <- task{v, false, "sql", n + ".down.sql"}
			v, ok = prev, more
		}
	})
}

func TestAProgramOfTheContract(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "app.db")
	d, err := classic.Open(url, true, nil)
	noError(t, err)
	defer d.Close()
	p := program{d: d, last: 40, file: map[string]string{
		"7.up.yaml":  "tables: {t7: {owner: me}}",
		"8.up.yaml":  "- type: run_sql\n  args: {sql: INSERT INTO t8 VALUES (1)}",
		"9.up.yaml":  "[]",
		"8.down.sql": "DELETE FROM t8; DROP TABLE t8",
	}}
	for v := range 40 {
		n := strconv.Itoa(v + 1)
		p.file[n+".up.sql"] = "CREATE TABLE t" + n + " (x int);\n"
		p.file[n+".down.yaml"] = ""
		if v != 7 {
			p.file[n+".down.sql"] = "DROP TABLE t" + n
		}
	}
	noError(t, p.up())
	wantVersion(t, d, 40, false)
	wantChecksums(t, url, p)
	if err := p.up(); !errors.Is(err, errNoChange) || err.Error() != "no change" {
		t.Errorf("got %v, want no change", err)
	}
	noError(t, p.down(3))
	wantVersion(t, d, 37, false)
	noError(t, p.up())
	wantVersion(t, d, 40, false)

	p.file["39.down.sql"] = "DROP TABLE missing"
	wantError(t, p.down(40), "39.down.sql:1:")
	wantVersion(t, d, 40, false)
	p.file["39.down.sql"] = "DROP TABLE t39"
	noError(t, p.down(100))
	wantVersion(t, d, classic.NilVersion, false)
	if err := p.down(1); !errors.Is(err, errNoChange) {
		t.Errorf("got %v, want no change", err)
	}
}

// wantChecksums expects that the history knows each migration as its file.
func wantChecksums(t *testing.T, url string, p program) {
	t.Helper()
	db, err := database.Open(t.Context(), url, database.Options{})
	noError(t, err)
	defer db.Close()
	st, err := db.State(t.Context(), migration.DefaultSet)
	noError(t, err)
	for a := range st.Applied.All() {
		if a.Checksum != migration.Sum(p.file[fmt.Sprintf("%d.up.sql", a.Version)]) {
			t.Errorf("version %d has another checksum than its file", a.Version)
		}
	}
}
