package cli

import (
	"io"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
)

// isLikeURL reports whether likeURL matches a text. It compiles the pattern only if the answer is
// not obvious.
func isLikeURL(text string) bool {
	if !strings.ContainsAny(text, ":=") {
		return false
	}
	for _, start := range []string{"postgres://", "postgresql://", "mysql://", "mariadb://", "sqlite:"} {
		if strings.HasPrefix(text, start) {
			return true
		}
	}
	return likeURL.MatchString(text)
}

// likeURL matches a text that starts like a database URL or another connection string with a
// password.
var likeURL = lazyregexp.New(`(?i)^\s*([a-z][a-z0-9+.-]*://|(sqlite3?|postgres(ql)?|mysql|mariadb):|[^\s/@:]*:[^\s@]*@|(.*\s)?(password|sslpassword)\s*=)`)

// startsLikeURL matches a text that starts like a database URL and unlike any SQL statement. It
// omits the other forms of likeURL, because a statement can compare a column "password" or contain
// a colon and an @.
var startsLikeURL = lazyregexp.New(urlStart)

const urlStart = `(?i)^\s*([a-z][a-z0-9+.-]*://|(sqlite3?|postgres(ql)?|mysql|mariadb):)`

// onlyURL matches a text that starts with a URL or user:password@host.
var onlyURL = lazyregexp.New(urlStart + `|^\s*[^\s/@:]*:[^\s@]*@`)

// passwordOf matches password=…, also within a sentence.
var passwordOf = lazyregexp.New(`(?is)\b((?:ssl)?password)\s*=\s*('(?:[^'\\]|\\.)*'?|"[^"]*"?|[^\s'"]\S*)`)

// shownSentence returns a reason as the history may keep it, with URLs and passwords redacted.
func shownSentence(text string) string {
	if onlyURL.MatchString(text) {
		return shown(text)
	}
	return passwordOf.ReplaceAllString(database.RedactText(text), "${1}=xxxxx")
}

// shown returns a text from the command line, the environment or the configuration, redacted for
// messages.
func shown(text string) string {
	if isLikeURL(text) {
		return database.Redact(strings.TrimSpace(text))
	}
	return database.RedactText(text)
}

// shownArgs redacts the arguments of a message.
func shownArgs(args []any) []any {
	clean := make([]any, len(args))
	for i, arg := range args {
		switch v := arg.(type) {
		case string:
			arg = shown(v)
		case error:
			arg = database.RedactText(v.Error())
		}
		clean[i] = arg
	}
	return clean
}

// guarded redacts, in all output, the URLs that the command received and their passwords. Messages
// redact what they quote; guarded is the second line of defence.
type guarded struct {
	mu       sync.Mutex
	given    []string
	redactor *database.Redactor
}

// add registers texts that may be URLs.
func (g *guarded) add(texts ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, text := range texts {
		for _, part := range []string{text, afterEqual(text)} {
			if isLikeURL(part) {
				g.given = append(g.given, part)
				g.redactor = nil
			}
		}
	}
}

// afterEqual returns the value of an argument such as --database=URL, or of a line such as
// "database: URL".
func afterEqual(text string) string {
	if _, value, ok := strings.Cut(text, "="); ok && strings.HasPrefix(text, "-") {
		return value
	}
	_, value, _ := strings.Cut(text, ": ")
	return strings.Trim(strings.TrimSpace(value), `"'`)
}

func (g *guarded) redact(text string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.given) == 0 {
		return text
	}
	if g.redactor == nil {
		g.redactor = database.NewRedactor(g.given...)
	}
	return g.redactor.Redact(text)
}

// writer returns a writer that redacts. It handles each Write by itself.
func (g *guarded) writer(w io.Writer) io.Writer { return guardedWriter{g, w} }

type guardedWriter struct {
	g *guarded
	w io.Writer
}

func (w guardedWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.w, w.g.redact(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// lookupEnv wraps lookup and registers the values that it returns.
func (g *guarded) lookupEnv(lookup func(string) (string, bool)) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := lookup(name)
		g.add(value)
		return value, ok
	}
}

// The flags that take URLs, and those that take a reason for the history.
var (
	urlFlags    = map[string]bool{"database": true, "scratch": true}
	reasonFlags = map[string]bool{"reason": true}
)

// refuseURLs rejects URLs in flags and arguments that don't take any, before one becomes the name
// of a folder or a set. In reasons it redacts them.
func refuseURLs(cmd *cobra.Command, args []string) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		value := f.Value.String()
		switch {
		case reasonFlags[f.Name]:
			if setErr := f.Value.Set(strings.ToValidUTF8(shownSentence(value), "\ufffd")); setErr != nil {
				err = setErr
			}
		case !urlFlags[f.Name] && isLikeURL(value):
			err = usage(seeHelp(cmd), "--%s does not take a URL; pass the database with --database", f.Name)
		}
	})
	if takesURLs := strings.HasPrefix(cmd.Use, "diff ") || cmd.Name() == cobra.ShellCompRequestCmd || cmd.Name() == cobra.ShellCompNoDescRequestCmd; err != nil || takesURLs {
		return err
	}
	like := isLikeURL
	if takesSQL := strings.HasPrefix(cmd.Use, "sql "); takesSQL {
		like = startsLikeURL.MatchString
	}
	for _, arg := range args {
		if like(arg) {
			return usage(seeHelp(cmd), "%q does not take a URL here; pass the database with --database", cmd.CommandPath())
		}
	}
	return nil
}
