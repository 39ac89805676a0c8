-- Anthropic's daily cost in the shape that all LLM providers share.
-- Replaces the days p_start_date to p_end_date of one org and credential, whichever pipeline wrote them: two pipelines
-- that price the same usage never count it twice. Usage without a price stays behind.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_genai_consolidate_anthropic_cost(
  IN p_org_slug STRING,
  IN p_pipeline_id STRING,
  IN p_credential_id STRING,
  IN p_run_id STRING,
  IN p_start_date DATE,
  IN p_end_date DATE
)
BEGIN
  DELETE FROM genai_cost_daily_unified
  WHERE x_org_slug = p_org_slug
    AND x_credential_id = p_credential_id
    AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date
    AND provider = 'anthropic';

  INSERT INTO genai_cost_daily_unified (
    usage_date, provider, service_name, provider_name, billing_account_id, project_id, user_id, api_key_id,
    usage_kind, model, charge_kind, processing, above_input_tokens, consumed_quantity, consumed_unit,
    pricing_quantity, pricing_unit, unit_price, cost, currency, price_basis, price_source,
    price_effective_from, price_id, region, source_table, source_pipeline_id, source_row_id,
    x_org_slug, x_pipeline_id, x_credential_id, x_pipeline_run_date, x_run_id, x_ingested_at, x_ingestion_date
  )
  SELECT
    usage_date,
    'anthropic',
    'Anthropic API',
    'Anthropic',
    COALESCE(account_id, p_org_slug),  -- usage of earlier releases does not name the organization
    workspace_id,
    CAST(NULL AS STRING),  -- the report does not name users
    api_key_id,
    usage_kind,
    model,
    charge_kind,
    processing,
    above_input_tokens,
    consumed_quantity,
    consumed_unit,
    pricing_quantity,
    pricing_unit,
    unit_price,
    cost,
    currency,
    price_basis,
    price_source,
    price_effective_from,
    price_id,
    region,
    'anthropic_usage_daily_raw',
    source_pipeline_id,
    source_row_id,
    p_org_slug,
    p_pipeline_id,
    p_credential_id,
    usage_date,
    p_run_id,
    CURRENT_TIMESTAMP(),
    CURRENT_DATE()
  FROM anthropic_cost_daily
  WHERE x_org_slug = p_org_slug
    AND x_pipeline_id = p_pipeline_id
    AND x_credential_id = p_credential_id
    AND usage_date BETWEEN p_start_date AND p_end_date
    AND cost IS NOT NULL;

  SELECT COUNT(*) AS charges, SUM(cost) AS cost
  FROM genai_cost_daily_unified
  WHERE x_org_slug = p_org_slug AND x_pipeline_id = p_pipeline_id AND x_credential_id = p_credential_id
    AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date;
END;
