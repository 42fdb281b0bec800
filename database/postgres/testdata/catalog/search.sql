-- Text search, operator classes, publications, and what else there is.
CREATE TEXT SEARCH DICTIONARY simple_german (TEMPLATE = snowball, language = german, stopwords = german);
CREATE TEXT SEARCH CONFIGURATION mine (COPY = simple);
ALTER TEXT SEARCH CONFIGURATION mine ALTER MAPPING FOR asciiword, word WITH simple_german, simple;
ALTER TEXT SEARCH CONFIGURATION mine DROP MAPPING FOR email;
COMMENT ON TEXT SEARCH CONFIGURATION mine IS 'mine';
COMMENT ON TEXT SEARCH DICTIONARY simple_german IS 'dictionary';
CREATE TABLE searched (t text, v tsvector GENERATED ALWAYS AS (to_tsvector('mine', t)) STORED);
CREATE FUNCTION reverse_cmp(integer, integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT -btint4cmp($1, $2)';
CREATE OPERATOR CLASS reverse_ops FOR TYPE integer USING btree AS
    OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =, OPERATOR 4 <=, OPERATOR 5 <, FUNCTION 1 reverse_cmp(integer, integer);
CREATE INDEX reversed ON searched ((length(t)) reverse_ops);
CREATE OPERATOR FAMILY lonely USING btree;
COMMENT ON OPERATOR CLASS reverse_ops USING btree IS 'backwards';
CREATE PUBLICATION a_few FOR TABLE searched WITH (publish = 'insert, update');
CREATE PUBLICATION everything FOR ALL TABLES;
COMMENT ON PUBLICATION a_few IS 'some';
