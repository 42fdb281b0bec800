-- Types that are made of functions, which need the type to be there.
CREATE TYPE shelly;
CREATE FUNCTION mt_in(cstring) RETURNS shelly LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION mt_out(shelly) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE shelly (INPUT = mt_in, OUTPUT = mt_out, LIKE = text);
CREATE TABLE of_shelly (a shelly);
CREATE TYPE myrange;
CREATE FUNCTION myr_canon(myrange) RETURNS myrange LANGUAGE internal IMMUTABLE STRICT AS 'int4range_canonical';
CREATE TYPE myrange AS RANGE (SUBTYPE = integer, CANONICAL = myr_canon);
CREATE TABLE of_ranges (r myrange);
CREATE TYPE just_a_shell;
COMMENT ON TYPE shelly IS 'of text';
CREATE TYPE fixed;
CREATE FUNCTION fixed_in(cstring) RETURNS fixed LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
CREATE FUNCTION fixed_out(fixed) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
CREATE TYPE fixed (INPUT = fixed_in, OUTPUT = fixed_out, INTERNALLENGTH = 4, PASSEDBYVALUE, ALIGNMENT = int4, CATEGORY = 'N', PREFERRED = true, DEFAULT = '3', DELIMITER = ';');
CREATE TABLE of_fixed (a fixed, b fixed[]);
