-- Children whose columns do not have the order that INHERITS gives.
CREATE TABLE animal (id integer PRIMARY KEY, name text NOT NULL DEFAULT 'it', legs integer CHECK (legs > 0), CHECK (id > 1) NO INHERIT);
CREATE TABLE dog (barks boolean) INHERITS (animal);
CREATE TABLE puppy (age integer, name text DEFAULT 'puppy', CHECK (age < 2)) INHERITS (dog);
CREATE TABLE fish (water text);
CREATE TABLE dogfish () INHERITS (dog, fish);
CREATE TABLE adopted (extra text, legs integer CONSTRAINT animal_legs_check CHECK (legs > 0), name text NOT NULL, id integer NOT NULL);
ALTER TABLE adopted INHERIT animal;
ALTER TABLE animal ADD tail text DEFAULT 'long';
ALTER TABLE puppy ALTER tail DROP DEFAULT;
