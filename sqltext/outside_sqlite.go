package sqltext

// sqlite reads a statement. A scratch database is a file of its own, so everything outside it is in
// other files.
func (o *outside) sqlite(text []byte) {
	c := o.tokens(text)
	first := c.word
	switch first {
	case "EXPLAIN":
		return // which does nothing of it
	case "ATTACH":
		if !attachesNothing(*c) {
			o.found(Files, 0, "ATTACH", false)
		}
	case "PRAGMA":
		o.sqlitePragma(*c)
	}
	defining := first == "CREATE"
	for ; c.kind != tEOF; c.next() {
		switch {
		case first == "VACUUM" && c.word == "INTO":
			o.found(Files, 0, "VACUUM INTO", true)
		case defining && c.word == "USING":
			if c.next(); c.oneOf("zipfile", "sqlar", "csv", "fsdir") {
				o.found(Files, c.from, "USING "+c.name(), false)
			}
		case c.called():
			o.sqliteFunction(c, defining)
		}
	}
}

// sqliteFunction records a call. A trigger or a view only defines it.
func (o *outside) sqliteFunction(c *classifier, defining bool) {
	if defining {
		o.inside++
		defer func() { o.inside-- }()
	}
	switch {
	case c.names("load_extension"):
		o.found(Programs, c.from, "load_extension()", false)
	case c.oneOf("writefile", "edit"):
		o.found(Files, c.from, c.name()+"()", false)
	}
}

// attachesNothing reports whether an ATTACH opens a new database without a named file.
func attachesNothing(c classifier) bool {
	c.next()
	c.take("DATABASE")
	if c.kind != TokenString {
		return false
	}
	file := string(c.token())
	c.next()
	return c.word == "AS" && (file == "''" || file == "':memory:'")
}

// sqlitePragma records pragmas that move files, for the whole process.
func (o *outside) sqlitePragma(c classifier) {
	c.next()
	if ahead := c; ahead.kind != tEOF {
		if ahead.next(); ahead.punct('.') {
			c.next()
			c.next()
		}
	}
	if !c.oneOf("temp_store_directory", "data_store_directory") {
		return
	}
	name := c.name()
	if c.next(); c.punct('=') || c.kind == tOpen {
		o.found(Files, 0, "PRAGMA "+name, true)
	}
}
