package source

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"io"
	"strings"
)

// atlasSum is the content of an atlas.sum: a line with the sum of all others, and a line for each
// file.
type atlasSum struct {
	total string
	lines []atlasLine
}

// atlasLine is the line of a file: "20240101_a.sql h1:…". Its hash covers the files before it, too.
type atlasLine struct {
	line       int
	name, hash string
}

const (
	atlasSumFile = "atlas.sum"
	atlasHash    = "h1:"
)

// readAtlasSum reads an atlas.sum. What is wrong with it becomes a problem of the file.
func readAtlasSum(file, text string) (s atlasSum, p problems) {
	text = strings.TrimSuffix(strings.TrimPrefix(text, byteOrderMark), "\n")
	line := 0
	for full := range strings.SplitSeq(text, "\n") {
		line++
		full = strings.TrimSuffix(full, "\r")
		name, sum, ok := strings.Cut(full, atlasHash)
		name = strings.TrimSpace(name)
		switch {
		case strings.HasPrefix(full, "<<<<<<<"), strings.HasPrefix(full, "======="), strings.HasPrefix(full, ">>>>>>>"):
			p.at(file, line, 1, "the file has a merge conflict; resolve it with: atlas migrate hash")
			return s, p
		case !ok || (name == "") != (line == 1) || !isAtlasHash(sum):
			p.at(file, line, 1, "the line is not a sum of Atlas, which looks like: %s", map[bool]string{true: atlasHash + "HASH", false: "20240131093000_add_users.sql " + atlasHash + "HASH"}[line == 1])
			return s, p
		case line == 1:
			s.total = sum
		default:
			s.lines = append(s.lines, atlasLine{line, name, sum})
		}
	}
	if total := atlasTotal(s.lines); total != s.total {
		p.at(file, 1, 1, "the first line is not the sum of the others: the file was edited or merged; check the migrations and run: atlas migrate hash")
	}
	return s, p
}

func isAtlasHash(text string) bool {
	b, err := base64.StdEncoding.DecodeString(text)
	return err == nil && len(b) == sha256.Size
}

// atlasTotal returns the sum of all lines.
func atlasTotal(lines []atlasLine) string {
	h := sha256.New()
	for _, l := range lines {
		io.WriteString(h, l.name)
		io.WriteString(h, l.hash)
	}
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// text returns the content of an atlas.sum with these lines.
func (s atlasSum) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s\n", atlasHash, atlasTotal(s.lines))
	for _, l := range s.lines {
		fmt.Fprintf(&b, "%s %s%s\n", l.name, atlasHash, l.hash)
	}
	return b.String()
}

// atlasHasher computes the hashes of files in their order.
type atlasHasher struct{ h hash.Hash }

func newAtlasHasher() *atlasHasher { return &atlasHasher{sha256.New()} }

// name begins a file.
func (a *atlasHasher) name(name string) { io.WriteString(a.h, name) }

// sum ends a file, whose content has been written to h.
func (a *atlasHasher) sum() string { return base64.StdEncoding.EncodeToString(a.h.Sum(nil)) }

// atlasFile is a file of the folder and the hash that atlas.sum should have for it; "" for a file
// that says "atlas:sum ignore".
type atlasFile struct{ name, hash string }

// compare reports each file that atlas.sum lacks, and each that it has and the folder lacks; and
// else the first one whose text differs. A hash covers the files before, so nothing can be said of
// the texts behind the first difference. names are those of the files as messages show them.
func (s atlasSum) compare(p *problems, file string, files []atlasFile, shown func(string) string) {
	const remedy = "; if that is intended, run: atlas migrate hash"
	there, listed := map[string]bool{}, map[string]int{}
	for _, f := range files {
		there[f.name] = f.hash != ""
	}
	differs := false
	for _, l := range s.lines {
		if has, in := there[l.name]; !in {
			p.at(file, l.line, 1, "%s is in the sum, but not in the folder%s", l.name, remedy)
			differs = true
		} else if !has {
			p.at(file, l.line, 1, "%s is in the sum, but says \"atlas:sum ignore\"%s", l.name, remedy)
			differs = true
		}
		if listed[l.name] > 0 {
			p.at(file, l.line, 1, "%s is also in line %d", l.name, listed[l.name])
			differs = true
		}
		listed[l.name] = l.line
	}
	i := 0
	for _, f := range files {
		if f.hash == "" {
			continue
		}
		if listed[f.name] == 0 {
			p.add(shown(f.name), "is not in %s%s", file, remedy)
			differs = true
		}
		if differs {
			continue
		}
		if l := s.lines[i]; l.name != f.name {
			p.at(file, l.line, 1, "%s is out of order; %s comes before it%s", l.name, f.name, remedy)
			return
		} else if l.hash != f.hash {
			p.add(shown(f.name), "has been changed since %s was written (line %d); files after it may have been, too, which the sum can't tell%s", file, l.line, remedy)
			return
		}
		i++
	}
}
