-- Every kind of object that SQLite has.
CREATE TABLE plain (id integer PRIMARY KEY, Name text NOT NULL DEFAULT 'it''s', "with space" integer, [in brackets] real, `ticks` blob, untyped);
CREATE TABLE if not exists "Odd ""name""" ("select" integer DEFAULT -1, b numeric(10, 2) DEFAULT (1 + 2), c text DEFAULT "double", d text default CURRENT_TIMESTAMP, e DEFAULT NULL, f DEFAULT x'ab');
CREATE TABLE constrained (
    a integer CONSTRAINT pk PRIMARY KEY AUTOINCREMENT,
    b text NOT NULL ON CONFLICT IGNORE UNIQUE ON CONFLICT REPLACE COLLATE NOCASE, -- a comment, with a comma
    c integer CHECK (c > 0) CHECK (c < 10), /* ( */
    d integer REFERENCES plain (id) ON DELETE SET NULL ON UPDATE SET DEFAULT NOT DEFERRABLE INITIALLY IMMEDIATE,
    e integer DEFAULT 1 REFERENCES plain ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    g integer GENERATED ALWAYS AS (c * 2) STORED, h text AS (upper(b)),
    CONSTRAINT u UNIQUE (b, c), UNIQUE (d, e) ON CONFLICT ABORT CHECK (a <> b)
    FOREIGN KEY (c, d) REFERENCES other (x, y) MATCH FULL
);
CREATE TABLE other (x, y, PRIMARY KEY (x, y)) WITHOUT ROWID;
CREATE TABLE rigid (a integer PRIMARY KEY, b any, c text) STRICT;
CREATE TABLE both (a integer PRIMARY KEY, b text) STRICT, WITHOUT ROWID;
CREATE TABLE from_select AS SELECT id, name FROM plain;
CREATE INDEX i1 ON plain (name);
CREATE UNIQUE INDEX "I 2" ON plain (name COLLATE NOCASE DESC, "with space") WHERE "with space" IS NOT NULL;
CREATE INDEX i3 ON plain (lower(name), id + 1);
CREATE VIEW v AS SELECT id, name FROM plain WHERE name LIKE 'a%';
CREATE VIEW a_before (x, y) AS SELECT * FROM v;
CREATE TRIGGER t1 AFTER INSERT ON plain WHEN new.id > 5 BEGIN UPDATE plain SET name = 'x;y' WHERE id = new.id; DELETE FROM other; END;
CREATE TRIGGER t2 INSTEAD OF UPDATE OF name ON v BEGIN SELECT 1; END;
CREATE VIEW commented AS SELECT 1 AS a -- at the end
;
CREATE INDEX commented_index ON plain (name) -- at the end
;
CREATE TABLE commented_table (a) /* at the end */ -- at the end
;
CREATE VIRTUAL TABLE commented_words USING fts5(a) -- at the end
;
CREATE TRIGGER commented_trigger AFTER INSERT ON plain BEGIN SELECT 1; END -- at the end
;
CREATE VIRTUAL TABLE words USING fts5(title, body, tokenize = 'porter ascii');
CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1);
INSERT INTO constrained (b, c) VALUES ('b', 1);
ANALYZE;
