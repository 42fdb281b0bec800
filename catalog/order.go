package catalog

import (
	"cmp"
	"container/heap"
	"slices"

	"github.com/whimbrel-db/whimbrel/internal/order"
)

// New creates a Snapshot of objects in any order, except that parts must follow their owner. Each
// object is placed after those it needs; otherwise kind, schema and name decide, so the result
// doesn't depend on the order in which the database listed them.
func New(dialect, server string, objects []Object) *Snapshot {
	return &Snapshot{Dialect: dialect, Server: server, Objects: arrange(objects)}
}

// unit is an object with its parts.
type unit struct {
	objects []Object
	waits   int     // number of units it waits for
	before  []*unit // units that wait for it
	done    bool
}

func (u *unit) head() *Object { return &u.objects[0] }

func compareUnits(a, b *unit) int {
	x, y := a.head(), b.head()
	return cmp.Or(cmp.Compare(x.Kind.rank(), y.Kind.rank()), cmp.Compare(x.Schema, y.Schema), cmp.Compare(x.Of, y.Of),
		cmp.Compare(x.Name, y.Name), cmp.Compare(x.Signature, y.Signature))
}

func arrange(objects []Object) []Object {
	units := link(objects)
	ready := &queue{}
	for _, u := range units {
		if u.waits == 0 {
			heap.Push(ready, u)
		}
	}
	ordered := make([]Object, 0, len(objects))
	next := 0
	for len(ordered) < len(objects) {
		if ready.Len() == 0 { // a cycle: break it at the first unit in order
			for units[next].done {
				next++
			}
			heap.Push(ready, units[next])
		}
		u := heap.Pop(ready).(*unit)
		if u.done {
			continue
		}
		u.done = true
		ordered = append(ordered, u.objects...)
		for _, b := range u.before {
			if b.waits--; b.waits == 0 && !b.done {
				heap.Push(ready, b)
			}
		}
	}
	return ordered
}

// link groups objects into units, in order, and connects each with those it needs.
func link(objects []Object) (units []*unit) {
	byID := make(map[string]*unit, len(objects))
	for i := 0; i < len(objects); {
		j := i + 1
		for j < len(objects) && objects[j].Part {
			j++
		}
		u := &unit{objects: objects[i:j]}
		for k := i; k < j; k++ {
			byID[objects[k].ID()] = u
		}
		units = append(units, u)
		i = j
	}
	order.StableBy(units, compareUnits)
	for _, u := range units {
		var seen []*unit
		for _, o := range u.objects {
			for _, id := range o.Needs {
				n := byID[id]
				if n == nil || n == u || slices.Contains(seen, n) {
					continue
				}
				seen = append(seen, n)
				n.before = append(n.before, u)
				u.waits++
			}
		}
	}
	return units
}

// queue is a heap of units that can be created.
type queue []*unit

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return compareUnits(q[i], q[j]) < 0 }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(*unit)) }
func (q *queue) Pop() any {
	old := *q
	u := old[len(old)-1]
	*q = old[:len(old)-1]
	return u
}
