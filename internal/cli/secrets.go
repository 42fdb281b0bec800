package cli

import (
	"io"
	"regexp"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/whimbrel-db/whimbrel/database"
)

// likeURL matches a text that starts like the URL of a server, or like one of the forms with a password that
// clients of databases take instead.
var likeURL = regexp.MustCompile(`(?i)^\s*([a-z][a-z0-9+.-]*://|(sqlite3?|postgres(ql)?|mysql|mariadb):|[^\s/@:]*:[^\s@]*@|(.*\s)?(password|sslpassword)\s*=)`)

// startsLikeURL matches a text that no statement of SQL starts like. It leaves out the other forms of likeURL, since
// a statement can compare a column "password", and can have a text with a colon and an @.
var startsLikeURL = regexp.MustCompile(`(?i)^\s*([a-z][a-z0-9+.-]*://|(sqlite3?|postgres(ql)?|mysql|mariadb):)`)

// onlyURL matches a text that is a URL, or user:password@host, from its beginning on.
var onlyURL = regexp.MustCompile(startsLikeURL.String() + `|^\s*[^\s/@:]*:[^\s@]*@`)

// passwordOf matches a password in the form of keywords, which can be within a sentence.
var passwordOf = regexp.MustCompile(`(?is)\b((?:ssl)?password)\s*=\s*('(?:[^'\\]|\\.)*'?|"[^"]*"?|[^\s'"]\S*)`)

// shownSentence returns what a person wrote as the history can keep it: whole, but for URLs and passwords.
func shownSentence(text string) string {
	if onlyURL.MatchString(text) {
		return shown(text)
	}
	return passwordOf.ReplaceAllString(database.RedactText(text), "${1}=xxxxx")
}

// shown returns a text of the command line, the environment or the configuration as a message can have it.
func shown(text string) string {
	if likeURL.MatchString(text) {
		return database.Redact(strings.TrimSpace(text))
	}
	return database.RedactText(text)
}

// shownArgs returns the arguments of a message as it can show them.
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

// guarded is the last step before an output: it hides the URLs that the command was given, and their passwords,
// whatever wrote them there. Messages hide what they quote themselves; this is the second net.
type guarded struct {
	mu       sync.Mutex
	given    []string
	redactor *database.Redactor
}

// add remembers texts that may be URLs.
func (g *guarded) add(texts ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, text := range texts {
		for _, part := range []string{text, afterEqual(text)} {
			if likeURL.MatchString(part) {
				g.given = append(g.given, part)
				g.redactor = nil
			}
		}
	}
}

// afterEqual returns the value of an argument such as --database=URL, or of a line such as "database: URL".
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

// writer returns a writer through which everything goes redacted. Each Write is a text of its own.
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

// lookupEnv is the process's own, whose answers are remembered.
func (g *guarded) lookupEnv(lookup func(string) (string, bool)) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := lookup(name)
		g.add(value)
		return value, ok
	}
}

// The flags that take URLs, and those that take a sentence, which the history keeps.
var (
	urlFlags  = map[string]bool{"database": true, "scratch": true}
	noteFlags = map[string]bool{"note": true, "reason": true}
)

// refuseURLs refuses a URL where none is wanted, before it becomes the name of a folder or a set. In a sentence that the
// history keeps it is redacted.
func refuseURLs(cmd *cobra.Command, args []string) (err error) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		value := f.Value.String()
		switch {
		case noteFlags[f.Name]:
			if setErr := f.Value.Set(strings.ToValidUTF8(shownSentence(value), "\ufffd")); setErr != nil {
				err = setErr
			}
		case !urlFlags[f.Name] && likeURL.MatchString(value):
			err = usage(seeHelp(cmd), "--%s takes no URL; a database is named with --database", f.Name)
		}
	})
	if takesURLs := strings.HasPrefix(cmd.Use, "diff "); err != nil || takesURLs {
		return err
	}
	form := likeURL
	if takesSQL := strings.HasPrefix(cmd.Use, "query "); takesSQL {
		form = startsLikeURL
	}
	for _, arg := range args {
		if form.MatchString(arg) {
			return usage(seeHelp(cmd), "%q takes no URL here; a database is named with --database", cmd.CommandPath())
		}
	}
	return nil
}
