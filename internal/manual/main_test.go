package main

import (
	"bytes"
	"crypto/sha256"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/whimbrel-db/whimbrel/internal/cli"
)

// read returns the files below a folder.
func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		files[filepath.ToSlash(strings.TrimPrefix(path, dir+string(filepath.Separator)))] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestManual writes the files twice, at the same date.
func TestManual(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1790000000")
	first, second := t.TempDir(), t.TempDir()
	for _, dir := range []string{first, second} {
		if err := run([]string{dir}); err != nil {
			t.Fatal(err)
		}
	}
	files := read(t, first)
	again := read(t, second)
	if len(files) != len(again) {
		t.Errorf("wrote %d files, then %d", len(files), len(again))
	}
	for name, text := range files {
		if sha256.Sum256([]byte(text)) != sha256.Sum256([]byte(again[name])) {
			t.Errorf("%s differs the second time", name)
		}
	}
	eachCommand(cli.Command(), func(cmd *cobra.Command) { checkPage(t, cmd, files) })
	for _, name := range []string{"completions/whimbrel.bash", "completions/_whimbrel", "completions/whimbrel.fish", "completions/whimbrel.ps1"} {
		if !strings.Contains(files[name], "__complete") {
			t.Errorf("%s does not ask the command for completions", name)
		}
	}
	if bash, err := exec.LookPath("bash"); err == nil {
		if out, err := exec.CommandContext(t.Context(), bash, "-n", filepath.Join(first, "completions/whimbrel.bash")).CombinedOutput(); err != nil {
			t.Errorf("bash can't read its completions: %v\n%s", err, out)
		}
	}
	checkRendering(t, filepath.Join(first, "man/man1"))
}

func eachCommand(cmd *cobra.Command, f func(*cobra.Command)) {
	f(cmd)
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			eachCommand(c, f)
		}
	}
}

// checkPage looks for each flag and example of a command in its page.
func checkPage(t *testing.T, cmd *cobra.Command, files map[string]string) {
	t.Helper()
	name := "man/man1/" + strings.ReplaceAll(cmd.CommandPath(), " ", "-") + ".1"
	page := files[name]
	if page == "" {
		t.Errorf("%s is missing", name)
		return
	}
	if !strings.Contains(page, `"Sep 2026"`) {
		t.Errorf("%s does not have the date of SOURCE_DATE_EPOCH", name)
	}
	cmd.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
		want := `\fB--` + f.Name + `\fP`
		if value, _ := pflag.UnquoteUsage(f); value != "" {
			want += `=\fI` + value + `\fP`
		}
		if !strings.Contains(page, want+"\n") {
			t.Errorf("%s lacks the option %s", name, want)
		}
	})
	for line := range strings.Lines(cmd.Example) {
		if !strings.Contains(strings.ReplaceAll(page, `\\`, `\`), strings.TrimSpace(line)) {
			t.Errorf("%s lacks the example %q", name, line)
		}
	}
}

// checkRendering renders the pages with groff, if it exists.
func checkRendering(t *testing.T, dir string) {
	t.Helper()
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Log("groff is not installed, so the pages were not rendered")
		return
	}
	var errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), groff, "-man", "-Tutf8", "-Kutf8", "-ww", filepath.Join(dir, "whimbrel.1"))
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil || errs.Len() > 0 {
		t.Errorf("groff reports: %v\n%s", err, errs.String())
	}
	for _, want := range []string{"$WHIMBREL_PAGER", "whimbrel_history"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the rendered page lacks %s:\n%s", want, out)
		}
	}
}

func TestManualNeedsAFolder(t *testing.T) {
	if err := run(nil); err == nil {
		t.Error("run without a folder returned no error")
	}
	t.Setenv("SOURCE_DATE_EPOCH", "yesterday")
	dir := t.TempDir()
	if err := run([]string{dir}); err == nil || !strings.Contains(err.Error(), "SOURCE_DATE_EPOCH") {
		t.Errorf("err = %v, want one that names SOURCE_DATE_EPOCH", err)
	}
	if files := read(t, dir); len(files) > 0 {
		t.Errorf("wrote %d files after an error", len(files))
	}
}

// TestNobodyLinksTheManual checks that the libraries that write man pages are in no other program.
func TestNobodyLinksTheManual(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "../../cmd/whimbrel").Output()
	if err != nil {
		t.Fatal(err)
	}
	linked := strings.Fields(string(out))
	for _, library := range []string{"github.com/spf13/cobra/doc", "github.com/cpuguy83/go-md2man/v2/md2man", "github.com/russross/blackfriday/v2"} {
		if slices.Contains(linked, library) {
			t.Errorf("the command links %s", library)
		}
	}
	if !slices.Contains(linked, "github.com/spf13/cobra") {
		t.Error("the list of linked packages is incomplete")
	}
}
