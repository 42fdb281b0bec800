package cli

import (
	"testing"
)

// FuzzConfig decodes configuration files with any content. Every error has a place in the file.
func FuzzConfig(f *testing.F) {
	for _, text := range []string{
		"database: sqlite:${X}\ndir: m\nenvironments:\n  prod: &p\n    atomic: true\n  stage:\n    <<: *p\n    set: |\n      x\n",
		"dir: [a]\n", "environments: x\n", "? a\n: b\n", "a: !!str b\n", "---\n---\n", "{dir: {a: b}}", "dir: *x\n", "\"dir\": \"${A}${B\"",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 2<<10 {
			t.Skip()
		}
		c := &config{path: "whimbrel.yaml", text: []byte(text)}
		if err := c.parse(); err != nil {
			u, ok := asType[*usageError](err)
			if !ok {
				t.Fatalf("got %#v, want a usage error", err)
			}
			if u.file == "" {
				t.Error("the error has no file")
			}
			if u.line < 1 {
				t.Errorf("the error is in line %d", u.line)
			}
			if u.msg == "" {
				t.Error("the error has no message")
			}
			return
		}
		sections := []*section{&c.Top}
		for _, s := range c.Environments {
			sections = append(sections, s)
		}
		for _, s := range sections {
			if s == nil || s.Database == nil {
				continue
			}
			_, _ = c.expand(s.Database, func(name string) (string, bool) { return "x", name == "X" })
		}
	})
}
