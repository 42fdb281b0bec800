package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
)

// dotEnv is the usual name of a file with environment variables.
const dotEnv = ".env"

// readDotEnv advises --env-file if a file .env sets one of the variables and is not read. Otherwise
// it returns other.
func (a *app) readDotEnv(other string, names ...string) string {
	if a.global.envFile != "" {
		return other
	}
	text, err := readFile(dotEnv, maxEnvFile)
	if err != nil {
		return other
	}
	vars, err := parseEnvFile(dotEnv, string(text))
	if err != nil {
		return other
	}
	for _, name := range names {
		if vars[name] != "" {
			return "The file " + dotEnv + " sets " + name + ". To read it, add --env-file " + dotEnv + "."
		}
	}
	return other
}

// configAbove advises to run the command in the nearest folder above that has a configuration file.
// Otherwise it returns other.
func (a *app) configAbove(other string) string {
	here, err := filepath.Abs(".")
	if err != nil || a.global.config != "" {
		return other
	}
	for {
		above := filepath.Dir(here)
		if above == here {
			return other
		}
		here = above
		if info, err := os.Stat(filepath.Join(here, configName)); err == nil && info.Mode().IsRegular() {
			return "Run the command in " + shown(here) + ", which has a " + configName + ", or pass --database URL."
		}
	}
}

// migrationFile matches names by which a folder is recognised as one of migrations, of any format.
var migrationFile = lazyregexp.New(`^[0-9]+[^/]*\.sql$|^[VU][0-9][^/]*__[^/]*\.sql$|^(sqitch\.plan|migration_lock\.toml|atlas\.sum)$`)

// migrationFolder matches the names of folders that are migrations.
var migrationFolder = lazyregexp.New(`^([0-9]{8,}|[0-9]{4}(-[0-9]{2}){2}[0-9-]*)_`)

// holdsMigrations reports whether a folder has migrations, as far as its names tell.
func holdsMigrations(dir string) bool {
	return slices.ContainsFunc(namesIn(dir), func(name string) bool {
		return migrationFile.MatchString(name) || migrationFolder.MatchString(name)
	})
}

// otherFolder names the folder that was probably meant by one that does not exist, or "".
func otherFolder(dir string) string {
	if holdsMigrations(".") {
		return "The working folder has migrations: to use them, add --dir ."
	}
	parent, name := filepath.Split(filepath.Clean(dir))
	best := nearest(name, slices.DeleteFunc(namesIn(filepath.Join(parent, ".")), func(sibling string) bool {
		info, err := os.Stat(filepath.Join(parent, sibling))
		return err != nil || !info.IsDir()
	}))
	candidates := []string{"db/migrations", "db/migrate", "sql/migrations", "prisma/migrations", "drizzle", "db/migration", "src/main/resources/db/migration", "sql"}
	if best != "" {
		candidates = slices.Insert(candidates, 0, filepath.Join(parent, best))
	}
	for _, c := range candidates {
		if holdsMigrations(c) {
			return "Did you mean --dir " + shown(filepath.ToSlash(c)) + "?"
		}
	}
	return ""
}

// namesIn returns the names in a folder, none if it can't be read.
func namesIn(dir string) []string {
	entries, _ := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names
}
