package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/internal/yamltext"
)

// configName is the default configuration file.
const configName = "whimbrel.yaml"

// config is a configuration file.
type config struct {
	Top          section             `yaml:",inline"`
	DefaultEnv   *scalar             `yaml:"default_env" doc:"Environment that is used if neither a flag nor a variable selects one or names a database."`
	Environments map[string]*section `yaml:"environments" doc:"Databases that --env NAME selects. An environment has the same keys as the top of the file, and inherits those that it lacks."`

	path string // for messages
	text []byte
}

// section holds the keys that a configuration file can have at its top and in each environment. In
// the JSON Schema, doc describes a key and kind limits its values (config_schema.go).
type section struct {
	Database             *scalar  `yaml:"database" doc:"URL of the database, such as postgres://me@host/app, mysql://me@host/app or sqlite:app.db. ${NAME} is the value of an environment variable."`
	Dir                  *scalar  `yaml:"dir" doc:"Folder with the migrations, relative to this file. The default is migrations, in the working directory."`
	Format               *scalar  `yaml:"format" kind:"format" doc:"Format of the folder. The default is detected from its files."`
	Set                  *scalar  `yaml:"set" doc:"Name of the set of migrations. A database can have several. The default is default."`
	Schema               *scalar  `yaml:"schema" doc:"Schema of Whimbrel's own tables. The default is the schema that has them; in a new database, the first in the search path."`
	HistoryTable         *scalar  `yaml:"history_table" doc:"Name of the history table. Whimbrel's other tables are named after it. The default is whimbrel_history."`
	TablesOwner          *scalar  `yaml:"tables_owner" doc:"Trusted role that owns Whimbrel's tables, on PostgreSQL. The default is any role that the current role is a member of."`
	MigrationLockTimeout *scalar  `yaml:"migration_lock_timeout" kind:"duration" doc:"Time to wait for another process that is migrating, such as 1m. 0 tries once. The default is the database's setting migration_lock_timeout, 15s."`
	LockTimeout          *scalar  `yaml:"lock_timeout" kind:"duration" doc:"Time that a statement may wait for a lock, such as 2s. 0 is no limit. The default is the database's setting lock_timeout, 2s."`
	RetryFor             *scalar  `yaml:"retry_for" kind:"duration" doc:"Time for which a migration that fails because of a lock is tried again, such as 10m. 0 is never. The default is the database's setting retry_for, 10m."`
	TerminateAfter       *scalar  `yaml:"terminate_blockers_after" kind:"duration" doc:"Time after which sessions that block a migration are terminated, such as 1m. 0 is never, the default."`
	Atomic               *scalar  `yaml:"atomic" kind:"boolean" doc:"Apply all pending migrations in one transaction. The default is false."`
	PasswordCommand      *command `yaml:"password_command" kind:"command" doc:"Command that prints the password of the database's user: a list of its words, or a line for the shell. It is used if the URL in this file has no password."`
	AllowOutOfOrder      *scalar  `yaml:"allow_out_of_order" kind:"boolean" doc:"Also apply pending versions below the newest applied one. The default is false."`
	Detach               *scalar  `yaml:"detach" kind:"boolean" doc:"Only start backfills, for workers to execute. The default is false."`
	Wait                 *scalar  `yaml:"wait" kind:"boolean" doc:"Wait until workers have done the detached backfills. The default is false."`
	Placeholders         values   `yaml:"placeholders" kind:"value" doc:"Values of the ${name} placeholders in a Flyway folder, by name. ${NAME} in a value is that of an environment variable."`
	NoPlaceholders       *scalar  `yaml:"no_placeholders" kind:"boolean" doc:"Take ${name} in a Flyway folder for text. The default is false."`
	SchemaFile           *scalar  `yaml:"schema_file" doc:"File to which the commands that migrate write the schema and the applied migrations, relative to this file. Empty for none."`
}

// values are single values by name.
type values map[string]*scalar

// scalar is a single value with its position.
type scalar struct {
	text string
	at   *token.Position
}

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (s *scalar) UnmarshalYAML(n ast.Node) error {
	if tag, ok := n.(*ast.AnchorNode); ok {
		n = tag.Value
	}
	if _, ok := n.(ast.ScalarNode); !ok {
		return &yaml.UnexpectedNodeTypeError{Actual: n.Type(), Expected: ast.StringType, Token: n.GetToken()}
	}
	s.text, s.at = n.GetToken().Value, n.GetToken().Position
	if block, ok := n.(*ast.LiteralNode); ok {
		s.text = strings.TrimSpace(block.Value.Value)
	}
	return nil
}

// readConfig reads a configuration file. It returns nil if path is "" and the default file does not
// exist.
func readConfig(path string) (*config, error) {
	c := &config{path: path}
	if path == "" {
		c.path = configName
	}
	var err error
	c.text, err = readFile(c.path, maxConfig)
	switch {
	case path == "" && errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, usage("", "can't read the configuration file %s: %v", c.path, err)
	}
	if err := c.parse(); err != nil {
		return nil, err
	}
	return c, nil
}

// environments returns the names of the environments in the file's order.
func (c *config) environments() []string {
	var ordered struct {
		Environments yaml.MapSlice `yaml:"environments"`
	}
	var names []string
	if err := yaml.Unmarshal(c.text, &ordered); err == nil {
		for _, item := range ordered.Environments {
			if name, ok := item.Key.(string); ok && c.Environments[name] != nil {
				names = append(names, name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Environments)) { // names that are no strings to YAML
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// parse decodes the text.
func (c *config) parse() (err error) {
	defer func() { // the decoder may panic
		if p := recover(); p != nil {
			err = &usageError{file: c.path, line: 1, column: 1, msg: fmt.Sprintf("invalid YAML: %v", p)}
		}
	}()
	if err := c.check(); err != nil {
		return err
	}
	dec := yaml.NewDecoder(bytes.NewReader(c.text), yaml.Strict())
	if err := dec.Decode(c); err != nil && !errors.Is(err, io.EOF) {
		return c.explain(err)
	}
	if err := dec.Decode(new(any)); !errors.Is(err, io.EOF) {
		return &usageError{file: c.path, line: 1, column: 1, msg: "the file has more than one YAML document"}
	}
	return nil
}

// check rejects files that would take much memory to decode. The decoder reports invalid YAML.
func (c *config) check() error {
	if p := yamltext.Check(string(c.text), yamltext.Limits{Bytes: maxConfig, Signs: maxConfig}); p != nil {
		return &usageError{file: c.path, line: p.Line, column: p.Column, msg: p.Msg}
	}
	const most = 1 << 20
	if f, err := yamltext.Parse(string(c.text)); err == nil && yamltext.Expanded(f, most) > most {
		return &usageError{
			file: c.path, line: 1, column: 1, msg: "with its aliases expanded, the file would be longer than 1 MiB",
			hint: "Use fewer aliases.",
		}
	}
	return nil
}

// explain converts a decoding error into a usageError with a position.
func (c *config) explain(err error) error {
	u := &usageError{file: c.path, line: 1, column: 1, msg: shown(err.Error())}
	var at yaml.Error
	if !errors.As(err, &at) {
		return u
	}
	tk := at.GetToken()
	if tk != nil && tk.Position != nil {
		u.line, u.column = tk.Position.Line, tk.Position.Column
	}
	u.msg = shown(yamltext.Plain(string(c.text), u.line, at.GetMessage()))
	var unknown *yaml.UnknownFieldError
	var wrongType *yaml.UnexpectedNodeTypeError
	var otherType *yaml.TypeError
	switch {
	case errors.As(err, &unknown) && tk != nil:
		keys := sectionKeys()
		if tk.Position.Column == 1 {
			keys = append(keys, "default_env", "environments")
		}
		u.msg = fmt.Sprintf("unknown key %q", shown(tk.Value))
		u.hint = "Valid keys: " + strings.Join(keys, ", ") + "."
		if best := nearest(tk.Value, keys); best != "" {
			u.hint = fmt.Sprintf("Did you mean %q? %s", best, u.hint)
		}
	case errors.As(err, &wrongType), errors.As(err, &otherType):
		u.msg = "expected a single value, such as: dir: migrations"
		if tk != nil && valueOf(tk, "placeholders") {
			u.msg = "expected names of placeholders, each with its value"
			return u
		}
		if tk != nil && atEnvironments(tk) {
			u.msg = "expected names of environments, each with its keys below it"
		}
		if name := c.environmentOf(tk); name != "" {
			u.msg = fmt.Sprintf("expected keys of the environment %q below it, such as: dir: migrations", shown(name))
		}
		if tk != nil && tk.Position.Column == 1 || len(bytes.TrimSpace(c.text)) > 0 && !bytes.ContainsRune(c.text, ':') {
			u.msg = "expected lines such as: dir: migrations"
		}
	}
	return u
}

// atEnvironments reports whether a token is the value of the key environments.
func atEnvironments(tk *token.Token) bool {
	return valueOf(tk, "environments") && tk.Prev.Prev.Position.Column == 1
}

// environmentOf returns the environment whose value a token is, "" if it is another value.
func (c *config) environmentOf(tk *token.Token) string {
	var file struct {
		Environments map[string]any `yaml:"environments"`
	}
	if yaml.Unmarshal(c.text, &file) != nil {
		return ""
	}
	for name, value := range file.Environments {
		if _, hasKeys := value.(map[string]any); !hasKeys && tk != nil && valueOf(tk, name) {
			return name
		}
	}
	return ""
}

// valueOf reports whether a token is the value of a key.
func valueOf(tk *token.Token, key string) bool {
	for range 2 { // the colon, the key
		if tk = tk.Prev; tk == nil {
			return false
		}
	}
	return tk.Value == key
}

// sectionKeys returns the keys of a section.
func sectionKeys() []string {
	var keys []string
	for t, i := reflect.TypeFor[section](), 0; i < t.NumField(); i++ {
		keys = append(keys, t.Field(i).Tag.Get("yaml"))
	}
	return keys
}

// environment returns the section of an environment, or an empty one for "".
func (c *config) environment(name string) (*section, error) {
	if name == "" {
		return &section{}, nil
	}
	if c == nil {
		return nil, noConfig("--env "+name, name)
	}
	if s, ok := c.Environments[name]; ok {
		if s == nil {
			s = &section{}
		}
		return s, nil
	}
	names := c.environments()
	hint := "The file has no environments."
	if len(names) > 0 {
		hint = "Its environments: " + shown(strings.Join(names, ", ")) + "."
	}
	if best := nearest(name, names); best != "" {
		hint = fmt.Sprintf("Did you mean %q? %s", shown(best), hint)
	}
	return nil, usage(hint, "%s has no environment %q", c.path, name)
}

// noConfig reports an environment that is selected without a configuration file.
func noConfig(selected, name string) error {
	return usage(fmt.Sprintf("Create it with the key \"environments:\" and below that \"%s:\", or pass another file with --config.", name),
		"%s needs a configuration file, and this folder has no %s", selected, configName)
}

// fail returns an error about a value.
func (c *config) fail(s *scalar, format string, args ...any) *usageError {
	return &usageError{file: c.path, line: s.at.Line, column: s.at.Column, msg: fmt.Sprintf(format, shownArgs(args)...)}
}

// beside resolves a path that is relative to the configuration file.
func (c *config) beside(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(c.path), path)
}

var (
	variable     = lazyregexp.New(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)
	variableHere = lazyregexp.New(`^\$\{[A-Za-z_][A-Za-z0-9_]*\}`)
)

// expand replaces each ${NAME} with the environment variable.
func (c *config) expand(s *scalar, lookup func(string) (string, bool)) (string, error) {
	var b strings.Builder
	rest := 0
	for _, m := range variable.FindAllStringSubmatchIndex(s.text, -1) {
		name := s.text[m[2]:m[3]]
		value, ok := lookup(name)
		if !ok {
			at := *s.at
			at.Column = c.column(at, "${"+name+"}")
			return "", &unsetError{c.fail(&scalar{at: &at}, "the environment variable %s is not set", name), name}
		}
		b.WriteString(s.text[rest:m[0]] + value)
		rest = m[1]
	}
	b.WriteString(s.text[rest:])
	return b.String(), nil
}

// checkVariables rejects a value with what looks like an environment variable and is none, such as
// $NAME or ${NAME:-default}. The value is one that otherwise can't contain it.
func (c *config) checkVariables(s *scalar) error {
	at, mistaken := *s.at, strings.HasPrefix(s.text, "$") && !strings.HasPrefix(s.text, "${")
	for i := range len(s.text) {
		if rest := s.text[i:]; strings.HasPrefix(rest, "${") && !variableHere.MatchString(rest) {
			at.Column, mistaken = c.column(at, rest), true
			break
		}
	}
	if !mistaken {
		return nil
	}
	u := c.fail(&scalar{at: &at}, "the value of an environment variable is written ${NAME}")
	u.hint = "Write the name in braces and nothing else; there are no defaults."
	return u
}

// unsetError reports a variable of a database URL that is not set.
type unsetError struct {
	*usageError
	name string
}

func (e *unsetError) Unwrap() error { return e.usageError }

// column returns the column of a text in a line, at or after a position.
func (c *config) column(at token.Position, text string) int {
	lines := strings.Split(string(c.text), "\n")
	if at.Line < 1 || at.Line > len(lines) {
		return at.Column
	}
	line := []rune(lines[at.Line-1])
	from := min(max(at.Column-1, 0), len(line))
	before, _, found := strings.Cut(string(line[from:]), text)
	if !found {
		return at.Column
	}
	return at.Column + len([]rune(before))
}
