-- Constraints of every kind, with validity and deferrability.
CREATE TABLE parent (id integer PRIMARY KEY, a integer, b integer, CONSTRAINT parent_ab UNIQUE (a, b));
CREATE TABLE checks (
    a integer CHECK (a > 0), b integer CONSTRAINT b_small CHECK (b < 10) NO INHERIT, c integer,
    CONSTRAINT a_below_b CHECK (a < b AND c IS NOT NULL OR a = ANY (ARRAY[1, 2]))
);
ALTER TABLE checks ADD CONSTRAINT not_yet CHECK (c > 5) NOT VALID;
COMMENT ON CONSTRAINT not_yet ON checks IS 'later';
CREATE TABLE uniques (
    a integer UNIQUE, b integer, c integer, d text,
    CONSTRAINT u_deferred UNIQUE (b, c) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT u_deferrable UNIQUE (c) DEFERRABLE,
    CONSTRAINT u_include UNIQUE (d) INCLUDE (a, b) WITH (fillfactor = 80)
);
COMMENT ON CONSTRAINT u_deferred ON uniques IS 'at the end';
COMMENT ON INDEX u_deferred IS 'of the constraint';
CREATE TABLE excluded (a integer, r int4range, p point, c circle,
    EXCLUDE USING gist (r WITH &&),
    CONSTRAINT no_overlap EXCLUDE USING gist (c WITH &&) WHERE (a > 1) DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE child (
    id integer CONSTRAINT child_pk PRIMARY KEY,
    p1 integer REFERENCES parent,
    p2 integer CONSTRAINT fk_cascade REFERENCES parent (id) ON DELETE CASCADE ON UPDATE SET NULL,
    p3 integer REFERENCES parent DEFERRABLE INITIALLY DEFERRED,
    p4 integer REFERENCES parent DEFERRABLE,
    a integer, b integer,
    FOREIGN KEY (a, b) REFERENCES parent (a, b) MATCH FULL ON DELETE SET DEFAULT
);
ALTER TABLE child ADD CONSTRAINT fk_not_valid FOREIGN KEY (id) REFERENCES parent NOT VALID;
COMMENT ON CONSTRAINT fk_not_valid ON child IS 'validate it at night';
-- in a circle
CREATE TABLE hen (id integer PRIMARY KEY, egg integer);
CREATE TABLE egg (id integer PRIMARY KEY, hen integer REFERENCES hen);
ALTER TABLE hen ADD FOREIGN KEY (egg) REFERENCES egg;
CREATE TABLE self (id integer PRIMARY KEY, parent integer REFERENCES self);
CREATE UNIQUE INDEX by_index ON self (parent);
ALTER TABLE self ADD CONSTRAINT made_of_index UNIQUE USING INDEX by_index;
CREATE FUNCTION positive(integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 0';
CREATE TABLE calls (a integer CHECK (positive(a)), b integer DEFAULT abs(-3));
