package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// hint is a text of this package that may name commands and flags.
type hint struct{ at, text string }

// hintsOf returns the texts of Go files, with concatenations joined. Verbs, and expressions within
// a concatenation, are replaced with 7, which is valid as a version and as a name.
func hintsOf(t *testing.T, dirs ...string) (hints []hint) {
	t.Helper()
	files := token.NewFileSet()
	for _, dir := range dirs {
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				e, isExpr := n.(ast.Expr)
				if !isExpr {
					return true
				}
				text, ok := constant(e)
				if ok {
					hints = append(hints, hint{files.Position(e.Pos()).String(), verb.ReplaceAllString(text, "7")})
				}
				return !ok
			})
		}
	}
	return hints
}

var verb = regexp.MustCompile(`%[a-z]`)

// constant returns a string literal, or a concatenation with one.
func constant(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		left, isLeft := constant(e.X)
		right, isRight := constant(e.Y)
		if !isLeft {
			left = "7"
		}
		if !isRight {
			right = "7"
		}
		return left + right, e.Op == token.ADD && (isLeft || isRight)
	}
	return "", false
}

var (
	quotedCommand = regexp.MustCompile(`"(whimbrel [^"]+)"`)
	namedCommand  = regexp.MustCompile(`(?:run|schema): (whimbrel .+?)\.?(?:$|\n)`)
	example       = regexp.MustCompile(`(?m)^ *\$? *(whimbrel [a-z-][^#|;{&>\n]*)`)
	wholeCommand  = regexp.MustCompile(`^whimbrel [a-z].*$`)
	namedFlag     = regexp.MustCompile(`--[a-z][a-z-]*`)
	word          = regexp.MustCompile(`"[^"]*"|'[^']*'|[^ ]+`)
)

// commandsIn returns the command lines that a text names.
func commandsIn(text string) (lines []string) {
	for _, form := range []*regexp.Regexp{quotedCommand, namedCommand, example} {
		for _, m := range form.FindAllStringSubmatch(text, -1) {
			lines = append(lines, m[1])
		}
	}
	return append(lines, wholeCommand.FindAllString(text, -1)...)
}

// parseLine parses a command line as whimbrel does, without running it.
func parseLine(line string) error {
	var args []string
	line, _, _ = strings.Cut(line, " > ")            // the shell's redirection
	line = strings.ReplaceAll(line, "--7", "--done") // resolve's decision is a verb
	for _, w := range word.FindAllString(line, -1)[1:] {
		args = append(args, strings.Trim(w, `"'`))
	}
	root := (&app{}).root()
	root.InitDefaultHelpFlag()
	root.InitDefaultHelpCmd()
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	cmd.InitDefaultHelpFlag()
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if help, _ := cmd.Flags().GetBool("help"); help || len(rest) == 0 && cmd.HasParent() {
		return nil // the text may only mention the command
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		return err
	}
	if cmd.PreRunE != nil {
		return cmd.PreRunE(cmd, cmd.Flags().Args())
	}
	return nil
}

// TestHintsNameCommands parses every command line that a message, a help text or a page names.
func TestHintsNameCommands(t *testing.T) {
	t.Parallel()
	found := map[string]string{}
	for _, h := range hintsOf(t, ".", "render") {
		for _, line := range commandsIn(h.text) {
			found[line] = h.at
		}
	}
	if len(found) < 100 {
		t.Fatalf("found %d command lines; the test looks in the wrong place", len(found))
	}
	for line, at := range found {
		if err := parseLine(line); err != nil {
			t.Errorf("%s: %s: %v", at, line, err)
		}
	}
	for _, wrong := range []string{"whimbrel nosuch", "whimbrel up --nosuch", "whimbrel to 1 2", "whimbrel accept 7", "whimbrel up --steps 0"} {
		if parseLine(wrong) == nil {
			t.Errorf("%s was parsed; the test finds no mistake", wrong)
		}
	}
}

// TestHintsNameFlags checks that a command has each flag that a message of this package names.
func TestHintsNameFlags(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"--help": true}
	eachCommand((&app{}).root(), func(cmd *cobra.Command) { addFlags(known, cmd) })
	for _, h := range hintsOf(t, ".", "render") {
		for _, flag := range namedFlag.FindAllString(h.text, -1) {
			if !known[flag] && flag != "--7" {
				t.Errorf("%s: no command has %s: %s", h.at, flag, h.text)
			}
		}
	}
}

func eachCommand(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, c := range cmd.Commands() {
		eachCommand(c, visit)
	}
}

var failing = regexp.MustCompile(`^(?:\[!?[a-z]+\] )*(?:code [1-9]|!? ?exec) (whimbrel\b.*)$`)

// TestHintsFitTheirCommand reads the scripts that test the command: a hint that a failing command
// gives names flags of this command.
func TestHintsFitTheirCommand(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Glob("../../cmd/whimbrel/testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, name := range scripts {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var last string
		for n, line := range strings.Split(string(text), "\n") {
			if m := failing.FindStringSubmatch(line); m != nil {
				last = m[1]
			}
			_, said, ok := strings.Cut(line, "stderr '")
			if !ok || last == "" || !strings.Contains(said, "add --") {
				continue
			}
			checked++
			for _, flag := range namedFlag.FindAllString(said[strings.Index(said, "add --"):], -1) {
				if !hasFlag(last, flag) {
					t.Errorf("%s:%d: %s suggests %s, which it does not have", name, n+1, last, flag)
				}
			}
		}
	}
	if checked < 5 {
		t.Errorf("found %d hints; the test looks in the wrong place", checked)
	}
}

// hasFlag reports whether the command of a command line has a flag.
func hasFlag(line, flag string) bool {
	root := (&app{}).root()
	cmd, _, err := root.Find(strings.Fields(line)[1:])
	if err != nil {
		return false
	}
	known := map[string]bool{}
	addFlags(known, cmd)
	return known[flag]
}

func addFlags(known map[string]bool, cmd *cobra.Command) {
	for _, set := range []*pflag.FlagSet{cmd.Flags(), cmd.InheritedFlags()} {
		set.VisitAll(func(f *pflag.Flag) { known["--"+f.Name] = true })
	}
}
