package inspect

import (
	"regexp"
	"strings"
)

var (
	// inked matches strings, quoted names and comments; of a versioned comment, which contains
	// code, only its ends.
	inked = regexp.MustCompile("(?s)'(?:[^'\\\\]|\\\\.)*'|\"(?:[^\"\\\\]|\\\\.)*\"|`[^`]*`|/\\*M?!\\d*|/\\*.*?\\*/|\\*/|--\\s[^\\n]*|#[^\\n]*")

	mysqlTable = regexp.MustCompile(`(?i)^create\s+((or\s+replace|temporary)\s+)*table\b`)
	// mysqlRows matches clauses that give a new table rows; no word need precede them.
	mysqlRows  = regexp.MustCompile(`(?i)\bselect\b|\bas\s*\(?\s*(with|values|table)\b`)
	counter    = regexp.MustCompile(`(?i)\bauto_increment\s*=?\s*\d`)
	partitions = regexp.MustCompile(`(?i)\b(truncate|drop|exchange)\s+partition\b|\bdiscard\b|\bimport\b`)
	ofUsers    = regexp.MustCompile(`(?i)^(create|alter|drop|rename)\s+(or\s+replace\s+)?(role|user|database|schema|server|(undo\s+)?tablespace|logfile|instance|resource)\b`)
	setServer  = regexp.MustCompile(`(?i)^set\s+(global|persist|persist_only|password|default\s+role|resource)\b|@@(global|persist|persist_only)\.\w+\s*:?=`)
	setFor     = regexp.MustCompile(`(?is)^set\s+statement\b.*?\bfor\s+(.*)`)
)

// bare removes text from a statement that could be mistaken for keywords.
func bare(sql string) string {
	return strings.TrimSpace(inked.ReplaceAllStringFunc(sql, func(s string) string {
		if strings.ContainsAny(s[:1], "'\"`") {
			return s[:1] + s[:1]
		}
		return " "
	}))
}

// outsideMySQL is outside for MySQL and MariaDB, whose databases have no privileges, and whose
// snapshots don't contain AUTO_INCREMENT counters.
func outsideMySQL(sql string) string {
	sql = bare(sql)
	if m := setFor.FindStringSubmatch(sql); m != nil {
		return outsideMySQL(m[1])
	}
	switch word := strings.ToLower(firstWord.FindString(sql)); word {
	case "create", "alter", "drop", "rename":
		return outsideDDL(word, sql)
	case "set":
		switch {
		case setServer.MatchString(sql):
			return ofServer
		case strings.Contains(sql, "("):
			return calls
		}
		return ""
	case "select", "values", "table", "do":
		switch {
		case into.MatchString(sql):
			return writesRows
		case strings.Contains(sql, "("):
			return calls
		}
		return ""
	case "insert", "update", "delete", "replace", "truncate", "load":
		return writesRows
	case "grant", "revoke", "flush", "kill", "reset", "purge", "change", "install", "uninstall", "shutdown", "start", "stop", "binlog":
		return ofServer
	case "lock", "unlock", "analyze", "optimize", "repair", "check", "checksum", "use", "show", "explain", "describe", "desc", "help", "prepare", "deallocate", "":
		return ""
	}
	return mayWrite
}

// outsideDDL returns the effects of statements that change a schema, but not only that.
func outsideDDL(word, sql string) string {
	switch {
	case ofUsers.MatchString(sql):
		return ofServer
	case word == "create" && mysqlTable.MatchString(sql):
		if mysqlRows.MatchString(sql) {
			return writesRows
		}
		if counter.MatchString(sql) {
			return moves
		}
	case word == "alter" && partitions.MatchString(sql):
		return writesRows
	case word == "alter" && (counter.MatchString(sql) || restart.MatchString(sql)):
		return moves
	}
	return ""
}
