-- Cost that a provider itself has charged (gemini, vertex, azure_openai, deepseek) in the shape that all LLM providers
-- share. Replaces the days p_start_date to p_end_date of one org, credential and provider, whichever pipeline wrote them.
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
    usage_date, provider, service_name, provider_name, billing_account_id, project_id, usage_kind, charge_kind,
    processing, consumed_quantity, consumed_unit, cost, list_cost, currency, price_basis,
    x_org_slug, x_pipeline_id, x_credential_id, x_pipeline_run_date, x_run_id, x_ingested_at, x_ingestion_date
  )
  SELECT
    usage_date,
    provider,
    service,
    CASE provider
      WHEN 'gemini' THEN 'Google'
      WHEN 'vertex' THEN 'Google Cloud'
      WHEN 'azure_openai' THEN 'Microsoft'
      WHEN 'deepseek' THEN 'DeepSeek'
      ELSE provider
    END,
    COALESCE(account_id, p_org_slug),
    sub_account_id,
    'bill',
    sku,
    'standard',
    CAST(quantity AS NUMERIC),
    unit,
    cost,
    list_cost,
    currency,
    'provider_bill',
    p_org_slug,
    p_pipeline_id,
    p_credential_id,
    usage_date,
    p_run_id,
    CURRENT_TIMESTAMP(),
    CURRENT_DATE()
  FROM genai_billing_daily_raw
  WHERE x_org_slug = p_org_slug
    AND x_pipeline_id = p_pipeline_id
    AND x_credential_id = p_credential_id
    AND usage_date BETWEEN p_start_date AND p_end_date
    AND provider = p_provider;

  SELECT COUNT(*) AS charges, SUM(cost) AS cost
  FROM genai_cost_daily_unified
  WHERE x_org_slug = p_org_slug AND x_pipeline_id = p_pipeline_id AND x_credential_id = p_credential_id
    AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date;
END;
