package database

import (
	"context"
	"slices"
)

// Identifier is a Database that can identify its server.
type Identifier interface {
	// Identify reads the identity of the server. It returns an error if the server has none.
	Identify(ctx context.Context) (Identity, error)
}

// Identity identifies a server.
type Identity struct {
	// Names are unique, except that servers which share their data have one in common: copies,
	// replicas and the nodes of a cluster. Each begins with its kind: "system_identifier 7423…".
	Names []string
	// Aliases are the names that its replicas use for it. Other servers can have the same.
	Aliases []string
	// Feeds are the names and aliases of servers from which this one has received changes, as far
	// as it knows.
	Feeds []string
}

// Apart reports whether two servers are proven to share nothing: neither is a replica of the other,
// and they are not nodes of one cluster. If it is not proven, why is the reason.
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

// apartBy compares the identities of two servers of one kind.
func apartBy(a, b Identity) (apart bool, why string) {
	if len(a.Names) == 0 || len(b.Names) == 0 {
		return false, "a server does not say which one it is"
	}
	for _, pair := range [][2]Identity{{a, b}, {b, a}} {
		for _, name := range pair[0].Names {
			for _, other := range pair[1].Names {
				if name == other {
					return false, "both report " + name
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
