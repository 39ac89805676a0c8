-- Cost that a provider itself has charged (gemini, vertex, azure_openai, deepseek, openrouter) in the shape that all LLM providers
-- share. Replaces the days p_start_date to p_end_date of one org, credential and provider, whichever pipeline wrote them.
--
-- What was granted afterwards (grants: promotions, margins of resellers) is a charge of its own, a credit; discounts
-- have reduced the charge already. Both add up to the cost of the raw row.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_genai_consolidate_billed_cost(
  IN p_org_slug STRING,
  IN p_pipeline_id STRING,
  IN p_credential_id STRING,
  IN p_run_id STRING,
  IN p_start_date DATE,
  IN p_end_date DATE,
  IN p_provider STRING
)
BEGIN
  DELETE FROM genai_cost_daily_unified
  WHERE x_org_slug = p_org_slug
    AND x_credential_id = p_credential_id
    AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date
    AND provider = p_provider;

  INSERT INTO genai_cost_daily_unified (
    usage_date, provider, service_name, provider_name, billing_account_id, account_name, project_id, sub_account_name,
    usage_kind, model, charge_kind, charge_category, sku_id, sku_meter, consumed_quantity, consumed_unit, pricing_quantity,
    pricing_unit, list_unit_price, contracted_unit_price, contracted_cost, cost, list_cost, currency, price_basis,
    region, resource_id, resource_name, resource_type, tags, invoice_month,
    source_table, source_pipeline_id, source_row_id,
    x_org_slug, x_pipeline_id, x_credential_id, x_pipeline_run_date, x_run_id, x_ingested_at, x_ingestion_date
  )
  WITH bill AS (
    SELECT
      *,
      CASE cost_type WHEN 'tax' THEN 'Tax' WHEN 'adjustment' THEN 'Adjustment' WHEN 'rounding_error' THEN 'Adjustment'
        ELSE 'Usage' END AS category
    FROM genai_billing_daily_raw_current
    WHERE x_org_slug = p_org_slug
      AND x_credential_id = p_credential_id
      AND usage_date BETWEEN p_start_date AND p_end_date
      AND provider = p_provider
  ),
  parts AS (
    SELECT *, category AS part, cost - COALESCE(grants, 0) AS part_cost FROM bill
    UNION ALL
    SELECT *, 'Credit' AS part, grants AS part_cost FROM bill WHERE grants <> 0
  )
  SELECT
    usage_date,
    provider,
    service,
    provider,
    COALESCE(account_id, p_org_slug),
    account_name,
    sub_account_id,
    sub_account_name,
    'bill',
    model,
    IF(part = 'Credit', COALESCE(grant_names, 'credit'), sku),
    part,
    IF(part = 'Usage', sku_id, NULL),
    IF(part = 'Usage' AND sku_id IS NOT NULL, sku, NULL),
    IF(part = 'Usage', CAST(consumed_quantity AS NUMERIC), NULL),
    IF(part = 'Usage', consumed_unit, NULL),
    IF(part = 'Usage', pricing_quantity, NULL),
    IF(part = 'Usage', pricing_unit, NULL),
    IF(part = 'Usage', list_unit_price, NULL),
    IF(part = 'Usage', contracted_unit_price, NULL),
    IF(part = 'Usage', COALESCE(contracted_cost, part_cost), part_cost),
    part_cost,
    IF(part = 'Usage', COALESCE(list_cost, contracted_cost, part_cost), part_cost),
    currency,
    'provider_bill',
    region,
    resource_id,
    resource_name,
    resource_type,
    tags,
    invoice_month,
    'genai_billing_daily_raw',
    x_pipeline_id,
    row_id,
    p_org_slug,
    p_pipeline_id,
    p_credential_id,
    usage_date,
    p_run_id,
    CURRENT_TIMESTAMP(),
    CURRENT_DATE()
  FROM parts;

  SELECT COUNT(*) AS charges, SUM(cost) AS cost
  FROM genai_cost_daily_unified
  WHERE x_org_slug = p_org_slug AND x_pipeline_id = p_pipeline_id AND x_credential_id = p_credential_id
    AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date;
END;
