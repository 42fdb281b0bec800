package hostile

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// types are the argument types of the hostile operators and functions, in every combination.
var types = []string{
	"int2", "int4", "int8", "numeric", "float8", "text", "name", `"char"`, "oid", "regclass", "xid", "bool", "timestamptz", "interval",
	"json", "jsonb", "_text", "_name", "_oid", "_int2", "int2vector", "oidvector",
}

// plant creates, as a role that may only create objects in public, an overload of every operator
// and function in Whimbrel's statements, a type, a view and casts. Each reports that it was
// executed, and then does what the server's own does.
func plant(t *testing.T, url, role string, statements []string) {
	t.Helper()
	c := connect(t, url)
	exec(t, c, "CREATE ROLE "+role)
	t.Cleanup(func() {
		c, err := pgconn.Connect(context.Background(), url)
		if err == nil {
			c.Exec(context.Background(), "DROP OWNED BY "+role+" CASCADE; DROP ROLE "+role).ReadAll()
			c.Close(context.Background())
		}
	})
	exec(t, c, "GRANT CREATE, USAGE ON SCHEMA public TO "+role+"; SET SESSION AUTHORIZATION "+role+"; SET search_path = pg_catalog; SET check_function_bodies = off; SET client_min_messages = error")
	names, operators := namesIn(statements)
	for _, sql := range []string{plantFunctions, plantOperators, plantTypes, plantViews, plantCasts} {
		exec(t, c, strings.NewReplacer("{names}", array(names), "{operators}", array(operators), "{types}", array(types)).Replace(sql))
	}
	c.Close(context.Background()) // a database with sessions can't be copied
}

func array(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	return "ARRAY[" + strings.Join(quoted, ", ") + "]::text[]"
}

// plantOperators creates, for each pair of types that a server's operator accepts, even after
// conversion, an operator that matches better.
const plantOperators = `DO $do$ DECLARE o text; l text; r text; result text; f text; n int := 0; BEGIN
FOREACH o IN ARRAY {operators} LOOP
	FOR l, r IN SELECT a, b FROM unnest({types}) a, unnest({types}) b LOOP
		BEGIN
			EXECUTE format('SELECT pg_typeof(NULL::%s OPERATOR(pg_catalog.%s) NULL::%s)', l, o, r) INTO result;
		EXCEPTION WHEN OTHERS THEN CONTINUE;
		END;
		n := n + 1;
		f := format('public.operator_%s', n);
		EXECUTE format('CREATE FUNCTION %s(%s, %s) RETURNS %s LANGUAGE plpgsql AS %L', f, l, r, result, format('BEGIN
			RAISE WARNING ''HOSTILE operator %%'', %L; RETURN $1 OPERATOR(pg_catalog.%s) $2; END', format('%s %s %s', l, o, r), o));
		EXECUTE format('CREATE OPERATOR public.%s (leftarg = %s, rightarg = %s, function = %s)', o, l, r, f);
	END LOOP;
END LOOP; END $do$`

// plantFunctions creates each function with its own argument types, and with each of the types in
// the place of each argument. Variadic ones get the most likely combinations.
const plantFunctions = `DO $do$ DECLARE p record; args text; original text; params text; result text; body text; BEGIN
FOR p IN SELECT f.oid, proname, prokind, proretset, pronargs, provariadic <> 0 AS variadic, prorettype::regtype::text AS result,
		ARRAY(SELECT CASE WHEN typtype = 'p' THEN 'text' WHEN oid = '"char"'::regtype THEN '"char"' ELSE typname END FROM unnest(proargtypes) WITH ORDINALITY x(o, n) JOIN pg_type ON oid = o ORDER BY n) AS types,
		(SELECT typtype = 'p' FROM pg_type WHERE oid = prorettype) AS pseudo
	FROM pg_proc f WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY ({names}) AND prokind IN ('f', 'a') AND pronargs <= 6
		AND NOT EXISTS (SELECT FROM unnest(proargtypes) x WHERE x = 'internal'::regtype) AND prorettype <> 'internal'::regtype
LOOP
	IF p.result = 'record' THEN
		BEGIN
			EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', p.proname, pg_get_function_arguments(p.oid), CASE WHEN p.proretset THEN 'SETOF record' ELSE 'record' END,
				format('BEGIN RAISE WARNING ''HOSTILE function %s''; RETURN; END', p.proname));
		EXCEPTION WHEN OTHERS THEN NULL; -- polymorphic ones
		END;
		CONTINUE;
	END IF;
	FOR args, original IN
		SELECT (SELECT string_agg(CASE WHEN n = place THEN typ ELSE x END, ', ' ORDER BY n) FROM unnest(p.types) WITH ORDINALITY y(x, n)),
			(SELECT string_agg(format('$%s::%s', n, x), ', ' ORDER BY n) FROM unnest(p.types) WITH ORDINALITY y(x, n))
			FROM generate_series(1, p.pronargs) place, unnest({types}) typ
		UNION SELECT array_to_string(p.types, ', '), (SELECT string_agg(format('$%s', n), ', ' ORDER BY n) FROM unnest(p.types) WITH ORDINALITY y(x, n))
		UNION SELECT array_to_string(array_fill('text'::text, ARRAY[many]), ', '), (SELECT string_agg(format('$%s', n), ', ') FROM generate_series(1, many) n) FROM generate_series(1, 6) many WHERE p.variadic
		UNION SELECT 'VARIADIC anyarray', 'VARIADIC $1' WHERE p.variadic
	LOOP
		result := CASE WHEN p.pseudo THEN 'text' ELSE p.result END;
		body := CASE WHEN p.prokind = 'a' THEN 'RETURN NULL' WHEN p.proretset THEN format('RETURN QUERY SELECT pg_catalog.%I(%s)', p.proname, original) ELSE format('RETURN pg_catalog.%I(%s)', p.proname, original) END;
		BEGIN
			EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s %s LANGUAGE plpgsql AS %L', p.proname, args, CASE WHEN p.proretset THEN 'SETOF' END, result,
				format('BEGIN RAISE WARNING ''HOSTILE function %s(%s)''; %s; END', p.proname, args, body));
		EXCEPTION WHEN duplicate_function OR invalid_function_definition THEN NULL; -- or one that no role can make
		END;
	END LOOP;
END LOOP; END $do$`

// plantTypes creates domains named like the server's types, whose values are checked.
const plantTypes = `DO $do$ DECLARE n text; BEGIN
CREATE FUNCTION public.checked(text, text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'HOSTILE type %', $1; RETURN true; END $$;
FOR n IN SELECT typname FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype = 'b' AND typname = ANY ({names}) LOOP
	EXECUTE format('CREATE DOMAIN public.%I AS pg_catalog.%1$I CHECK (public.checked(%L, VALUE::text))', n, n);
END LOOP; END $do$`

// plantViews creates views named like the catalogues.
const plantViews = `DO $do$ DECLARE n text; BEGIN
CREATE FUNCTION public.viewed(text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'HOSTILE relation %', $1; RETURN true; END $$;
FOR n IN SELECT relname FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind IN ('r', 'v') AND relname = ANY ({names}) LOOP
	EXECUTE format('CREATE VIEW public.%I AS SELECT %s FROM pg_catalog.%1$I WHERE public.viewed(%L)', n, (SELECT string_agg(quote_ident(attname) || CASE WHEN atttypid = 'anyarray'::regtype THEN '::text' ELSE '' END, ', ' ORDER BY attnum)
		FROM pg_attribute WHERE attrelid = ('pg_catalog.' || quote_ident(n))::regclass AND attnum > 0), n);
	EXECUTE format('GRANT SELECT ON public.%I TO PUBLIC', n);
END LOOP; END $do$`

// plantCasts creates a type with implicit casts to and from others.
const plantCasts = `DO $do$ DECLARE n text; BEGIN
CREATE TYPE public.evil AS (x pg_catalog.text);
FOREACH n IN ARRAY {types} LOOP
	EXECUTE format('CREATE FUNCTION public.cast_from(%s) RETURNS public.evil LANGUAGE plpgsql AS %L', n, format('BEGIN RAISE WARNING ''HOSTILE cast from %s''; RETURN ROW($1::text)::public.evil; END', n));
	EXECUTE format('CREATE CAST (%s AS public.evil) WITH FUNCTION public.cast_from(%1$s) AS IMPLICIT', n);
		EXECUTE format('CREATE FUNCTION public.cast_to_%s(public.evil) RETURNS %s LANGUAGE plpgsql AS %L', translate(n, '"', ''), n, format('BEGIN RAISE WARNING ''HOSTILE cast to %s''; RETURN NULL; END', n));
		EXECUTE format('CREATE CAST (public.evil AS %s) WITH FUNCTION public.cast_to_%s(public.evil) AS IMPLICIT', n, translate(n, '"', ''));
END LOOP; END $do$`
