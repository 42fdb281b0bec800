package cli

import (
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
)

// maxEnvFile limits the size of an --env-file.
const maxEnvFile = 1 << 20

var (
	envName  = lazyregexp.New(`^[A-Za-z_][A-Za-z0-9_]*$`)
	escapes  = strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\"`, `"`, `\\`, `\`, `\$`, `$`)
	trailing = lazyregexp.New(`\s+#.*$`)
)

// useEnvFile adds the variables of a file to the environment. Variables that the process already
// has keep their values.
func (a *app) useEnvFile(path string) error {
	text, err := readFile(path, maxEnvFile)
	if err != nil {
		return usage("", "can't read the environment file %s: %v", path, err)
	}
	vars, err := parseEnvFile(path, string(text))
	if err != nil {
		return err
	}
	lookup := a.LookupEnv
	a.LookupEnv = a.secrets.lookupEnv(func(name string) (string, bool) {
		if value, ok := lookup(name); ok {
			return value, true
		}
		value, ok := vars[name]
		return value, ok
	})
	return nil
}

// parseEnvFile parses lines of the form NAME=value. A value can be in single quotes, as it is, or
// in double quotes with the escapes \n, \t, \", \\ and \$. A dollar sign has no other meaning, so
// that a password is what the file says.
func parseEnvFile(path, text string) (map[string]string, error) {
	vars := map[string]string{}
	for i, line := range strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n") {
		fail := func(msg string) error { return &usageError{file: path, line: i + 1, column: 1, msg: msg} }
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || !envName.MatchString(name) {
			return nil, fail("expected a line such as NAME=value") // without the line, which may be a secret
		}
		if _, twice := vars[name]; twice {
			return nil, fail("the variable " + name + " is set twice")
		}
		switch {
		case value != "" && (value[0] == '\'' || value[0] == '"'):
			quote := value[:1]
			end := closing(value)
			if end < 0 {
				return nil, fail("the value of " + name + " has no closing " + quote)
			}
			if rest := strings.TrimSpace(value[end+1:]); rest != "" && rest[0] != '#' {
				return nil, fail("the value of " + name + " continues after its closing " + quote)
			}
			value = value[1:end]
			if quote == `"` {
				value = escapes.Replace(value)
			}
		case strings.HasPrefix(value, "#"):
			value = ""
		default:
			value = trailing.ReplaceAllString(value, "")
		}
		vars[name] = value
	}
	return vars, nil
}

// closing returns the position of the quote that closes a value, or −1.
func closing(value string) int {
	for i := 1; i < len(value); i++ {
		switch {
		case value[i] == '\\' && value[0] == '"':
			i++
		case value[i] == value[0]:
			return i
		}
	}
	return -1
}
