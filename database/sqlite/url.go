package sqlite

import (
	"fmt"
	"net/url"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
)

// target is the result of parsing a URL.
type target struct {
	path   string
	memory bool
	mode   string // as in the URL
	create bool   // a missing file may be created
	params url.Values
}

// passedOn are the parameters passed to the client unchanged.
var passedOn = []string{
	"_pragma", "_txlock", "_time_format", "_time_integer_format", "_timezone", "_inttotime", "_texttotime",
}

// refusedParams are parameters of SQLite's URIs that would break a guarantee, with the reasons.
var refusedParams = map[string]string{
	"nolock":    "without locks, processes that migrate at once damage the file",
	"immutable": "it passes over locks, and over what is still in the write-ahead log; mode=ro reads a file that must not be changed",
	"vfs":       "only SQLite's own access to files has locks that are known to hold",
}

// refusedPragmas are pragmas that a URL must not have: each with a condition for its value, nil for
// any, and the reason.
var refusedPragmas = map[string]struct {
	value *lazyregexp.Regexp
	why   string
}{
	"journal_mode":    {lazyregexp.New(`(?i)^(off|memory)$`), "SQLite could not roll back after a crash, which would damage the file"},
	"locking_mode":    {lazyregexp.New(`(?i)^exclusive$`), "each connection would lock out all others permanently"},
	"writable_schema": {nil, "it is meant for repairs, not for each connection; use it in a script that needs it"},
	"schema_version":  {nil, "it damages the file"},
	"query_only":      {nil, "nothing could be migrated; use mode=ro for a database that is only read"},
}

var pragmaForm = lazyregexp.New(`(?is)^\s*(?:main\s*\.\s*)?(\w+)\s*(?:[(=]\s*['"]?([^'"();]*?)['"]?\s*\)?)?\s*$`)

// checkPragma returns why a pragma is refused in a URL, or "".
func checkPragma(text string) string {
	m := pragmaForm.FindStringSubmatch(text)
	if m == nil {
		return "is not understood: use _pragma=name(value), once for each pragma"
	}
	if r, refused := refusedPragmas[strings.ToLower(m[1])]; refused && (r.value == nil || r.value.MatchString(m[2])) {
		return "is refused: " + r.why
	}
	return ""
}

// server matches a URL with a server's user and password in place of a file.
var server = lazyregexp.New(`^/*(.|[^/:]{2}.*)?:[^/\\].*@|^/*[^/:]{2}.*:.*@`)

// parseURL parses "sqlite:path?parameters".
func parseURL(raw string) (target, error) {
	fail := func(format string, args ...any) (target, error) {
		return target{}, database.NewURLError(raw, format, args...)
	}
	_, rest, _ := strings.Cut(raw, ":")
	rest, query, _ := strings.Cut(rest, "?")
	if strings.Contains(rest, "@") && server.MatchString(rest) {
		return fail("a SQLite database is a file, without user and password; write an @ in its path as %%40")
	}
	if strings.Contains(rest, "#") {
		return fail("write a # in the path as %%23")
	}
	path, err := url.PathUnescape(strings.TrimPrefix(rest, "//"))
	if err != nil {
		return fail("%v; write a %% in the path as %%25", err)
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		return fail("parameters: %v", err)
	}
	t := target{path: path, memory: path == ":memory:", mode: params.Get("mode"), params: params}
	switch {
	case path == "":
		return fail("no path: use sqlite:app.db, sqlite:///var/app.db or sqlite::memory:")
	case strings.ContainsRune(path, 0):
		return fail("a NUL byte in the path")
	case strings.HasPrefix(path, "file:"):
		return fail("remove file:; the path follows the scheme")
	case params.Get("cache") == "shared":
		return fail("cache=shared: such connections can wait for each other forever; remove it")
	}
	for name := range params {
		if why, refused := refusedParams[name]; refused {
			return fail("%s is refused: %s", name, why)
		}
		if name != "mode" && !slices.Contains(passedOn, name) {
			return fail("unknown parameter %q; the parameters are mode, %s", name, strings.Join(passedOn, ", "))
		}
	}
	for _, text := range params["_pragma"] {
		if why := checkPragma(text); why != "" {
			return fail("_pragma=%s %s", text, why)
		}
	}
	switch t.mode {
	case "", "rwc":
		t.create = true
	case "ro", "rw":
	default:
		return fail("mode: use ro, rw or rwc")
	}
	if drive := strings.TrimPrefix(path, "/"); runtime.GOOS == "windows" && len(drive) > 1 && drive[1] == ':' {
		t.path = drive
	}
	return t, nil
}

func setsBusyTimeout(pragma string) bool {
	m := pragmaForm.FindStringSubmatch(pragma)
	return m != nil && strings.EqualFold(m[1], "busy_timeout")
}

// dsn returns the name by which the client opens the file. It never creates the file.
func (t target) dsn(path string) string {
	params := url.Values{}
	for name, values := range t.params {
		params[name] = values
	}
	// The lock timeout limits all waits, except those inside SQLite.
	params["_pragma"] = append(slices.DeleteFunc(slices.Clone(params["_pragma"]), setsBusyTimeout), "busy_timeout(0)")
	if t.memory {
		params.Del("mode")
		return ":memory:?" + params.Encode()
	}
	if t.mode == "ro" {
		return fileURI(path, "ro", params)
	}
	return fileURI(path, "rw", params)
}

// fileURI returns SQLite's own URI of a file.
func fileURI(path, mode string, params url.Values) string {
	if params == nil {
		params = url.Values{}
	}
	params.Set("mode", mode)
	p := filepath.ToSlash(path)
	if !strings.HasPrefix(p, "/") { // C:/…
		p = "/" + p
	}
	return "file://" + (&url.URL{Path: p}).EscapedPath() + "?" + params.Encode()
}

// DSN returns the name with which database/sql opens the file of a URL, as the driver "sqlite": for
// a program that also uses the database itself. Its statements wait up to busy for other writers,
// and its transactions begin as writers, unless the URL says otherwise with _txlock.
func DSN(rawURL string, busy time.Duration) (string, error) {
	t, err := parseURL(rawURL)
	if err != nil {
		return "", err
	}
	if t.memory {
		return "", database.NewURLError(rawURL, "only one connection can use a database in memory")
	}
	path, err := filepath.Abs(t.path)
	if err != nil {
		return "", &database.ConnectError{Target: t.path, Err: err}
	}
	params := url.Values{}
	for name, values := range t.params {
		params[name] = values
	}
	pragmas := slices.DeleteFunc(slices.Clone(params["_pragma"]), setsBusyTimeout)
	params["_pragma"] = append([]string{fmt.Sprintf("busy_timeout(%d)", busy.Milliseconds())}, pragmas...)
	if !params.Has("_txlock") {
		params.Set("_txlock", "immediate")
	}
	mode := "rw"
	if t.mode == "ro" {
		mode = "ro"
	}
	return fileURI(path, mode, params), nil
}
