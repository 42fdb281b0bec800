package database

import "strings"

// TableNames are the names of Whimbrel's own tables in a target, as the Options give them: not
// quoted, not in lower case.
type TableNames struct{ History, Settings, Journal, Metadata, Backfills, Lanes string }

// TableNames returns the names of Whimbrel's tables. The others derive from the history's: they
// replace its ending "history" ("app_history", "app_settings") or add one ("app", "app_settings").
func (o Options) TableNames() TableNames {
	history := o.HistoryTable
	if history == "" {
		history = "whimbrel_history"
	}
	const ending = "history"
	stem := history + "_"
	if n := len(history) - len(ending); n >= 0 && strings.EqualFold(history[n:], ending) {
		stem = history[:n]
	}
	return TableNames{
		History: history, Settings: stem + "settings", Journal: stem + "journal", Metadata: stem + "metadata",
		Backfills: stem + "backfills", Lanes: stem + "lanes",
	}
}

// Lower returns the names in lower case, as [Database].Tables does.
func (n TableNames) Lower() []string {
	names := []string{n.History, n.Settings, n.Journal, n.Metadata, n.Backfills, n.Lanes}
	for i := range names {
		names[i] = strings.ToLower(names[i])
	}
	return names
}
