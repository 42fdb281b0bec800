package source

import (
	"path"
	"strings"
	"unicode/utf8"

	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
)

// sqitchProject says where the parts of a Sqitch project are, within the folder.
type sqitchProject struct {
	plan      string
	dirs      map[string]string // of deploy, revert, verify, and of reworked_deploy and so on
	extension string            // with its dot
	engine    string
	planner   string // of new changes: NAME <EMAIL>
}

// confSetting is a line of a sqitch.conf.
type confSetting struct {
	place
	section, name string // "core", "engine.pg"; in lower case, but for the engine's name
	key, value    string
}

// readConf reads a sqitch.conf, which has git's format: sections, and lines KEY = VALUE. A line it
// can't read becomes a problem of the file.
func readConf(file, text string) (all []confSetting, p problems) {
	section, name := "", ""
	line := 0
	for full := range strings.SplitSeq(strings.TrimPrefix(text, byteOrderMark), "\n") {
		line++
		full = strings.TrimSuffix(full, "\r")
		body := strings.TrimSpace(full)
		at := place{line, 1 + utf8.RuneCountInString(full[:len(full)-len(strings.TrimLeft(full, " \t"))])}
		switch {
		case body == "" || body[0] == '#' || body[0] == ';':
		case body[0] == '[':
			head, _, ok := strings.Cut(body[1:], "]")
			first, second, _ := strings.Cut(head, " ")
			section, name = strings.ToLower(first), strings.Trim(strings.TrimSpace(second), `"`)
			if !ok {
				p.at(file, at.line, at.column, "the section has no closing bracket")
				return all, p
			}
		default:
			key, value, _ := strings.Cut(body, "=")
			all = append(all, confSetting{at, section, name, strings.ToLower(strings.TrimSpace(key)), confValue(value)})
		}
		if line >= maxPlanned {
			p.at(file, line, 1, "the file has more than %d lines", maxPlanned)
			break
		}
	}
	return all, p
}

// confValue returns a value without its quotes and comment.
func confValue(text string) string {
	var b strings.Builder
	quoted := false
	text = strings.TrimSpace(text)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '#' || c == ';'):
			return strings.TrimSpace(b.String())
		default:
			b.WriteByte(c)
		}
	}
	return strings.TrimSpace(b.String())
}

// planners match a planner that a plan can have.
var planners = lazyregexp.New(`^[^<>#\[\]\pC]+ <[^<>#\pC]+>$`)

// sqitchScripts are the kinds of scripts that a change has.
var sqitchScripts = []string{"deploy", "revert", "verify"}

// project derives a project's paths from the settings, as Sqitch does without a target: those of
// the engine come before those of the core. A path that leaves the folder is a problem.
func project(file string, settings []confSetting) (sqitchProject, problems) {
	var p problems
	s := sqitchProject{extension: ".sql", dirs: map[string]string{}}
	get := func(section, name, key string) (confSetting, bool) {
		for i := len(settings) - 1; i >= 0; i-- {
			if t := settings[i]; t.section == section && t.name == name && t.key == key && t.value != "" {
				return t, true
			}
		}
		return confSetting{}, false
	}
	engine, _ := get("core", "", "engine")
	s.engine = engine.value
	name, _ := get("user", "", "name")
	email, _ := get("user", "", "email")
	if s.planner = name.value + " <" + email.value + ">"; !planners.MatchString(s.planner) {
		s.planner = "Whimbrel <whimbrel@localhost>"
	}
	value := func(key string) (confSetting, bool) {
		if t, ok := get("engine", s.engine, key); ok && s.engine != "" {
			return t, true
		}
		return get("core", "", key)
	}
	inside := func(key, otherwise string) string {
		t, ok := value(key)
		if !ok {
			return otherwise
		}
		clean := path.Clean(strings.ReplaceAll(t.value, `\`, "/"))
		if path.IsAbs(clean) || clean == ".." || strings.HasPrefix(clean, "../") || strings.Contains(clean, ":") || !utf8.ValidString(clean) {
			p.at(file, t.line, t.column, "%s = %s is outside of this folder; name the folder that contains it", key, t.value)
			return otherwise
		}
		return clean
	}
	top := inside("top_dir", ".")
	s.plan = inside("plan_file", path.Join(top, "sqitch.plan"))
	reworked := inside("reworked_dir", top)
	for _, kind := range sqitchScripts {
		s.dirs[kind] = inside(kind+"_dir", path.Join(top, kind))
		s.dirs["reworked_"+kind] = inside("reworked_"+kind+"_dir", path.Join(reworked, kind))
	}
	if t, ok := value("extension"); ok {
		s.extension = "." + t.value
		if strings.ContainsAny(t.value, `/\:`) || !utf8.ValidString(t.value) {
			p.at(file, t.line, t.column, "extension = %s can't be part of a file's name", t.value)
			s.extension = ".sql"
		}
	}
	return s, p
}
