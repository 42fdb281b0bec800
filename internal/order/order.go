// Package order sorts slices without generating code for each type: slices.SortFunc and
// SortStableFunc add some 20 kB to a program for every type of elements, and with dozens of types
// that is a thirtieth of the command.
package order

import "sort"

// By sorts a slice by a comparison, as slices.SortFunc does.
func By[E any](list []E, compare func(a, b E) int) {
	sort.Slice(list, func(i, j int) bool { return compare(list[i], list[j]) < 0 })
}

// StableBy is By, and keeps the order of equal elements, as slices.SortStableFunc does.
func StableBy[E any](list []E, compare func(a, b E) int) {
	sort.SliceStable(list, func(i, j int) bool { return compare(list[i], list[j]) < 0 })
}
