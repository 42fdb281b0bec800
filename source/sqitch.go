package source

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/migration"
)

// Sqitch: sqitch.plan lists changes; deploy/NAME.sql is a change's up script, revert/NAME.sql its
// down script.
//
//   - The version is the change's position in the plan, from 1. Sqitch deploys in this order.
//   - sqitch.conf may move the plan, the folders and the extension: top_dir, plan_file, deploy_dir
//     and so on, of the core or of its engine. Those of targets are not read.
//   - A change that was reworked, so that a later one has its name, has scripts NAME@TAG.sql.
//   - A dependency is an error unless an earlier line meets it, as in Sqitch. A conflict with an
//     earlier change is an error, and so is a dependency on another project or on a change's ID.
//   - A change without a deploy script is an error. Without a revert script it is irreversible.
//   - The scripts of verify are not read, which is a warning. Whimbrel verifies a migration by
//     what it and its down script do to a schema.
//   - The commands of psql in a script are errors when it is split, with their place.
//   - Sqitch's history knows a change by its name: Migration.Origin, with the time of the plan. Of
//     a reworked change it is NAME@TAG.

const (
	sqitchConf = "sqitch.conf"
	sqitchPlan = "sqitch.plan"
)

// sqitchShows recognizes a folder by Sqitch's files.
func sqitchShows(f *folder, e *listed) string {
	switch {
	case e.IsDir():
	case e.Name() == sqitchConf:
		return "Sqitch's configuration"
	case e.Name() == sqitchPlan:
		return "Sqitch's plan"
	}
	return ""
}

// readSqitch reads the configuration and the plan, once.
func (f *folder) readSqitch() (sqitchProject, plan) {
	if f.sqitchIs != nil {
		return *f.sqitchIs, f.sqitchPlan
	}
	var settings []confSetting
	if f.isListed(sqitchConf) {
		text, err := readText(f.fsys, sqitchConf, maxSide)
		if err != nil {
			f.wrap(f.path(sqitchConf), err)
		}
		all, p := readConf(f.path(sqitchConf), string(text))
		settings, f.problems.all = all, append(f.problems.all, p.all...)
	}
	s, p := project(f.path(sqitchConf), settings)
	f.problems.all = append(f.problems.all, p.all...)
	f.sqitchIs = &s
	text, err := readText(f.fsys, s.plan, maxSide)
	if errors.Is(err, fs.ErrNotExist) && len(settings) == 0 && !f.isListed(s.dirs["deploy"]) {
		return s, plan{} // an empty folder
	}
	if err != nil {
		f.wrap(f.path(s.plan), err)
		return s, plan{}
	}
	f.sqitchText = string(text)
	f.sqitchPlan, p = readPlan(f.path(s.plan), f.sqitchText)
	f.problems.all = append(f.problems.all, p.all...)
	return s, f.sqitchPlan
}

// isListed reports whether the root has an entry of that name.
func (f *folder) isListed(name string) bool {
	return slices.ContainsFunc(f.entries, func(e *listed) bool { return e.Name() == name })
}

// sqitchFile returns the name of a change's script within fsys: of a reworked one the first that
// exists, as in Sqitch.
func (f *folder) sqitchFile(kind string, i int) (name string, exists bool) {
	s, p := f.readSqitch()
	c := p.changes[i]
	if c.again == 0 {
		name = path.Join(s.dirs[kind], c.name+s.extension)
		return name, f.exists(name)
	}
	first := ""
	for _, tag := range p.reworkTags(i) {
		name = path.Join(s.dirs["reworked_"+kind], c.name+"@"+tag+s.extension)
		if f.exists(name) {
			return name, true
		}
		if first == "" {
			first = name
		}
	}
	return first, false
}

// exists reports whether there is a file of that name, which may be in a sub-folder.
func (f *folder) exists(name string) bool {
	dir := path.Dir(name)
	if !fs.ValidPath(name) {
		return false
	}
	there, read := f.listings[dir]
	if !read {
		there = map[string]bool{}
		entries, _ := readDir(f.fsys, dir, "")
		for _, e := range entries {
			there[e.Name()] = !e.IsDir()
		}
		if f.listings == nil {
			f.listings = map[string]map[string]bool{}
		}
		f.listings[dir] = there
	}
	return there[path.Base(name)]
}

// sqitchChanges returns the names of the scripts of each change, "" for a missing one.
func (f *folder) sqitchChanges() (deploys, reverts []string) {
	_, p := f.readSqitch()
	for i := range p.changes {
		for _, kind := range []string{"deploy", "revert"} {
			name, exists := f.sqitchFile(kind, i)
			if !exists {
				name = ""
			}
			if kind == "deploy" {
				deploys = append(deploys, name)
			} else {
				reverts = append(reverts, name)
			}
		}
	}
	return deploys, reverts
}

func sqitchScriptsOf(f *folder) (names []string) {
	deploys, reverts := f.sqitchChanges()
	return slices.DeleteFunc(slices.Concat(deploys, reverts), func(name string) bool { return name == "" })
}

func (f *folder) sqitch() []migration.Migration {
	s, p := f.readSqitch()
	deploys, reverts := f.sqitchChanges()
	var all []migration.Migration
	for i, c := range p.changes {
		if deploys[i] == "" {
			name, _ := f.sqitchFile("deploy", i)
			f.at(f.path(s.plan), c.line, c.column, "the change %s has no deploy script: there is no file %s", c.name, name)
			continue
		}
		deploy := f.fileOf(deploys[i])
		if f.reported(deploy) {
			continue
		}
		id := c.name
		if c.again > 0 {
			id = strings.TrimSuffix(path.Base(deploys[i]), s.extension)
			id = c.name + id[strings.LastIndexByte(id, '@'):]
		}
		m := migration.Migration{Version: int64(i) + 1, Name: c.name, Up: f.script(deploy), Origin: &migration.Origin{ID: id, When: c.when}}
		f.needStatement(deploy, m.Up, deploy.empty())
		if reverts[i] != "" {
			if revert := f.fileOf(reverts[i]); f.reported(revert) {
				continue
			} else if down := f.script(revert); down.Empty || !revert.empty() {
				m.Down = down
			}
		}
		all = append(all, m)
	}
	f.sqitchVerify(s)
	f.sqitchUnplanned(s, slices.Concat(deploys, reverts))
	return all
}

// sqitchVerify warns that the verify scripts do not run.
func (f *folder) sqitchVerify(s sqitchProject) {
	f.below(s.dirs["verify"], func(_ string, e *listed) bool {
		if !strings.HasSuffix(e.Name(), s.extension) {
			return true
		}
		f.warn(f.path(s.dirs["verify"]), 0, 0, "Whimbrel does not run the verify scripts of Sqitch; it verifies a migration by what it and its down script do to a schema")
		return false
	})
}

// sqitchUnplanned warns of deploy and revert scripts that the plan doesn't have.
func (f *folder) sqitchUnplanned(s sqitchProject, names []string) {
	planned := map[string]bool{}
	for _, name := range names {
		planned[name] = true
	}
	for _, kind := range []string{"deploy", "revert"} {
		for _, dir := range []string{s.dirs[kind], s.dirs["reworked_"+kind]} {
			f.below(dir, func(dir string, e *listed) bool {
				name := path.Join(dir, e.Name())
				if !e.IsDir() && strings.HasSuffix(name, s.extension) && !planned[name] {
					planned[name] = true
					f.warn(f.path(name), 0, 0, "Sqitch skips this file, so it does not run: no change of %s has this name", s.plan)
				}
				return true
			})
		}
	}
}

// sqitchNewest returns the position of the last change.
func sqitchNewest(f *folder) numbered {
	_, p := f.readSqitch()
	return numbered{digits: fmt.Sprint(len(p.changes)), version: int64(len(p.changes))}
}

// sqitchFiles returns the scripts of a new change, and the plan with its line.
func sqitchFiles(f *folder, _, name string) []File {
	s, p := f.readSqitch()
	if len(f.problems.all) > 0 {
		return nil
	}
	switch {
	case f.sqitchText == "":
		f.add(f.path(s.plan), "is missing; create it with: sqitch init PROJECT")
		return nil
	case !isSqitchName(name):
		f.add(f.opts.Dir, "%q can't be the name of a change: %s", name, sqitchNames)
		return nil
	case slices.ContainsFunc(p.changes, func(c change) bool { return c.name == name }):
		f.add(f.path(s.plan), "has a change %s already; to rework it, use: sqitch rework %s", name, name)
		return nil
	}
	line := fmt.Sprintf("%s %s %s # %s\n", name, time.Now().UTC().Format(time.RFC3339), s.planner, strings.ReplaceAll(name, "_", " "))
	text := f.sqitchText
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	if len(p.changes) == 0 && !strings.HasSuffix(text, "\n\n") && !strings.HasSuffix(text, "\n\r\n") {
		text += "\n"
	}
	head := fmt.Sprintf(" %s:%s\n", p.project, name)
	return []File{
		{Name: path.Join(s.dirs["deploy"], name+s.extension), Content: "-- Deploy" + head + unfinished + "\nBEGIN;\n\n\n\nCOMMIT;\n"},
		{Name: path.Join(s.dirs["revert"], name+s.extension), Content: "-- Revert" + head + "\nBEGIN;\n\n\n\nCOMMIT;\n"},
		{Name: s.plan, Content: text + line, Rewrite: true},
	}
}
