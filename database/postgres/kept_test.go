package postgres

import "testing"

func TestEscape(t *testing.T) {
	for _, c := range []struct {
		text   string
		narrow bool
		want   string
	}{
		{"plain", true, "plain"},
		{"Ünï 🐦", false, "Ünï 🐦"},
		{`Ü\ 🐦`, true, `U&\00DC\\ \+01F426`},
		{"U&x", false, "U&U&x"},
		{"a\x00b", false, `U&a\0000b`},
		{"a\xffb", false, `U&a\xFFb`},
		{"\xe9", true, `U&\xE9`},
		{`back\slash`, true, `back\slash`},
	} {
		got := escape(c.text, c.narrow)
		if got != c.want {
			t.Errorf("escape(%q, %v) = %q, want %q", c.text, c.narrow, got, c.want)
		}
		if back := unescape(got); back != c.text {
			t.Errorf("%q came back as %q", c.text, back)
		}
	}
	for _, foreign := range []string{`U&\`, `U&\00`, `U&\xZZ`, `U&\+12`, `U&\+FFFFFF`} {
		if got := unescape(foreign); got != foreign {
			t.Errorf("unescape(%q) = %q: escape has not written it", foreign, got)
		}
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("U&\\\x00\xff🐦", true)
	f.Add(`U&\+01F426`, false)
	f.Fuzz(func(t *testing.T, text string, narrow bool) {
		if back := unescape(escape(text, narrow)); back != text {
			t.Errorf("%q came back as %q", text, back)
		}
	})
}
