package source

import "io"

// AtlasSumOf returns the atlas.sum of files, given as names and texts in order.
func AtlasSumOf(pairs ...string) string {
	var s atlasSum
	h := newAtlasHasher()
	for i := 0; i < len(pairs); i += 2 {
		h.name(pairs[i])
		io.WriteString(h.h, pairs[i+1])
		s.lines = append(s.lines, atlasLine{name: pairs[i], hash: h.sum()})
	}
	return s.text()
}

// PlannedChanges returns the names of the changes of a sqitch.plan.
func PlannedChanges(text string) (names []string, err error) {
	read, p := readPlan("sqitch.plan", text)
	for _, c := range read.changes {
		names = append(names, c.name)
	}
	return names, p.err()
}
