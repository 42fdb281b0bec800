ALTER TABLE parcels ADD COLUMN weight numeric;
