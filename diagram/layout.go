package diagram

import (
	"cmp"
	"math"
	"slices"

	"github.com/whimbrel-db/whimbrel/internal/order"
)

// The layout places tables in layers from left to right, as Sugiyama, Tagawa and Toda describe
// (1981): a table is to the right of those that it refers to. Its steps are
//
//  1. rank: a layer for each table, of limited height, so that many tables that refer to one don't
//     become a column of many screens;
//  2. bundle: an edge over several layers passes through a slot in each layer between. All edges
//     of one referenced column share their slots, and become one line with branches;
//  3. order: tables and slots of a layer, such that few edges cross;
//  4. straighten: their heights, such that edges are nearly level.
//
// Tables without relations between them are laid out apart, and then packed.

// box is a table to place, or a slot.
type box struct {
	table int // -1 for a slot
	w, h  float64
	x, y  float64
	layer int
	ends  []end // of the edges, on both sides
}

// end is one side of an edge: where the edge meets the box, and the box at the other side.
type end struct {
	other       int
	own, others float64 // heights below the tops of the boxes
}

// edge is a foreign key between two boxes; left is in the layer further left.
type edge struct {
	relation          int
	left, right       int
	leftRow, rightRow float64 // heights below the tops of the boxes
	reversed          bool    // the table with the key is on the left
	slots             []int   // the boxes that it passes, from left to right
}

// layout is the layout of tables that are related to each other.
type layout struct {
	boxes  []box
	edges  []edge
	layers [][]int   // boxes from top to bottom
	ends   []float64 // where each layer ends on the right
	x, y   float64   // its place in the picture
	w, h   float64
}

const (
	gapY       = 26.0 // between tables of a layer
	gapX       = 64.0 // between layers, without the space for edges
	gapEdge    = 5.0  // the space between layers for one more bundle of edges
	slotHeight = 8.0
	sweeps     = 12
)

// arrange lays out boxes and their edges.
func arrange(boxes []box, edges []edge) *layout {
	l := &layout{boxes: boxes, edges: edges}
	l.rank()
	l.bundle()
	l.order()
	l.straighten()
	l.columns()
	return l
}

// rank turns the edges that would form a cycle, and assigns layers.
func (l *layout) rank() {
	order := l.acyclic()
	area, tallest := 0.0, 0.0
	for _, b := range l.boxes {
		area += (b.w + 2*gapX) * (b.h + gapY)
		tallest = max(tallest, b.h)
	}
	limit := max(tallest*1.5, math.Sqrt(area*0.7))
	in := l.incoming()
	var heights []float64
	for _, i := range order {
		at := 0
		for _, left := range in[i] {
			at = max(at, l.boxes[left].layer+1)
		}
		for ; ; at++ {
			if at == len(heights) {
				heights = append(heights, 0)
			}
			if heights[at] == 0 || heights[at]+l.boxes[i].h <= limit {
				break
			}
		}
		l.boxes[i].layer = at
		heights[at] += l.boxes[i].h + gapY
	}
	l.pullRight(order)
}

// acyclic turns edges such that there are no cycles, and returns the boxes in an order in which all
// edges lead forward.
func (l *layout) acyclic() []int {
	out := make([][]int, len(l.boxes)) // indexes of edges
	for i, e := range l.edges {
		out[e.left] = append(out[e.left], i)
	}
	state := make([]int, len(l.boxes)) // 1: on the path, 2: done
	var order []int
	var visit func(int)
	visit = func(i int) {
		state[i] = 1
		for _, n := range out[i] {
			e := &l.edges[n]
			switch state[e.right] {
			case 0:
				visit(e.right)
			case 1:
				e.left, e.right, e.leftRow, e.rightRow = e.right, e.left, e.rightRow, e.leftRow
				e.reversed = true
			}
		}
		state[i] = 2
		order = append(order, i)
	}
	for i := range l.boxes {
		if state[i] == 0 {
			visit(i)
		}
	}
	slices.Reverse(order)
	return order
}

func (l *layout) incoming() [][]int {
	in := make([][]int, len(l.boxes))
	for _, e := range l.edges {
		in[e.right] = append(in[e.right], e.left)
	}
	return in
}

// pullRight moves tables that refer to none next to the first one that refers to them.
func (l *layout) pullRight(order []int) {
	in, nearest := l.incoming(), map[int]int{}
	for _, e := range l.edges {
		at := l.boxes[e.right].layer - 1
		if first, ok := nearest[e.left]; !ok || at < first {
			nearest[e.left] = at
		}
	}
	for _, i := range order {
		if at, ok := nearest[i]; ok && len(in[i]) == 0 {
			l.boxes[i].layer = at
		}
	}
}

// bundle creates the slots of edges and links neighbouring boxes.
func (l *layout) bundle() {
	type place struct {
		box   int
		row   float64
		layer int
	}
	slots := map[place]int{}
	for n := range l.edges {
		e := &l.edges[n]
		at, row := e.left, e.leftRow
		for layer := l.boxes[e.left].layer + 1; layer < l.boxes[e.right].layer; layer++ {
			key := place{e.left, e.leftRow, layer}
			slot, shared := slots[key]
			if !shared {
				slot = len(l.boxes)
				slots[key] = slot
				l.boxes = append(l.boxes, box{table: -1, h: slotHeight, layer: layer})
				l.link(at, slot, row, slotHeight/2)
			}
			e.slots = append(e.slots, slot)
			at, row = slot, slotHeight/2
		}
		l.link(at, e.right, row, e.rightRow)
	}
	for i := range l.boxes {
		for len(l.layers) <= l.boxes[i].layer {
			l.layers = append(l.layers, nil)
		}
		l.layers[l.boxes[i].layer] = append(l.layers[l.boxes[i].layer], i)
	}
}

func (l *layout) link(a, b int, rowA, rowB float64) {
	l.boxes[a].ends = append(l.boxes[a].ends, end{b, rowA, rowB})
	l.boxes[b].ends = append(l.boxes[b].ends, end{a, rowB, rowA})
}

// order sorts each layer by the mean height of the neighbours in the layer before it, from left to
// right and back, and keeps the order with the fewest crossings.
func (l *layout) order() {
	best, fewest := l.clone(), l.crossings()
	for n := range sweeps {
		step := 1
		if n%2 == 1 {
			step = -1
		}
		for k := range l.layers {
			at := k
			if step < 0 {
				at = len(l.layers) - 1 - k
			}
			l.sortLayer(at, at-step)
		}
		if c := l.crossings(); c < fewest {
			best, fewest = l.clone(), c
		}
	}
	l.layers = best
}

func (l *layout) clone() [][]int {
	all := make([][]int, len(l.layers))
	for i := range l.layers {
		all[i] = slices.Clone(l.layers[i])
	}
	return all
}

// sortLayer orders a layer by the positions of the neighbours in the layer beside it. Boxes without
// neighbours there keep their places.
func (l *layout) sortLayer(at, beside int) {
	if beside < 0 || beside >= len(l.layers) {
		return
	}
	positions, wanted := l.positions(beside), map[int]float64{}
	for place, i := range l.layers[at] {
		sum, n := 0.0, 0
		for _, e := range l.boxes[i].ends {
			if p, ok := positions[e.other]; ok {
				sum += p + e.others/10000
				n++
			}
		}
		if wanted[i] = float64(place) / float64(len(l.layers[at])) * float64(len(l.layers[beside])); n > 0 {
			wanted[i] = sum / float64(n)
		}
	}
	order.StableBy(l.layers[at], func(a, b int) int { return cmp.Compare(wanted[a], wanted[b]) })
}

func (l *layout) positions(layer int) map[int]float64 {
	all := map[int]float64{}
	for place, i := range l.layers[layer] {
		all[i] = float64(place)
	}
	return all
}

// crossings counts the pairs of edges that cross between neighbouring layers.
func (l *layout) crossings() (total int) {
	for at := 0; at+1 < len(l.layers); at++ {
		right := l.positions(at + 1)
		type line struct{ left, right float64 }
		var lines []line
		for place, i := range l.layers[at] {
			for _, e := range l.boxes[i].ends {
				if p, ok := right[e.other]; ok {
					lines = append(lines, line{float64(place) + e.own/10000, p + e.others/10000})
				}
			}
		}
		order.By(lines, func(a, b line) int { return cmp.Or(cmp.Compare(a.left, b.left), cmp.Compare(a.right, b.right)) })
		var seen []float64 // sorted
		for _, ln := range lines {
			i, _ := slices.BinarySearch(seen, ln.right+1e-9)
			total += len(seen) - i
			seen = slices.Insert(seen, i, ln.right)
		}
	}
	return total
}

// straighten assigns heights: each box moves towards the mean of its neighbours, as far as the
// order allows.
func (l *layout) straighten() {
	for _, layer := range l.layers {
		y := 0.0
		for _, i := range layer {
			l.boxes[i].y = y
			y += l.boxes[i].h + l.space(i)
		}
	}
	for n := range sweeps {
		for k := range l.layers {
			at, beside := k, -1
			if n%2 == 1 {
				at, beside = len(l.layers)-1-k, 1
			}
			if n >= sweeps-2 {
				beside = 0 // both sides
			}
			l.settle(at, beside)
		}
	}
	top := math.Inf(1)
	for _, b := range l.boxes {
		top = min(top, b.y)
	}
	for i := range l.boxes {
		l.boxes[i].y -= top
		l.h = max(l.h, l.boxes[i].y+l.boxes[i].h)
	}
}

// space returns the distance below a box.
func (l *layout) space(i int) float64 {
	if l.boxes[i].table < 0 {
		return slotHeight
	}
	return gapY
}

// block is a run of boxes that touch each other.
type block struct {
	sum, weight float64
	n           int
}

// settle moves the boxes of a layer as near as possible to where their neighbours are, without
// overlaps. It is an isotonic regression, by merging adjacent violators.
func (l *layout) settle(at, beside int) {
	layer := l.layers[at]
	var blocks []block
	offsets, offset := make([]float64, len(layer)), 0.0
	for k, i := range layer {
		offsets[k] = offset
		offset += l.boxes[i].h + l.space(i)
		wanted, weight := l.wanted(i, at+beside, beside == 0)
		b := block{(wanted - offsets[k]) * weight, weight, 1}
		for len(blocks) > 0 && blocks[len(blocks)-1].sum/blocks[len(blocks)-1].weight > b.sum/b.weight {
			last := blocks[len(blocks)-1]
			b = block{b.sum + last.sum, b.weight + last.weight, b.n + last.n}
			blocks = blocks[:len(blocks)-1]
		}
		blocks = append(blocks, b)
	}
	k := 0
	for _, b := range blocks {
		for range b.n {
			l.boxes[layer[k]].y = b.sum/b.weight + offsets[k]
			k++
		}
	}
}

// wanted returns where a box would be if its edges to a layer, or to both, were level, and how much
// that counts. Lines through slots count more, because bends are ugly there.
func (l *layout) wanted(i, layer int, both bool) (y, weight float64) {
	for _, e := range l.boxes[i].ends {
		other := &l.boxes[e.other]
		if !both && other.layer != layer {
			continue
		}
		w := 1.0
		if l.boxes[i].table < 0 && other.table < 0 {
			w = 8
		}
		y += (other.y + e.others - e.own) * w
		weight += w
	}
	if weight == 0 {
		return l.boxes[i].y, 0.01
	}
	return y / weight, weight
}

// columns assigns the horizontal places.
func (l *layout) columns() {
	bundles := make([]map[[2]float64]bool, len(l.layers))
	for _, e := range l.edges {
		at := l.boxes[e.right].layer
		if bundles[at] == nil {
			bundles[at] = map[[2]float64]bool{}
		}
		bundles[at][[2]float64{float64(e.left), e.leftRow}] = true
	}
	x := 0.0
	for at, layer := range l.layers {
		if at > 0 {
			x += gapX + gapEdge*float64(min(len(bundles[at]), 24))
		}
		w := 0.0
		for _, i := range layer {
			l.boxes[i].x = x
			w = max(w, l.boxes[i].w)
		}
		for _, i := range layer {
			if l.boxes[i].table < 0 {
				l.boxes[i].w = w
			}
		}
		x += w
		l.ends = append(l.ends, x)
	}
	l.w = x
}
