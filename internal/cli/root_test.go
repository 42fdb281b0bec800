package cli

import "testing"

func TestCommandsAreBuiltByTheirNames(t *testing.T) {
	t.Parallel()
	for _, c := range allSubcommands() {
		if got := c.build(&app{}).Name(); got != c.name {
			t.Errorf("the command %q is listed as %q", got, c.name)
		}
		a := &app{Process: Process{Args: []string{c.name, "--help"}}}
		if all := a.root().Commands(); len(all) != 1 || all[0].Name() != c.name {
			t.Errorf("whimbrel %s builds %d commands", c.name, len(all))
		}
	}
}

func TestAllCommandsAreBuiltForAnythingElse(t *testing.T) {
	t.Parallel()
	want := len((&app{}).root().Commands())
	if want < len(allSubcommands()) {
		t.Fatalf("without arguments, %d commands are built", want)
	}
	for _, args := range [][]string{{"--json", "up"}, {"help"}, {"completion", "bash"}, {"__complete", "u"}, {"upp"}, {"meta"}, {""}} {
		a := &app{Process: Process{Args: args}}
		if got := len(a.root().Commands()); got != want {
			t.Errorf("for %q, %d commands are built, want %d", args, got, want)
		}
	}
}
