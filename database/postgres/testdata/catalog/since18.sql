-- What PostgreSQL 18 has brought.
CREATE EXTENSION btree_gist;
CREATE TABLE virt (a integer, b integer GENERATED ALWAYS AS (a * 2) VIRTUAL, c integer GENERATED ALWAYS AS (a + 1), d integer GENERATED ALWAYS AS (a + 3) STORED);
CREATE TABLE enforced (id integer PRIMARY KEY, a integer CONSTRAINT lax CHECK (a > 0) NOT ENFORCED, b integer CHECK (b > 0) ENFORCED);
ALTER TABLE enforced ADD CONSTRAINT fk_lax FOREIGN KEY (a) REFERENCES enforced NOT ENFORCED;
CREATE TABLE nulls (a integer CONSTRAINT a_is_there NOT NULL, b integer NOT NULL, c integer, d integer, e integer NOT NULL NO INHERIT);
ALTER TABLE nulls ADD CONSTRAINT c_not_yet NOT NULL c NOT VALID;
ALTER TABLE nulls ADD CONSTRAINT nulls_d_not_null NOT NULL d NOT VALID;
COMMENT ON CONSTRAINT a_is_there ON nulls IS 'not null';
CREATE TABLE heir (x integer NOT NULL) INHERITS (nulls);
ALTER TABLE nulls ALTER b DROP NOT NULL;
CREATE TABLE heir2 () INHERITS (nulls);
ALTER TABLE heir2 ALTER b SET NOT NULL;
CREATE TABLE temporal (id integer, valid_at daterange, PRIMARY KEY (id, valid_at WITHOUT OVERLAPS));
CREATE TABLE temporal_fk (id integer, valid_at daterange, ref integer,
    UNIQUE (id, valid_at WITHOUT OVERLAPS), FOREIGN KEY (ref, PERIOD valid_at) REFERENCES temporal (id, PERIOD valid_at));
CREATE TABLE parted (id integer NOT NULL, k integer CONSTRAINT k_there NOT NULL) PARTITION BY LIST (k);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE key_of (id integer, PRIMARY KEY (id));
CREATE TABLE renamed_key (id integer NOT NULL);
ALTER TABLE renamed_key RENAME id TO key;
CREATE DOMAIN named AS text CONSTRAINT there NOT NULL;
CREATE TABLE stays (a integer NOT NULL NO INHERIT, b integer NOT NULL, c integer NOT NULL, id integer PRIMARY KEY);
CREATE TABLE stays_not () INHERITS (stays);
ALTER TABLE stays_not ALTER a SET NOT NULL, ALTER b SET NOT NULL;
CREATE TABLE stays_too (c integer NOT NULL, b integer, PRIMARY KEY (id)) INHERITS (stays);
CREATE TABLE stays_key (a integer) INHERITS (stays);
ALTER TABLE stays_key ADD PRIMARY KEY (id, c);
