-- A schema of the library's own: its tables can't collide with those of the application, nor with
-- a River that the application uses itself.
CREATE SCHEMA jobs;
