package database

// QueryFile is the name of the file in the position of an error of a [Querier].
const QueryFile = "query"

// Rows are the result of a statement.
type Rows struct {
	// Columns are the names of the columns; nil for a statement that returns no rows by its nature.
	Columns []string
	// Rows have a value for each column: nil, bool, int64, float64, json.Number, or string. A value
	// of another type is text in the database's form; bytes are \x and hexadecimal digits. A number
	// that JSON can't represent is the text "Infinity", "-Infinity" or "NaN".
	Rows [][]any
	// Changed is the number of rows that the statement changed.
	Changed int64
}
