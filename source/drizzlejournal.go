package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// journal is the content of Drizzle's meta/_journal.json.
type journal struct {
	entries []journalEntry
	// end is the offset behind the last entry, where a new one goes. It counts the byte-order mark.
	end     int
	version string // of the newest entry, as JSON; "" for none
}

// journalEntry is a migration in the journal.
type journalEntry struct {
	place
	idx  int64
	when time.Time
	tag  string
}

const (
	drizzleMeta    = "meta"
	drizzleJournal = "meta/_journal.json"
)

// maxJournal is how many migrations a journal may have.
const maxJournal = 10_000

// readJournal reads a journal. What is wrong with it becomes a problem of the file.
func readJournal(file string, text []byte) (j journal, p problems) {
	text, bom := bytes.CutPrefix(text, []byte(byteOrderMark))
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	places := &places{text: text, line: 1}
	fail := func(offset int64, format string, args ...any) {
		at := places.at(offset)
		p.at(file, at.line, at.column, format, args...)
	}
	if err := json.Unmarshal(text, new(json.RawMessage)); err != nil { // which has the offset within the text
		fail(syntaxOffset(err), "is not a journal of Drizzle: %v", jsonCause(err))
		return j, p
	}
	found := false
	err := eachField(dec, func(key string) error {
		if key != "entries" {
			return dec.Decode(new(json.RawMessage))
		}
		found, j = true, journal{}
		return j.read(dec, places, fail)
	})
	if bom {
		j.end += len(byteOrderMark)
	}
	switch {
	case err != nil:
		fail(dec.InputOffset(), "is not a journal of Drizzle: %v", jsonCause(err))
	case !found:
		p.add(file, `has no "entries", so it is not a journal of Drizzle`)
	}
	return j, p
}

// eachField calls read for each field of the object that comes next.
func eachField(dec *json.Decoder, read func(key string) error) error {
	if err := delimiter(dec, '{'); err != nil {
		return err
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		if err := read(fmt.Sprint(key)); err != nil {
			return err
		}
	}
	return delimiter(dec, '}')
}

// delimiter reads a bracket.
func delimiter(dec *json.Decoder, want json.Delim) error {
	t, err := dec.Token()
	if err == nil && t != want {
		err = fmt.Errorf("expected %q, got %v", rune(want), t)
	}
	return err
}

// read reads the entries.
func (j *journal) read(dec *json.Decoder, places *places, fail func(int64, string, ...any)) error {
	if err := delimiter(dec, '['); err != nil {
		return err
	}
	j.end = int(dec.InputOffset())
	for dec.More() {
		at := dec.InputOffset()
		for at < int64(len(places.text)) && bytes.IndexByte([]byte(" \t\r\n,"), places.text[at]) >= 0 {
			at++
		}
		var raw struct {
			Idx  json.Number
			When json.Number
			Tag  *string

			Version json.RawMessage
		}
		if err := dec.Decode(&raw); err != nil {
			return err
		}
		j.end, j.version = int(dec.InputOffset()), string(raw.Version)
		e := journalEntry{place: places.at(at)}
		idx, err := raw.Idx.Int64()
		when, werr := raw.When.Int64()
		switch {
		case raw.Tag == nil:
			fail(at, `the entry has no "tag", which names its file`)
			continue
		case err != nil || idx < 0:
			fail(at, `the entry %q has no "idx" that is a number from 0`, *raw.Tag)
			continue
		case raw.When != "" && (werr != nil || when < 0 || when > maxMillis):
			fail(at, `the entry %q has a "when" that is no time in milliseconds: %s`, *raw.Tag, raw.When)
			continue
		}
		if e.idx, e.tag = idx, *raw.Tag; raw.When != "" {
			e.when = time.UnixMilli(when).UTC()
		}
		if j.entries = append(j.entries, e); len(j.entries) > maxJournal {
			return fmt.Errorf("it has more than %d entries", maxJournal)
		}
	}
	return delimiter(dec, ']')
}

// maxMillis is the end of the year 9999.
const maxMillis = 253402300799999

// places finds the lines of a text's offsets. It counts on from the last one.
type places struct {
	text []byte
	from int // of the line
	line int
}

func (p *places) at(offset int64) place {
	to := int(min(max(offset, 0), int64(len(p.text))))
	if to < p.from {
		p.from, p.line = 0, 1
	}
	for {
		n := bytes.IndexByte(p.text[p.from:to], '\n')
		if n < 0 {
			return place{p.line, 1 + utf8.RuneCount(p.text[p.from:to])}
		}
		p.from, p.line = p.from+n+1, p.line+1
	}
}

// syntaxOffset returns the offset of what is no JSON.
func syntaxOffset(err error) int64 {
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		return max(syntax.Offset-1, 0)
	}
	return 0
}

// jsonCause returns the text of an error of decoding.
func jsonCause(err error) string {
	if kind := (*json.UnmarshalTypeError)(nil); errors.As(err, &kind) {
		return fmt.Sprintf("%s can't be a %s", kind.Field, kind.Value)
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}
