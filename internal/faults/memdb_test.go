package faults

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
)

// memory is a place in memory. The points of a process are its calls of the contract.
type memory struct{ target *memdb.Target }

func (*memory) placeholders() []string {
	return []string{
		"{concurrently}", " CONCURRENTLY", "{of a}", "", "{of b}", "", "{of m}", "", "{vacuum m}", "SELECT 'vacuum'",
		"{begin serializable}", "BEGIN ISOLATION LEVEL SERIALIZABLE", "{set seven}", "SET seven = 7", "{insert 7 if seven is set}", "INSERT INTO m VALUES (7) WHERE seven = 7",
		"{copy 8 and 9 into m}", "COPY m FROM stdin;\n8\n9\n\\.\n", "{copy 21 and 22 into a}", "COPY a FROM stdin;\n21\n22\n\\.\n",
	}
}

func (p *memory) clean(context.Context) error {
	p.target = memdb.New()
	return nil
}

func (p *memory) open(ctx context.Context) (database.Database, error) {
	return p.target.Open(ctx, database.Options{})
}

func (p *memory) block(_ context.Context, table string) (func(), error) {
	return p.target.Block(table, database.Blockage{}), nil
}

func (p *memory) observer(ctx context.Context) (database.Database, error) { return p.open(ctx) }

// ways returns a kill before a call, after it, and in the middle of it.
func (p *memory) ways() []way {
	return []way{
		p.way("kill before a call", func(string) error { return memdb.ErrKilled }),
		p.way("kill after a call", func(op string) error {
			switch op {
			case memdb.OpRunExec, memdb.OpRunJournal, memdb.OpRunAnnounce, memdb.OpRunRecord:
				return memdb.ErrDone
			case memdb.OpTxCommit:
				return memdb.ErrCommitted
			}
			return memdb.ErrKilled
		}),
		p.way("kill in the middle of a call", func(op string) error {
			switch op {
			case memdb.OpRunExec:
				return memdb.ErrHalfway
			case memdb.OpTxCommit:
				return memdb.ErrNotCommitted
			}
			return memdb.ErrKilled
		}),
	}
}

func (p *memory) way(name string, errorOf func(op string) error) way {
	return way{name: name, arm: func(n int) fault {
		var calls atomic.Int64
		return fault{
			open: func(ctx context.Context) (database.Database, error) {
				db, err := p.target.Open(ctx, database.Options{})
				if err != nil {
					return nil, err
				}
				db.SetHook(func(op string) error {
					if calls.Add(1)-1 == int64(n) {
						return errorOf(op)
					}
					return nil
				})
				return db, nil
			},
			happened: func() bool { return calls.Load() > int64(n) },
			points:   func() int { return int(calls.Load()) },
		}
	}}
}

func (p *memory) describe(ctx context.Context) (string, error) {
	db, err := p.open(ctx)
	if err != nil {
		return "", err
	}
	defer db.Close()
	snapshot, err := database.Snapshot(ctx, db, catalog.Options{})
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(snapshot.Text())
	tables, err := p.target.Tables(ctx)
	if err != nil {
		return "", err
	}
	for _, name := range tables {
		rows, err := p.target.Rows(ctx, name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "rows of %s: %v\n", name, rows)
	}
	invalid, err := p.target.Invalid(ctx)
	if err != nil {
		return "", err
	}
	for _, name := range invalid {
		fmt.Fprintf(&b, "invalid: %s\n", name)
	}
	for set := range p.target.Locked() {
		fmt.Fprintf(&b, "locked: %s\n", set)
	}
	return b.String(), nil
}
