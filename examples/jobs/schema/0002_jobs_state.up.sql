ALTER TABLE jobs ADD COLUMN state text NOT NULL DEFAULT 'available';
CREATE INDEX jobs_available ON jobs (queue, id) WHERE state = 'available';
