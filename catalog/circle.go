package catalog

// Circular returns the IDs of the objects that depend on each other in a cycle. No creation order
// works for these unless some of their statements move to Late.
func Circular(objects []Object) []string {
	units := link(objects)
	t := tarjan{number: map[*unit]int{}, low: map[*unit]int{}, onStack: map[*unit]bool{}}
	for _, u := range units {
		if t.number[u] == 0 {
			t.visit(u)
		}
	}
	return t.circular
}

// tarjan finds strongly connected components.
type tarjan struct {
	number, low map[*unit]int
	onStack     map[*unit]bool
	stack       []*unit
	circular    []string
}

func (t *tarjan) visit(u *unit) {
	t.number[u] = len(t.number) + 1
	t.low[u] = t.number[u]
	t.stack, t.onStack[u] = append(t.stack, u), true
	for _, b := range u.before {
		if t.number[b] == 0 {
			t.visit(b)
			t.low[u] = min(t.low[u], t.low[b])
		} else if t.onStack[b] {
			t.low[u] = min(t.low[u], t.number[b])
		}
	}
	if t.low[u] != t.number[u] {
		return
	}
	first := len(t.stack) - 1
	for t.stack[first] != u {
		first--
	}
	for _, member := range t.stack[first:] {
		t.onStack[member] = false
		if len(t.stack)-first > 1 {
			t.circular = append(t.circular, member.head().ID())
		}
	}
	t.stack = t.stack[:first]
}
