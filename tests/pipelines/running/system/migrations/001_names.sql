ALTER TABLE `{project}.{dataset_id}.cloud_shop_costs`
  RENAME COLUMN IF EXISTS service TO service_name,
  ADD COLUMN IF NOT EXISTS note STRING OPTIONS (description = 'free text');
ALTER TABLE `{project}.{dataset}.cloud_shop_costs` ALTER COLUMN service_name SET OPTIONS (description = 'name');
ALTER TABLE `{project}.{dataset}.cloud_shop_costs` RENAME COLUMN service_name TO service;
UPDATE `{project}.{dataset}.cloud_shop_costs` SET note = 'migrated' WHERE note IS NULL;
