package render

import "testing"

func TestAimAddsFlagsToCommands(t *testing.T) {
	t.Parallel()
	a := aim{"--env 'a b'", func() []string { return []string{"history show", "history", "up", "redo"} }}
	for text, want := range map[string]string{
		`Run "whimbrel up" to resume.`:     `Run "whimbrel up --env 'a b'" to resume.`,
		"whimbrel up":                      "whimbrel up --env 'a b'",
		"run: whimbrel redo --steps 2":     "run: whimbrel redo --env 'a b' --steps 2",
		`"whimbrel history show 7", then`:  `"whimbrel history show --env 'a b' 7", then`,
		`See "whimbrel up --help".`:        `See "whimbrel up --help".`,
		`"whimbrel drivers" lists them.`:   `"whimbrel drivers" lists them.`,
		"whimbrel upgrade, whimbrel":       "whimbrel upgrade, whimbrel",
		"whimbrel up\nor: whimbrel redo":   "whimbrel up --env 'a b'\nor: whimbrel redo --env 'a b'",
		"Use a newer version of whimbrel.": "Use a newer version of whimbrel.",
	} {
		got := a.at(text)
		if got != want {
			t.Errorf("at(%q) = %q, want %q", text, got, want)
		}
		if again := a.at(got); again != got {
			t.Errorf("at(%q) = %q, want it unchanged", got, again)
		}
		if none := (aim{}).at(text); none != text {
			t.Errorf("without flags, at(%q) = %q", text, none)
		}
	}
}
