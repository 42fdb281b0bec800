package database

// QueryFile is the name of the file in which the place of an error of a [Querier] is.
const QueryFile = "query"

// Rows are what a statement answered.
type Rows struct {
	// Columns are the names of the columns; nil for a statement that returns no rows by its nature.
	Columns []string
	// Rows have a value for each column: nil, bool, int64, float64, json.Number, or string. What is
	// of another type is text as the database writes it; bytes are \x and hexadecimal digits. A
	// number that JSON can't hold is the text "Infinity", "-Infinity" or "NaN".
	Rows [][]any
	// Changed is the number of rows that the statement changed.
	Changed int64
}
