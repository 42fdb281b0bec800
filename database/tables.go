package database

import "strings"

// TableNames are the names of Whimbrel's own tables in a target, as they were
// asked for: not quoted, not in lower case.
type TableNames struct{ History, Settings, Journal, Metadata string }

// TableNames returns the tables' names: the history's as it was given, and the others
// made from it. A name that ends in "history" has that ending replaced
// ("app_history", "app_settings"), any other gets one more ("app", "app_settings").
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
	return TableNames{History: history, Settings: stem + "settings", Journal: stem + "journal", Metadata: stem + "metadata"}
}

// Lower returns the names in lower case, as [Database].Tables does.
func (n TableNames) Lower() []string {
	names := []string{n.History, n.Settings, n.Journal, n.Metadata}
	for i := range names {
		names[i] = strings.ToLower(names[i])
	}
	return names
}
