package whimbrel

import (
	"slices"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// enums determines when PostgreSQL accepts a value that was added to an enum: after the commit.
// Version 17 and later also accept it before, if the same transaction has created the type.
type enums struct {
	major   int                   // the server's version; 0 if it is unknown, which counts as old
	created []string              // by the steps of one transaction so far
	pending []migration.EnumValue // added by them; the following steps must not use them
}

const takesOwnValues = 17

// uses returns the first statement of a script that uses a new value and could not do so in the
// transaction that added it.
func (e enums) uses(a *migration.Analysis) *sqltext.Statement {
	for i, u := range a.UsedValues {
		if e.major < takesOwnValues || !u.Own && !slices.Contains(e.created, u.Type) {
			return &a.UsedValues[i].Statement
		}
	}
	return nil
}

// trapped is uses for a script that adds and uses the value in one transaction of its own.
func (e enums) trapped(a *migration.Analysis) *sqltext.Statement {
	for _, u := range a.UsedValues {
		if u.Trapped != nil && (e.major < takesOwnValues || !u.Together) {
			return u.Trapped
		}
	}
	return nil
}

// add records a script that shares its transaction with those that follow.
func (e *enums) add(a *migration.Analysis) {
	e.created = append(e.created, a.NewEnums...)
	for _, v := range a.NewValues {
		if e.major < takesOwnValues || !slices.Contains(e.created, v.Type) {
			e.pending = append(e.pending, v)
		}
	}
}
