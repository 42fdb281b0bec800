package cli

import (
	"bytes"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/whimbrel-db/whimbrel/internal/cli/render"
)

func environment(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}

func TestWhichPager(t *testing.T) {
	t.Parallel()
	less := ""
	if _, err := exec.LookPath("less"); err == nil {
		less = "less"
	}
	for _, c := range []struct {
		name  string
		env   map[string]string
		flags globalFlags
		pipe  bool
		want  string
	}{
		{name: "nothing is said", want: less},
		{name: "PAGER", env: map[string]string{"PAGER": "more -s"}, want: "more -s"},
		{name: "our own comes first", env: map[string]string{"PAGER": "more", "WHIMBREL_PAGER": "most"}, want: "most"},
		{name: "none for us", env: map[string]string{"PAGER": "more", "WHIMBREL_PAGER": ""}},
		{name: "none for anybody", env: map[string]string{"PAGER": ""}},
		{name: "cat", env: map[string]string{"PAGER": " cat "}},
		{name: "--no-pager", env: map[string]string{"PAGER": "more"}, flags: globalFlags{noPager: true}},
		{name: "--json", env: map[string]string{"PAGER": "more"}, flags: globalFlags{json: true}},
		{name: "--quiet", env: map[string]string{"PAGER": "more"}, flags: globalFlags{quiet: true}},
		{name: "a pipe", env: map[string]string{"PAGER": "more"}, pipe: true},
	} {
		a := &app{Process: Process{LookupEnv: environment(c.env), Stdout: render.Stream{Terminal: !c.pipe}}, global: c.flags}
		if got := a.pagerCommand(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if paged := a.page() != nil; paged != (c.want != "") {
			t.Errorf("%s: paged %v", c.name, paged)
		}
	}
}

func TestRunPager(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		command, out, errs string
		ok                 bool
	}{
		{"cat -", "one\ntwo\n", "", true},
		{`sed "s/^/> /"`, "> one\n> two\n", "", true},
		{"head -n 1", "one\n", "", true}, // goes before it has read everything
		{"false", "", "", true},          // how it leaves is not our business
		{"printenv LESS", "FRX\n", "", true},
		{"no-such-pager", "", `the pager "no-such-pager": can't be run`, false},
		{"no-such-pager 'x'", "", `the pager "no-such-pager 'x'": can't be run`, false},
	} {
		var out, errs bytes.Buffer
		a := &app{Process: Process{
			LookupEnv: environment(map[string]string{"PAGER": c.command}),
			Stdout:    render.Stream{Writer: &out, Terminal: true}, Stderr: render.Stream{Writer: &errs},
		}}
		ok := a.page()("one\ntwo\n")
		wantEqual(t, c.command, ok, c.ok)
		wantEqual(t, "output of "+c.command, out.String(), c.out)
		if c.ok {
			wantEqual(t, "errors of "+c.command, errs.String(), "")
		}
		wantContains(t, "errors of "+c.command, errs.String(), c.errs)
	}
}

// While the pager is there Ctrl-C is its own affair; other signals end it.
func TestPagerSignals(t *testing.T) {
	t.Parallel()
	signals := make(chan os.Signal)
	out, reader := newPipe(t)
	a := &app{Process: Process{
		LookupEnv: environment(map[string]string{"PAGER": `printf ready; exec sleep 1000`}),
		Stdout:    render.Stream{Writer: out, Terminal: true}, Stderr: render.Stream{Writer: &syncBuffer{}}, Signals: signals,
	}}
	done := make(chan bool)
	go func() { done <- a.page()("text") }()
	if _, err := reader.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	signals <- os.Interrupt
	signals <- syscall.SIGTERM
	if !<-done {
		t.Error("the pager failed")
	}
}

func newPipe(t *testing.T) (w, r *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return w, r
}
