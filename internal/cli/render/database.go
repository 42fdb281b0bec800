package render

import (
	"io"
	"strings"
)

// Created is the answer of create.
type Created struct {
	Database string `json:"database"` // its URL, without the password
	Place    string `json:"-"`        // its name, its server and the environment
	Created  bool   `json:"created"`
}

func (d *Created) write(pg *page) {
	if d.Created {
		pg.line(pg.good("Created the database " + clean(d.Place) + "."))
		return
	}
	pg.line("The database ", clean(d.Place), " already exists.")
}

// Dropped is the answer of drop.
type Dropped struct {
	Database string `json:"database"` // its URL, without the password
	Place    string `json:"-"`        // its name, its server and the environment
	Dropped  bool   `json:"dropped"`
}

func (d *Dropped) write(pg *page) {
	if d.Dropped {
		pg.line(pg.good("Dropped the database " + clean(d.Place) + "."))
		return
	}
	pg.line("The database ", clean(d.Place), " does not exist.")
}

// Ready is the answer of wait.
type Ready struct {
	Database string `json:"database"` // its URL, without the password
	Place    string `json:"-"`        // its name, its server and the environment
	// Missing says that the server answers, and the database does not exist.
	Missing bool   `json:"missing"`
	Waited  Millis `json:"waited_ms"`
}

func (d *Ready) write(pg *page) {
	if d.Missing {
		pg.line("The server answers; the database ", clean(d.Place), pg.aim.at(` does not exist. Create it with "whimbrel create".`))
		return
	}
	pg.line(pg.good(clean(d.Place) + " answers."))
}

// Waiting says on standard error what a command waits for.
func (p *Printer) Waiting(text string) {
	if p.silent() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note(cleanLines(text))
}

// Records returns a writer for the records of a log, which go to standard error.
func (p *Printer) Records() io.Writer { return records{p} }

type records struct{ p *Printer }

func (r records) Write(b []byte) (int, error) {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	r.p.live.hide()
	r.p.put(r.p.opts.Err, cleanLines(strings.TrimSuffix(string(b), "\n"))+"\n")
	return len(b), nil
}
