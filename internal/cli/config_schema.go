package cli

import (
	"encoding/json"
	"maps"
	"reflect"
	"strings"

	"github.com/spf13/cobra"

	"github.com/whimbrel-db/whimbrel/internal/cli/render"
	"github.com/whimbrel-db/whimbrel/source"
)

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		GroupID: groupOther,
		Short:   "Describe the configuration file",
		Long:    `Config describes whimbrel.yaml, the configuration file.`,
		Example: `  whimbrel config schema    # print the JSON Schema`,
		Args:    unknownCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.configSchemaCommand())
	return cmd
}

func (a *app) configSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of whimbrel.yaml",
		Long: `Schema prints a JSON Schema (draft 2020-12) of whimbrel.yaml. With it an editor completes keys,
shows their descriptions, and marks mistakes. For editors with the YAML language server, make
this the first line of whimbrel.yaml:

  # yaml-language-server: $schema=whimbrel.schema.json`,
		Example: `  whimbrel config schema   # redirect it to a file, such as whimbrel.schema.json`,
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			text, err := ConfigSchema()
			if err != nil {
				return err
			}
			a.print().Show(render.ConfigSchema(text))
			return nil
		},
	}
}

// schemaID is the address of the schema in the repository.
const schemaID = "https://raw.githubusercontent.com/whimbrel-db/whimbrel/main/docs/whimbrel.schema.json"

// jsonSchema is the part of JSON Schema that the configuration file needs, in the order in which it
// is written.
type jsonSchema struct {
	Schema      string                 `json:"$schema,omitempty"`
	ID          string                 `json:"$id,omitempty"`
	Ref         string                 `json:"$ref,omitempty"`
	Title       string                 `json:"title,omitempty"`
	Description string                 `json:"description,omitempty"`
	Type        any                    `json:"type,omitempty"`
	Enum        []string               `json:"enum,omitempty"`
	Pattern     string                 `json:"pattern,omitempty"`
	AnyOf       []jsonSchema           `json:"anyOf,omitempty"`
	Const       any                    `json:"const,omitempty"`
	Properties  map[string]*jsonSchema `json:"properties,omitempty"`
	Items       *jsonSchema            `json:"items,omitempty"`
	Additional  any                    `json:"additionalProperties,omitempty"`
	Defs        map[string]*jsonSchema `json:"$defs,omitempty"`
}

// ConfigSchema returns the JSON Schema of whimbrel.yaml. It is made from the types that the file is
// decoded into: config and section.
func ConfigSchema() ([]byte, error) {
	defs := map[string]*jsonSchema{}
	inSection := map[string]*jsonSchema{}
	for f := range fields(reflect.TypeFor[section]()) {
		key := f.Tag.Get("yaml")
		defs[key] = ofField(f)
		inSection[key] = &jsonSchema{Ref: "#/$defs/" + key}
	}
	defs["section"] = &jsonSchema{Type: mapping, Properties: inSection, Additional: false}
	top := jsonSchema{
		Schema: "https://json-schema.org/draft/2020-12/schema", ID: schemaID,
		Title:       "whimbrel.yaml",
		Description: "Configuration of whimbrel, the command for database migrations.",
		Type:        mapping,
		Properties:  maps.Clone(inSection),
		Additional:  false,
		Defs:        defs,
	}
	for f := range fields(reflect.TypeFor[config]()) {
		if key := f.Tag.Get("yaml"); key != "" && !strings.HasPrefix(key, ",") {
			top.Properties[key] = ofField(f)
		}
	}
	text, err := json.MarshalIndent(top, "", "  ")
	return append(text, '\n'), err
}

// mapping is the type of a YAML mapping. An empty one is null.
var mapping = []string{"object", "null"}

// ofField returns the schema of a key.
func ofField(f reflect.StructField) *jsonSchema {
	s := ofKind(f.Tag.Get("kind"))
	switch f.Type.Kind() {
	case reflect.Map:
		below := s
		if f.Type == reflect.TypeFor[map[string]*section]() {
			below = &jsonSchema{Ref: "#/$defs/section"}
		}
		s = &jsonSchema{Type: mapping, Additional: below}
	case reflect.Slice:
		s = &jsonSchema{Type: "array", Items: s}
	}
	s.Description = f.Tag.Get("doc")
	return s
}

// fields yields the fields of a struct.
func fields(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

// ofKind returns the schema of a value. "" is a text.
func ofKind(kind string) *jsonSchema {
	switch kind {
	case "boolean":
		return &jsonSchema{Type: "boolean"}
	case "duration":
		const parts = `^([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h|d|w))+$`
		return &jsonSchema{AnyOf: []jsonSchema{{Type: "string", Pattern: parts}, {Const: 0}}}
	case "command":
		return &jsonSchema{AnyOf: []jsonSchema{{Type: "string"}, {Type: "array", Items: &jsonSchema{Type: "string"}}}}
	case "value":
		return &jsonSchema{Type: []string{"string", "number", "boolean"}}
	case "format":
		names := []string{"auto"}
		for _, f := range source.Formats() {
			names = append(names, string(f))
		}
		return &jsonSchema{Type: "string", Enum: names}
	}
	return &jsonSchema{Type: "string"}
}
