-- Views on views, materialised views, their options, columns, rules and triggers.
CREATE TABLE base (id integer PRIMARY KEY, name text, at timestamptz);
CREATE VIEW z_first AS SELECT * FROM base;
CREATE VIEW a_second AS SELECT id, upper(name) AS name FROM z_first WHERE id > 0;
CREATE VIEW grouped AS SELECT id, name, count(*) AS n FROM base GROUP BY id;
CREATE VIEW barrier WITH (security_barrier) AS SELECT id FROM base;
CREATE VIEW checked AS SELECT id, name FROM base WHERE id > 10 WITH CASCADED CHECK OPTION;
CREATE VIEW checked_here AS SELECT id FROM base WHERE id > 10 WITH LOCAL CHECK OPTION;
CREATE RECURSIVE VIEW numbers (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < 10;
CREATE VIEW tricky AS
    WITH w AS (SELECT id, row_number() OVER (PARTITION BY name ORDER BY at DESC) AS r FROM base)
    SELECT b.*, w.r, CASE WHEN w.r = 1 THEN 'first' ELSE 'it''s later' END AS what, ARRAY(SELECT 1) AS list
    FROM base b LEFT JOIN w USING (id) WHERE b.name ~ '^a' ORDER BY b.id LIMIT 5;
ALTER VIEW tricky RENAME COLUMN what TO "What?";
ALTER VIEW a_second ALTER COLUMN id SET DEFAULT 7;
COMMENT ON VIEW a_second IS 'the second';
COMMENT ON COLUMN a_second.name IS 'loud';
CREATE MATERIALIZED VIEW filled AS SELECT id, name FROM a_second;
CREATE MATERIALIZED VIEW not_filled WITH (fillfactor = 90) AS SELECT id FROM filled WITH NO DATA;
COMMENT ON MATERIALIZED VIEW filled IS 'filled';
CREATE INDEX filled_name ON filled (name);
CREATE UNIQUE INDEX filled_id ON filled (id);
ALTER MATERIALIZED VIEW filled CLUSTER ON filled_id;
CREATE FUNCTION on_view() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER instead INSTEAD OF INSERT ON tricky FOR EACH ROW EXECUTE FUNCTION on_view();
CREATE RULE upd AS ON UPDATE TO grouped DO INSTEAD UPDATE base SET name = new.name WHERE id = old.id;
CREATE VIEW no_columns AS SELECT;
CREATE FUNCTION rows_of_view() RETURNS SETOF a_second LANGUAGE sql AS 'SELECT * FROM public.a_second';
CREATE VIEW over_function AS SELECT * FROM rows_of_view();
