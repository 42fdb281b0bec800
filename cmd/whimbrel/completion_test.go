package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The script for bash works in bash: it offers versions and environments in the order in which
// people choose them.
func TestCompletionInBash(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed")
	}
	sh := newShell(t, t.TempDir())
	sh.env = append(sh.env, "WHIMBREL_DATABASE_URL=sqlite:app.db")
	const config = "environments:\n  staging: {database: 'sqlite:s.db'}\n  local: {database: 'sqlite:l.db'}\n  production: {database: 'sqlite:p.db'}\n"
	if err := os.WriteFile(filepath.Join(sh.dir, "whimbrel.yaml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	sh.run(`for n in 1_a 2_b 3_c 4_d; do whimbrel new ${n#*_}; echo "CREATE TABLE t$n (x int);" > migrations/000$n.up.sql; echo "DROP TABLE t$n;" > migrations/000$n.down.sql; done; whimbrel up --to 2`)
	// without the package bash-completion
	const complete = `
source <(whimbrel completion bash)
COMP_LINE=$1; COMP_POINT=${#COMP_LINE}; COMP_TYPE=63
compopt() { :; } # the builtin works in an interactive completion only
__start_whimbrel
for offer in "${COMPREPLY[@]}"; do echo "${offer%% *}"; done`
	for line, want := range map[string]string{
		"whimbrel down --to ":        "0002 0001",
		"whimbrel up --to ":          "0003 0004",
		"whimbrel up --to 0004":      "0004",
		"whimbrel down --to=":        "0002 0001",
		"whimbrel status --env ":     "staging local production",
		"whimbrel status --env l":    "local",
		"whimbrel settings unset fr": "frozen",
		"whimbrel hist":              "history",
		"whimbrel up --dir migr":     "migrations",
		"whimbrel up --config whim":  "whimbrel.yaml",
	} {
		cmd := exec.CommandContext(t.Context(), bash, "--norc", "-c", complete, "bash", line)
		cmd.Dir, cmd.Env = sh.dir, sh.env
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%q: %v\n%s", line, err, out)
			continue
		}
		if got := strings.Join(strings.Fields(string(out)), " "); got != want {
			t.Errorf("%q: bash offers %q, want %q", line, got, want)
		}
	}
}
