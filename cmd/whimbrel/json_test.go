package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
)

// lookup finds a value in a document, by a path such as ".migrations.0.name", and returns it as
// compact JSON. In a list, "len" is its length, and "each" the list of what the rest of the path
// finds in each element.
func lookup(document, path string) (value string, found bool, err error) {
	dec := json.NewDecoder(strings.NewReader(document))
	dec.UseNumber()
	var at any
	if err := dec.Decode(&at); err != nil {
		return "", false, fmt.Errorf("stdout is not JSON: %w\n%s", err, document)
	}
	if err := dec.Decode(new(any)); err != io.EOF {
		return "", false, fmt.Errorf("there is more on stdout than one JSON document:\n%s", document)
	}
	if path = strings.Trim(path, "."); path != "" {
		if at, found = follow(at, strings.Split(path, ".")); !found {
			return "", false, nil
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err = enc.Encode(at)
	return strings.TrimSpace(b.String()), true, err
}

// follow returns the value at a path below another value.
func follow(at any, path []string) (any, bool) {
	for n, key := range path {
		found := false
		switch v := at.(type) {
		case map[string]any:
			at, found = v[key]
		case []any:
			switch i, err := strconv.Atoi(key); {
			case key == "len":
				at, found = json.Number(strconv.Itoa(len(v))), true
			case key == "each":
				each := make([]any, len(v))
				for i := range v {
					if each[i], found = follow(v[i], path[n+1:]); !found {
						return nil, false
					}
				}
				return each, true
			case err == nil && i < len(v):
				at, found = v[i], true
			}
		}
		if !found {
			return nil, false
		}
	}
	return at, true
}

func TestLookup(t *testing.T) {
	t.Parallel()
	const doc = `{"a":[1,{"b":"x"}],"l":[{"k":1},{"k":null}],"n":null}`
	for _, c := range []struct {
		path, want string
		found      bool
	}{
		{".a.0", "1", true},
		{".a.1.b", `"x"`, true},
		{".a.len", "2", true},
		{".l.each.k", "[1,null]", true},
		{".l.each.m", "", false},
		{".", doc, true},
		{".a", `[1,{"b":"x"}]`, true},
		{".n", "null", true},
		{".a.2", "", false},
		{".c", "", false},
		{".n.x", "", false},
	} {
		got, found, err := lookup(doc, c.path)
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.path, got, c.want)
		}
		if found != c.found {
			t.Errorf("%s: found is %v, want %v", c.path, found, c.found)
		}
	}
}
