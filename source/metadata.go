package source

import (
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/whimbrel-db/whimbrel/migration"
)

// A migration can carry metadata of its objects, which is applied with it: 0005_users.metadata.yaml
// beside 0005_users.up.sql, or beside the script in another format. This package reads it as a
// script; package metayaml parses it.

const metadataEnd = ".metadata.yaml"

// metadataMeant returns the correct name for a file with metadata, "" for another file.
func metadataMeant(name string) string {
	lower := strings.ToLower(name)
	for _, end := range []string{metadataEnd, ".metadata.yml"} {
		if strings.HasSuffix(lower, end) && lower != end {
			stem := name[:len(name)-len(end)]
			for _, direction := range []string{".up", ".down"} {
				stem = strings.TrimSuffix(stem, direction)
			}
			return stem + metadataEnd
		}
	}
	return ""
}

// carried is a file with metadata.
type carried struct {
	numbered
	path   string
	script *migration.Script
}

// metadata reads the file of that name, if it is one with metadata.
func (f *folder) metadata(name string) (c carried, is bool) {
	meant := metadataMeant(name)
	if meant == "" {
		return c, false
	}
	c.path = f.path(name)
	if !startsWithDigit(name) {
		f.add(c.path, "is metadata of no migration: only a migration can have metadata; names look like 0001_add_users.metadata.yaml")
		return c, true
	}
	if meant != name {
		f.add(c.path, "is not named like the metadata of a migration; did you mean %s?", meant)
		return c, true
	}
	n, rest, err := cutVersion(name)
	stem := strings.TrimSuffix(rest, metadataEnd)
	switch {
	case err != nil:
		f.add(c.path, "%v", err)
		return c, true
	case stem != "" && stem[0] != '_':
		f.add(c.path, "is not named like the metadata of a migration; names look like 0001_add_users.metadata.yaml")
		return c, true
	}
	text, err := f.text(name)
	if err != nil {
		f.wrap(c.path, err)
		return c, true
	}
	c.numbered, c.script = n, migration.Text(c.path, text)
	c.name = strings.TrimPrefix(stem, "_")
	return c, true
}

// numberedMetadata reads the files with metadata in another tool's folder, which may contain other
// YAML: it skips files that don't begin with a version.
func (f *folder) numberedMetadata() (all []carried) {
	for _, e := range f.entries {
		if e.IsDir() || !startsWithDigit(e.Name()) {
			continue
		}
		if c, is := f.metadata(e.Name()); is {
			all = append(all, c)
		}
	}
	return all
}

// text reads a file with metadata.
func (f *folder) text(name string) (string, error) {
	text, err := readText(f.fsys, name, maxMetadata)
	if err == nil && !utf8.Valid(text) {
		err = errors.New("it is not UTF-8")
	}
	return string(text), err
}

// carry adds the metadata to its migrations.
func (f *folder) carry(all []migration.Migration, files []carried) {
	for _, c := range files {
		if c.script == nil {
			continue // its problem is reported already
		}
		i := slices.IndexFunc(all, func(m migration.Migration) bool { return m.Version == c.version && m.Name == c.name })
		if i >= 0 {
			all[i].Metadata = c.script
			continue
		}
		other := slices.IndexFunc(all, func(m migration.Migration) bool { return m.Version == c.version })
		if other >= 0 {
			f.add(c.path, "has the version of %s but another name%s; give both files the same name", all[other].Up.File, lookAlike(all[other].Name, c.name))
		} else {
			f.add(c.path, "there is no migration %d that it belongs to; add its up script, or remove this file", c.version)
		}
	}
}
