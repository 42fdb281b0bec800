package sqltext

// sqlite reads a statement. A scratch database is a file of its own, so everything outside it is in
// other files.
func (o *outside) sqlite(c cursor) {
	first := c.word
	switch first {
	case "EXPLAIN":
		return // which executes nothing
	case "ATTACH":
		if !attachesNothing(c.ahead()) {
			o.found(Files, 0, "ATTACH", false)
		}
	case "PRAGMA":
		p := c.ahead()
		if name := p.pragmaName(); listed("temp_store_directory|data_store_directory", name) && (p.punct('=') || p.kind == tOpen) {
			o.found(Files, 0, "PRAGMA "+name, true) // for the whole process
		}
	}
	for ; c.kind != tEOF; c.next() {
		switch {
		case first == "VACUUM" && c.word == "INTO":
			o.found(Files, 0, "VACUUM INTO", true)
		case first == "CREATE" && c.word == "USING":
			if c.next(); listed("zipfile|sqlar|csv|fsdir", c.name()) {
				o.found(Files, c.from, "USING "+c.name(), false)
			}
		case c.called():
			o.sqliteFunction(c, first == "CREATE")
		}
	}
}

// sqliteFunction records a call. A trigger or a view only defines it.
func (o *outside) sqliteFunction(c cursor, defining bool) {
	outer := Files
	switch c.name() {
	case "load_extension":
		outer = Programs
	case "writefile", "edit":
	default:
		return
	}
	if defining {
		o.perhaps(outer, c.from, c.name()+"()")
	} else {
		o.found(outer, c.from, c.name()+"()", false)
	}
}

// attachesNothing reports whether an ATTACH opens a new database without a named file.
func attachesNothing(c cursor) bool {
	c.take("DATABASE")
	file := string(c.token())
	return (file == "''" || file == "':memory:'") && c.ahead().word == "AS"
}
