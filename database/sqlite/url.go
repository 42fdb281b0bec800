package sqlite

import (
	"net/url"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
)

// target is what a URL says.
type target struct {
	path   string
	memory bool
	mode   string // as the URL has it
	create bool   // a missing file may be created
	params url.Values
}

// passedOn are the parameters that go on to the client as they are.
var passedOn = []string{
	"_pragma", "_txlock", "_time_format", "_time_integer_format", "_timezone", "_inttotime", "_texttotime",
}

// refusedParams are parameters of SQLite's URIs with which a promise would not hold, and why.
var refusedParams = map[string]string{
	"nolock":    "without locks, processes that migrate at once damage the file",
	"immutable": "it passes over locks, and over what is still in the write-ahead log; mode=ro reads a file that must not be changed",
	"vfs":       "only SQLite's own access to files has locks that are known to hold",
}

// refusedPragmas are those that a URL must not have: each has a condition for its value, nil for any, and the reason.
var refusedPragmas = map[string]struct {
	value *regexp.Regexp
	why   string
}{
	"journal_mode":    {regexp.MustCompile(`(?i)^(off|memory)$`), "nothing could be taken back after a crash, which would damage the file"},
	"locking_mode":    {regexp.MustCompile(`(?i)^exclusive$`), "each connection would lock all others out for good"},
	"writable_schema": {nil, "it is for repairs, not for each connection; write it in a script that needs it"},
	"schema_version":  {nil, "it damages the file"},
	"query_only":      {nil, "nothing could be migrated; write mode=ro for a database that is only read"},
}

var pragmaForm = regexp.MustCompile(`(?is)^\s*(?:main\s*\.\s*)?(\w+)\s*(?:[(=]\s*['"]?([^'"();]*?)['"]?\s*\)?)?\s*$`)

// checkPragma says why a URL can't have a pragma, "" if it can.
func checkPragma(text string) string {
	m := pragmaForm.FindStringSubmatch(text)
	if m == nil {
		return "is not understood: write _pragma=name(value), once for each"
	}
	if r, refused := refusedPragmas[strings.ToLower(m[1])]; refused && (r.value == nil || r.value.MatchString(m[2])) {
		return "is refused: " + r.why
	}
	return ""
}

// server matches what names a server's user and password in place of a file.
var server = regexp.MustCompile(`^/*(.|[^/:]{2}.*)?:[^/\\].*@|^/*[^/:]{2}.*:.*@`)

// parseURL reads "sqlite:path?parameters".
func parseURL(raw string) (target, error) {
	fail := func(format string, args ...any) (target, error) {
		return target{}, database.NewURLError(raw, format, args...)
	}
	_, rest, _ := strings.Cut(raw, ":")
	rest, query, _ := strings.Cut(rest, "?")
	if server.MatchString(rest) {
		return fail("a SQLite database is a file, without user and password; an @ in its path is written %%40")
	}
	if strings.Contains(rest, "#") {
		return fail("a # in the path is written %%23")
	}
	path, err := url.PathUnescape(strings.TrimPrefix(rest, "//"))
	if err != nil {
		return fail("%v; a %% in the path is written %%25", err)
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		return fail("parameters: %v", err)
	}
	t := target{path: path, memory: path == ":memory:", mode: params.Get("mode"), params: params}
	switch {
	case path == "":
		return fail("no path: want sqlite:app.db, sqlite:///var/app.db or sqlite::memory:")
	case strings.ContainsRune(path, 0):
		return fail("a NUL byte in the path")
	case strings.HasPrefix(path, "file:"):
		return fail("leave out file:, the path stands behind the scheme")
	case params.Get("cache") == "shared":
		return fail("cache=shared: such connections wait for each other without end; leave it out")
	}
	for name := range params {
		if why, refused := refusedParams[name]; refused {
			return fail("%s is refused: %s", name, why)
		}
		if name != "mode" && !slices.Contains(passedOn, name) {
			return fail("unknown parameter %q; there are: mode, %s", name, strings.Join(passedOn, ", "))
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
		return fail("mode: want ro, rw or rwc")
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

// dsn returns the name by which the client opens the file. It never creates it.
func (t target) dsn(path string) string {
	params := url.Values{}
	for name, values := range t.params {
		params[name] = values
	}
	// The lock timeout bounds all waiting; what waits inside SQLite doesn't hear of it.
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
