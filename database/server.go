package database

import (
	"context"
	"slices"
)

// Identifier is a Database whose server can say which one it is.
type Identifier interface {
	// Identify asks the server which one it is. It is an error if the server does not tell.
	Identify(ctx context.Context) (Identity, error)
}

// Identity is what a server says of itself.
type Identity struct {
	// Names are what no other server says of itself, unless the two share their data: copies,
	// replicas and the nodes of a cluster have one in common. Names begin with their kind:
	// "system_identifier 7423…".
	Names []string
	// Aliases are what servers that replicate this one call it. Other servers may have the same.
	Aliases []string
	// Feeds are the names and aliases of servers from which this one has taken changes, as far as
	// it tells.
	Feeds []string
}

// Apart reports whether two servers are proven to be different ones that share nothing: no replica
// of one another, and no nodes of one cluster. Otherwise why says what speaks for one, or that
// nothing can be said.
func Apart(ctx context.Context, a, b Database) (apart bool, why string) {
	var ids [2]Identity
	for i, db := range []Database{a, b} {
		d, err := power[Identifier](db, PowerIdentify)
		if err != nil {
			return false, err.Error()
		}
		if ids[i], err = d.Identify(ctx); err != nil {
			return false, "a server does not say which one it is: " + err.Error()
		}
	}
	if a.Dialect() != b.Dialect() {
		return true, ""
	}
	return apartBy(ids[0], ids[1])
}

// apartBy compares what two servers of one kind say of themselves.
func apartBy(a, b Identity) (apart bool, why string) {
	if len(a.Names) == 0 || len(b.Names) == 0 {
		return false, "a server does not say which one it is"
	}
	for _, pair := range [][2]Identity{{a, b}, {b, a}} {
		for _, name := range pair[0].Names {
			for _, other := range pair[1].Names {
				if name == other {
					return false, "both say that they are " + name
				}
			}
		}
		for _, name := range slices.Concat(pair[0].Names, pair[0].Aliases) {
			if slices.Contains(pair[1].Feeds, name) {
				return false, "one of them replicates " + name + ", which may be the other"
			}
		}
	}
	return true, ""
}
