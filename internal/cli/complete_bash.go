package cli

import (
	"io"

	"github.com/spf13/cobra"
)

// bashHelpers defines what cobra's script uses of the package bash-completion, in case it is not
// installed: as on macOS, in containers and on small servers.
const bashHelpers = `
if ! declare -F _get_comp_words_by_ref >/dev/null; then
    # Splits the line at white space only, so that --to=3 is one word.
    _get_comp_words_by_ref()
    {
        local line=${COMP_LINE:0:COMP_POINT}
        read -r -a words <<<"$line"
        if [[ $line == *[[:space:]] ]]; then
            words+=("")
        fi
        cword=$((${#words[@]} - 1))
        cur=${words[cword]}
        prev=${words[cword > 0 ? cword - 1 : 0]}
    }
fi
if ! declare -F _filedir >/dev/null; then
    _filedir()
    {
        local IFS=$'\n' kind=-f
        if [[ ${1-} == -d ]]; then
            kind=-d
        fi
        COMPREPLY=($(compgen "$kind" -- "$cur"))
    }
fi
`

// completeInBash replaces cobra's command that prints the script for bash.
func completeInBash(completion *cobra.Command) {
	for _, c := range completion.Commands() {
		if c.Name() != "bash" {
			continue
		}
		c.Long = "Bash prints the script for bash. It needs no other package. To load it in the current shell:\n\n" +
			"  source <(whimbrel completion bash)\n\n" +
			"To load it in each shell, add this line to ~/.bashrc."
		c.RunE = func(cmd *cobra.Command, _ []string) error {
			short, err := cmd.Flags().GetBool("no-descriptions")
			if err != nil {
				return err
			}
			if err := cmd.Root().GenBashCompletionV2(cmd.OutOrStdout(), !short); err != nil {
				return err
			}
			_, err = io.WriteString(cmd.OutOrStdout(), bashHelpers)
			return err
		}
	}
}
