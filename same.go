package whimbrel

import (
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// sameStatements reports whether two texts differ in comments and white space alone.
func sameStatements(a, b string, d sqltext.Dialect) bool {
	words := func(text string) (all []string) {
		pieces, err := sqltext.Split(text, d, sqltext.Options{})
		if err != nil {
			return []string{text}
		}
		for _, p := range pieces {
			if p.Kind != sqltext.Empty {
				all = append(all, strings.Join(strings.Fields(p.Text), " "))
			}
		}
		return all
	}
	return slices.Equal(words(a), words(b))
}
