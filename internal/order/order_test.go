package order_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/whimbrel-db/whimbrel/internal/order"
)

type pair struct{ key, place int }

func byKey(a, b pair) int { return cmp.Compare(a.key, b.key) }

func TestBy(t *testing.T) {
	for n := range 200 {
		list := make([]pair, n)
		for i := range list {
			list[i] = pair{rand.IntN(1 + n/3), i}
		}
		stable := slices.Clone(list)
		order.By(list, byKey)
		if !slices.IsSortedFunc(list, byKey) {
			t.Fatalf("By: %v", list)
		}
		order.StableBy(stable, byKey)
		if !slices.IsSortedFunc(stable, func(a, b pair) int { return cmp.Or(byKey(a, b), cmp.Compare(a.place, b.place)) }) {
			t.Fatalf("StableBy: %v", stable)
		}
	}
}
