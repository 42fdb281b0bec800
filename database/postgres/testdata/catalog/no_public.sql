-- A database without the schema that every new one has.
DROP SCHEMA public;
CREATE SCHEMA app;
CREATE TABLE app.a (id integer PRIMARY KEY);
CREATE FUNCTION app.many() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM app.a';
