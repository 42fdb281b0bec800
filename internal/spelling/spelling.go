// Package spelling measures the distance between two words, for suggestions.
package spelling

// Distance returns the number of edits that turn a into b: bytes to change, insert or delete, and
// pairs of adjacent bytes to swap.
func Distance(a, b string) int {
	// The last three rows of the table of distances between prefixes of a and b.
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, above, row = above, row, before
		row[0] = i + 1
		for j := range len(b) {
			change := above[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, above[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
