package fence

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/whimbrel-db/whimbrel/internal/cli"
)

const schemaFile = "../../docs/whimbrel.schema.json"

// TestTheSchemaFile compares docs/whimbrel.schema.json with the schema that the command prints.
func TestTheSchemaFile(t *testing.T) {
	want, err := cli.ConfigSchema()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("docs/whimbrel.schema.json differs; run: go run ./cmd/whimbrel config schema > docs/whimbrel.schema.json\n(-want +got):\n%s", diff)
	}
}

// configSchema compiles the schema, with the metaschema of its draft.
func configSchema(t *testing.T) (compiled *jsonschema.Schema, decoded map[string]any) {
	t.Helper()
	text, err := cli.ConfigSchema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("config.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err = c.Compile("config.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled, doc.(map[string]any)
}

// validate reports the error of a YAML text, nil for none.
func validate(t *testing.T, s *jsonschema.Schema, text string) error {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	json, err := yaml.MarshalWithOptions(v, yaml.JSON())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(json))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(doc)
}

func TestTheSchema(t *testing.T) {
	s, _ := configSchema(t)
	for text, valid := range map[string]bool{
		"{}":                                  true,
		"dir: db":                             true,
		"migration_lock_timeout: 1m30s":       true,
		"migration_lock_timeout: 0":           true,
		"migration_lock_timeout: 30":          false,
		"migration_lock_timeout: soon":        false,
		"atomic: true":                        true,
		"atomic: perhaps":                     false,
		"format: goose":                       true,
		"format: flywheel":                    false,
		"environments:\n  ci:":                true,
		"environments:\n  ci: {dir: db}":      true,
		"environments:\n  ci: {dri: db}":      false,
		"environments:\n  ci: {dir: [a]}":     false,
		"environments: ci":                    false,
		"databse: sqlite:app.db":              false,
		"environments: {a: {environments: }}": false,
	} {
		if err := validate(t, s, text); (err == nil) != valid {
			t.Errorf("%q: err = %v, want valid = %v", text, err, valid)
		}
	}
}

var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```")

// TestTheConfigurationsOfTheDocumentation validates every example of a whimbrel.yaml, and looks for
// each key of the schema in docs/cli.md.
func TestTheConfigurationsOfTheDocumentation(t *testing.T) {
	s, doc := configSchema(t)
	properties := doc["properties"].(map[string]any)
	examples := 0
	for _, file := range pages(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range yamlBlock.FindAllStringSubmatch(string(text), -1) {
			if !likeConfig(t, m[1]) {
				continue
			}
			examples++
			if err := validate(t, s, m[1]); err != nil {
				t.Errorf("%s: %v in:\n%s", file, err, m[1])
			}
		}
	}
	if examples < 2 {
		t.Errorf("found %d examples, want at least 2", examples)
	}
	page, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## whimbrel.yaml\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for key := range properties {
		if !strings.Contains(section, "`"+key+"`") {
			t.Errorf("docs/cli.md does not name the key %s", key)
		}
		if d, ok := doc["$defs"].(map[string]any)[key].(map[string]any); ok && d["description"] == nil {
			t.Errorf("the key %s has no description", key)
		}
	}
	if len(properties) < 11 {
		t.Errorf("the schema has %d keys, want at least 11", len(properties))
	}
}

// likeConfig reports whether a YAML text is meant as a whimbrel.yaml.
func likeConfig(t *testing.T, text string) bool {
	t.Helper()
	var keys map[string]any
	if err := yaml.Unmarshal([]byte(text), &keys); err != nil {
		return false
	}
	return slices.ContainsFunc([]string{"database", "dir", "environments"}, func(key string) bool {
		_, ok := keys[key]
		return ok
	})
}

// pages returns the paths of all Markdown files of the module.
func pages(t *testing.T) (files []string) {
	t.Helper()
	err := filepath.WalkDir("../..", func(file string, e fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(file) == ".md" {
			files = append(files, file)
		}
		if err == nil && e.IsDir() && e.Name() == ".git" {
			return filepath.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
