DROP INDEX jobs_available;
ALTER TABLE jobs DROP COLUMN state;
