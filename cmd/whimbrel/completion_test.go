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
	// bash-completion's helpers that the script uses, in their simplest form
	const complete = `
_get_comp_words_by_ref() { cur=${COMP_WORDS[COMP_CWORD]}; prev=${COMP_WORDS[COMP_CWORD-1]}; words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; }
__ltrim_colon_completions() { :; }
source <(whimbrel completion bash)
COMP_LINE=$1; COMP_POINT=${#COMP_LINE}; COMP_TYPE=63
read -r -a COMP_WORDS <<<"$COMP_LINE"; [[ $COMP_LINE == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]}-1))
__start_whimbrel 2>/dev/null
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
