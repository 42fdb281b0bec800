package database

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/internal/order"
)

// In a message, hidden replaces a secret, and unknown a part of a URL that is left out.
const (
	hidden  = "xxxxx"
	unknown = "…"
)

// Redact returns a URL without its password, and without parameters that may be secret. It reduces
// a URL whose parts are uncertain to its scheme, because a password with an unescaped "/", "@", "#"
// or "?" can be in any part. The URL need not be valid. A second call changes nothing.
func Redact(url string) string {
	scheme, rest, ok := cutScheme(url)
	switch {
	case !ok:
		return redactPlain(url)
	case isFileScheme(scheme):
		return redactFile(scheme, rest)
	}
	p, problem := splitURL(url)
	if problem != "" || !slices.Contains(networkSchemes, scheme) {
		return scheme + "://" + unknown
	}
	userinfo := ""
	switch {
	case p.hasPassword:
		userinfo = p.user + ":" + hidden + "@"
	case p.hasUser:
		userinfo = p.user + "@"
	}
	return scheme + "://" + userinfo + p.hosts + p.path + redactQuery(p.query)
}

// The schemes whose URLs can be shown in part.
var (
	networkSchemes = []string{"postgres", "postgresql", "mysql", "mariadb"}
	fileSchemes    = []string{"sqlite", "sqlite3"}
)

func isFileScheme(scheme string) bool { return slices.Contains(fileSchemes, scheme) }

// cutScheme cuts "scheme://" or "sqlite:" off a URL. A text with neither is not a URL: the word
// before its colon may be a user or a password.
func cutScheme(raw string) (scheme, rest string, ok bool) {
	scheme, rest, ok = strings.Cut(raw, ":")
	if !ok || !isScheme(scheme) {
		return "", raw, false
	}
	if after, slashes := strings.CutPrefix(rest, "//"); slashes && !isFileScheme(scheme) {
		return scheme, after, true
	}
	return scheme, rest, isFileScheme(scheme)
}

var (
	plainPath   = lazyregexp.New(`^([A-Za-z]:[\\/])?[^:@=?&#%\s]*$`)
	keywordPair = lazyregexp.New(`(?i)(^|\s)(host|hostaddr|port|user|dbname|password|passfile|sslmode|sslpassword)\s*=`)
)

// redactPlain returns a text without a scheme: a path unchanged, and only the keywords of libpq's
// other form.
func redactPlain(text string) string {
	if plainPath.MatchString(text) {
		return text
	}
	var keys []string
	for _, m := range keywordPair.FindAllStringSubmatch(text, -1) {
		keys = append(keys, strings.ToLower(m[2])+"="+hidden)
	}
	return cmp.Or(strings.Join(keys, " "), unknown)
}

// redactFile returns the path of a file. A path with ":" or "@" was probably meant for a server.
func redactFile(scheme, rest string) string {
	path, query, has := strings.Cut(rest, "?")
	if !isFilePath(path) {
		return scheme + ":" + unknown
	}
	if !has {
		return scheme + ":" + path
	}
	return scheme + ":" + path + redactQuery(query)
}

// shownParams are the parameters whose values are not secret.
var shownParams = []string{
	"sslmode", "sslnegotiation", "target_session_attrs", "channel_binding", "connect_timeout", "search_path", "application_name",
	"client_encoding", "timezone", "port", "pool_max_conns", "default_query_exec_mode", "lock", "timeout", "tls", "charset",
	"mode", "immutable", "nolock", "cache", "_txlock", "statement_timeout", "lock_timeout",
}

// redactQuery returns the parameters' names, and the values of those that are not secret.
func redactQuery(query string) string {
	if query == "" {
		return ""
	}
	parts := strings.Split(query, "&")
	for i, part := range parts {
		name, value, ok := strings.Cut(part, "=")
		switch {
		case !ok || !isParamName(name):
			parts[i] = unknown
		case !slices.Contains(shownParams, strings.ToLower(name)) || !isPlainValue(value):
			parts[i] = name + "=" + hidden
		}
	}
	return "?" + strings.Join(parts, "&")
}

// urlParts are the parts of scheme://user:password@host:port,…/path?query, as they are written.
type urlParts struct {
	scheme, user, password, hosts, path, query string
	hasUser, hasPassword                       bool
}

// What is wrong with a URL. None of these sentences repeats a part of it.
const (
	slashOrAt  = "the password seems to contain / or @; write %2F or %40"
	numberSign = "the password seems to contain #; write %23"
	question   = "the password seems to contain ?; write %3F"
	notAPlace  = "what follows :// is not user:password@host:port; in user and password everything but letters and digits is written %XX, such as %2F for / and %40 for @"
	notEscaped = "user or password has a sign that is written %XX in a URL, such as %25 for % and %20 for a space"
	blank      = "it has white space or a control character; in user and password these are written %XX, such as %20 for a space"
	noSlashes  = "want scheme://user:password@host:port/database"
	goForm     = "it has the form of Go's MySQL driver; write mysql://user:password@host:port/database, or mysql://user@/database?socket=/path"
	otherPath  = "what follows the host is not /database; in a name / is written %2F, and : is written %3A"
)

// splitURL splits the URL of a server. problem is why the parts are uncertain, or "".
func splitURL(raw string) (p urlParts, problem string) {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok || !isScheme(scheme) {
		return p, noSlashes
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	if problem := misplaced(authority, tail); problem != "" {
		return p, problem
	}
	p.scheme = scheme
	userinfo, hosts, hasUser := strings.Cut(authority, "@")
	if !hasUser {
		userinfo, hosts = "", authority
	}
	p.hasUser, p.hosts = hasUser, hosts
	p.user, p.password, p.hasPassword = strings.Cut(userinfo, ":")
	p.path, p.query, _ = strings.Cut(tail, "?")
	switch {
	case hasControls(raw):
		return p, blank
	case !isUserinfo(userinfo):
		return p, notEscaped
	case !isPath(p.path):
		return p, otherPath
	}
	for host := range strings.SplitSeq(hosts, ",") {
		switch {
		case isGoForm(host):
			return p, goForm
		case !isHostPort(host):
			return p, notAPlace
		}
	}
	return p, ""
}

// isGoForm reports whether a server is written as in Go's MySQL driver: tcp(host:port).
func isGoForm(host string) bool {
	return strings.HasPrefix(host, "tcp(") || strings.HasPrefix(host, "unix(")
}

// misplaced reports a character that ends the host's part of a URL too early. If an "@" follows, or
// a second one, then the password contains such a character, and the apparent host is a part of it.
func misplaced(authority, tail string) string {
	switch {
	case strings.Count(authority, "@") > 1, strings.Contains(authority, "@") && strings.Contains(tail, "@"):
		return slashOrAt
	case strings.Contains(tail, "@") && tail[0] == '?':
		return question
	case strings.Contains(tail, "@") && tail[0] == '#', strings.Contains(tail, "#"):
		return numberSign
	case strings.Contains(tail, "@"):
		return slashOrAt
	}
	return ""
}

// CheckURL returns a *URLError if the parts of a server's URL are uncertain. The URL has the form
// scheme://user:password@host:port/name. A driver calls CheckURL before it connects, so that no part
// of a password is looked up as a host.
func CheckURL(url string) error {
	if _, problem := splitURL(url); problem != "" {
		return NewURLError(url, "%s", problem)
	}
	return nil
}

// NewURLError returns the error of a URL. Neither its URL nor its message contains the password.
func NewURLError(url, format string, args ...any) *URLError {
	return &URLError{URL: Redact(url), Msg: NewRedactor(url).Redact(fmt.Sprintf(format, args...))}
}

// Redactor hides the passwords of certain URLs in texts.
type Redactor struct {
	whole   *strings.Replacer // of the URLs as they were given
	secrets []string
}

// NewRedactor returns a redactor for the URLs. It ignores texts that are not URLs.
func NewRedactor(urls ...string) *Redactor {
	r := &Redactor{}
	var pairs []string
	// The longest first: one may be the beginning of another.
	urls = slices.Clone(urls)
	order.By(urls, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for _, raw := range urls {
		shown := Redact(raw)
		if shown == raw || !strings.ContainsAny(raw, ":@=") {
			continue // a word that other texts have as well
		}
		for _, form := range []string{raw, strings.Trim(strconv.Quote(raw), `"`)} {
			pairs = append(pairs, form, shown)
		}
		r.secrets = append(r.secrets, secretsOf(raw)...)
	}
	r.whole = strings.NewReplacer(pairs...)
	return r
}

// leastSecret is the length of the shortest password that is hidden: a shorter one would be a part
// of other words.
const leastSecret = 4

// secretsOf returns the passwords of a URL, escaped as written and unescaped.
func secretsOf(raw string) (secrets []string) {
	p, problem := splitURL(raw)
	if problem != "" {
		return nil // nobody but Redact sees such a URL
	}
	candidates := []string{p.password}
	for part := range strings.SplitSeq(p.query, "&") {
		if name, value, _ := strings.Cut(part, "="); !slices.Contains(shownParams, strings.ToLower(name)) && secretName.MatchString(name) {
			candidates = append(candidates, value)
		}
	}
	for _, c := range candidates {
		for _, form := range []string{c, decoded(c)} {
			if len(form) >= leastSecret && form != p.user && form != p.scheme && !strings.Contains(p.hosts+p.path, form) {
				secrets = append(secrets, form)
			}
		}
	}
	return slices.Compact(secrets)
}

var secretName = lazyregexp.New(`(?i)pass|pwd|token|secret|key|auth`)

func decoded(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}

// Redact hides the URLs and their passwords in a text.
func (r *Redactor) Redact(text string) string {
	text = r.whole.Replace(text)
	for _, secret := range r.secrets {
		text = replaceWord(text, secret)
	}
	return text
}

// replaceWord hides a password that is not part of a longer word.
func replaceWord(text, secret string) string {
	var b strings.Builder
	for {
		i := strings.Index(text, secret)
		if i < 0 {
			b.WriteString(text)
			return b.String()
		}
		end := i + len(secret)
		within := i > 0 && isWordByte(text[i-1]) && isWordByte(secret[0]) || end < len(text) && isWordByte(text[end]) && isWordByte(secret[len(secret)-1])
		b.WriteString(text[:i])
		if within {
			b.WriteString(secret)
		} else {
			b.WriteString(hidden)
		}
		text = text[end:]
	}
}

func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c >= 0x80
}

// urlInText matches an apparent URL in a text, up to the last "@" of its line.
var urlInText = lazyregexp.New(`[^\s"'` + "`" + `<>()]*://(?:[^\n]*@)?[^\s]*`)

// RedactText redacts all apparent URLs in a text, except web addresses without a user.
func RedactText(text string) string {
	return urlInText.ReplaceAllStringFunc(text, func(found string) string {
		found, after := cutPunctuation(found)
		if p, problem := splitURL(found); problem == "" && !p.hasUser && p.query == "" && strings.HasPrefix(p.scheme, "http") {
			return found + after
		}
		return Redact(found) + after
	})
}

// cutPunctuation cuts the sentence's punctuation off the end of a URL.
func cutPunctuation(found string) (url, after string) {
	url = strings.TrimRight(found, `"'`+"`"+`)>.,;:`)
	return url, found[len(url):]
}
