package diagram

import (
	"cmp"
	"math"
	"slices"

	"github.com/whimbrel-db/whimbrel/internal/order"
)

const gapPack = 40.0 // between the groups of a picture

// groups returns the indexes of tables that are related to each other, directly or indirectly.
func (d *Diagram) groups() [][]int {
	group := make([]int, len(d.Tables)) // the first table of each one's group, in the end
	for i := range group {
		group[i] = i
	}
	var find func(int) int
	find = func(i int) int {
		if group[i] != i {
			group[i] = find(group[i])
		}
		return group[i]
	}
	for _, r := range d.Relations {
		a, b := find(r.From), find(r.To)
		group[max(a, b)] = min(a, b)
	}
	byFirst := map[int]int{}
	var all [][]int
	for i := range group {
		first := find(i)
		n, ok := byFirst[first]
		if !ok {
			n = len(all)
			byFirst[first] = n
			all = append(all, nil)
		}
		all[n] = append(all[n], i)
	}
	return all
}

// pack places the layouts of groups: those of several tables in rows, the tallest first; single
// tables below them, in columns. It returns the size of the picture.
func pack(all []*layout) (w, h float64) {
	area, widest := 0.0, 0.0
	for _, l := range all {
		area += (l.w + gapPack) * (l.h + gapPack)
		widest = max(widest, l.w)
	}
	limit := max(widest, math.Sqrt(area*1.7))
	single := func(l *layout) bool { return len(l.boxes) == 1 }
	related := slices.DeleteFunc(slices.Clone(all), single)
	order.StableBy(related, func(a, b *layout) int { return cmp.Compare(b.h, a.h) })
	x, row := 0.0, 0.0
	for _, l := range related {
		if x > 0 && x+l.w > limit {
			x, h, row = 0, h+row+gapPack, 0
		}
		l.x, l.y = x, h
		x, row = x+l.w+gapPack, max(row, l.h)
		w = max(w, l.x+l.w)
	}
	if len(related) > 0 {
		h += row
	}
	if singles := slices.DeleteFunc(slices.Clone(all), func(l *layout) bool { return !single(l) }); len(singles) > 0 {
		if h > 0 {
			h += gapPack
		}
		columnsW, columnsH := packColumns(singles, max(limit, w), h)
		w, h = max(w, columnsW), columnsH
	}
	return w, h
}

// packColumns places single tables in columns below top: each in the shortest column.
func packColumns(all []*layout, limit, top float64) (w, h float64) {
	widest := 0.0
	for _, l := range all {
		widest = max(widest, l.w)
	}
	n := max(1, min(len(all), int((limit+gapY)/(widest+gapY))))
	bottoms := make([]float64, n)
	for i := range bottoms {
		bottoms[i] = top
	}
	for _, l := range all {
		at := slices.Index(bottoms, slices.Min(bottoms))
		l.x, l.y = float64(at)*(widest+gapY), bottoms[at]
		bottoms[at] += l.h + gapY
		w, h = max(w, l.x+l.w), max(h, l.y+l.h)
	}
	return w, h
}
