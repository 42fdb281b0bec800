package databasetest

import (
	"context"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
)

// required is a driver that only has the required methods.
type required struct{ database.Database }

type requiredTx struct{ database.Tx }

func (d required) Begin(ctx context.Context, set string, opts database.LockOptions) (database.Tx, database.Found, error) {
	tx, found, err := d.Database.Begin(ctx, set, opts)
	return requiredTx{tx}, found, err
}

// requiredTarget returns a target of such a driver.
func requiredTarget() Target {
	t := plain()
	open, sever := t.Open, t.Break
	t.Open = func(ctx context.Context, opts database.Options) (database.Database, error) {
		db, err := open(ctx, opts)
		return required{db}, err
	}
	t.Break = func(db database.Database) { sever(db.(required).Database) }
	t.Powers = nil
	return t
}

// A driver that only has the required methods passes.
func TestMemdbWithRequiredMethodsAlone(t *testing.T) {
	Run(t, func(*testing.T) Target { return requiredTarget() })
}

// A driver without a power of Target.Powers fails; without another one, it is skipped.
func TestPowersThatAreMissing(t *testing.T) {
	lost := map[database.Power]bool{}
	for _, tc := range cases() {
		if message := record(t, tc, requiredTarget).message; message != "" {
			t.Errorf("%s: without its powers the driver fails: %s", tc.name, message)
		}
		message := record(t, tc, func() Target {
			target := requiredTarget()
			target.Powers = plain().Powers
			return target
		}).message
		for _, p := range plain().Powers {
			lost[p] = lost[p] || strings.Contains(message, "can't "+string(p))
		}
	}
	for _, p := range memTarget(memdb.New()).Powers {
		if !lost[p] {
			t.Errorf("no case fails for a driver that must %s, and can't", p)
		}
	}
}
