package render

import (
	"strings"
	"sync"
)

// Aim has the flags that select what the command works on repeated in each command that the output
// advises, so that it can be copied. flags are words for a shell; commands are the commands that
// they apply to, such as "history show", the longer ones of the same beginning first. It is called
// when the output advises a command.
func (p *Printer) Aim(flags string, commands func() []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.aim = aim{flags, sync.OnceValue(commands)}
}

type aim struct {
	flags    string
	commands func() []string
}

// at returns a text with the flags added to its commands, unless they have them.
func (a aim) at(text string) string {
	if a.flags == "" {
		return text
	}
	const program = "whimbrel "
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, program)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString(program)
		name := a.command(rest)
		b.WriteString(name)
		if text = rest[len(name):]; name != "" && !strings.HasPrefix(text, " --help") && !strings.HasPrefix(text, " "+a.flags) {
			b.WriteString(" " + a.flags)
		}
	}
}

// command returns the command with which a text begins, or "".
func (a aim) command(text string) string {
	for _, name := range a.commands() {
		after, ok := strings.CutPrefix(text, name)
		if ok && (after == "" || strings.ContainsAny(after[:1], " \"`.,;:\n")) {
			return name
		}
	}
	return ""
}

// aimed adds the flags to the advice of a failure. p.mu is not held.
func (p *Printer) aimed(f *Failure) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := p.aim.at(f.Next)
	if f.Hint == "" || f.Hint == f.Next {
		f.Hint = next
	}
	f.Next = next
	for i := range f.Choices {
		f.Choices[i].Command = p.aim.at(f.Choices[i].Command)
	}
}
