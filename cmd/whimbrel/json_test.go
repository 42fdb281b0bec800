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

// lookup finds a value in a document, by a path such as ".migrations.0.name", and
// returns it as compact JSON. "#" is the length of a list.
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
	for key := range strings.SplitSeq(strings.Trim(path, "."), ".") {
		switch v := at.(type) {
		case map[string]any:
			if at, found = v[key]; !found && key != "" {
				return "", false, nil
			}
		case []any:
			i, err := strconv.Atoi(key)
			switch {
			case key == "#":
				at = json.Number(strconv.Itoa(len(v)))
			case key == "":
			case err != nil || i >= len(v):
				return "", false, nil
			default:
				at = v[i]
			}
		default:
			return "", false, nil
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err = enc.Encode(at)
	return strings.TrimSpace(b.String()), true, err
}

func TestLookup(t *testing.T) {
	t.Parallel()
	const doc = `{"a": [1, {"b": "x"}], "n": null}`
	for _, c := range []struct {
		path, want string
		found      bool
	}{
		{".a.0", "1", true},
		{".a.1.b", `"x"`, true},
		{".a.#", "2", true},
		{".a", `[1,{"b":"x"}]`, true},
		{".n", "null", true},
		{".a.2", "", false},
		{".c", "", false},
		{".n.x", "", false},
	} {
		got, found, err := lookup(doc, c.path)
		if err != nil || got != c.want || found != c.found {
			t.Errorf("%s: got %s, %v, %v; want %s, %v", c.path, got, found, err, c.want, c.found)
		}
	}
}
