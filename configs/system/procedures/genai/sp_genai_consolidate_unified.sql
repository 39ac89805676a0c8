-- Usage and cost of all LLM providers and credentials of one org in one table. Replaces the days p_start_date to
-- p_end_date of the pipeline.
--
-- Several pipelines may have brought the same usage (openai/cost/usage_cost and genai/payg/openai, for example): of each
-- provider, credential and day the rows of one pipeline are taken, those that were written last. What the bill has beyond
-- the charges, or short of them, is a row of the kind residual. Usage of an account that another credential has charged
-- already is not in FOCUS (genai.focus refuses it), and is left out here too. The node of the org's hierarchy is that of
-- the charges with the same project, user, key and tags.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_genai_consolidate_unified(
  IN p_org_slug STRING,
  IN p_pipeline_id STRING,
  IN p_credential_id STRING,
  IN p_run_id STRING,
  IN p_start_date DATE,
  IN p_end_date DATE
)
BEGIN
  ASSERT p_start_date <= p_end_date AS 'the range of dates ends before it starts';

  DELETE FROM genai_usage_cost_daily_unified
  WHERE x_org_slug = p_org_slug AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date;

  INSERT INTO genai_usage_cost_daily_unified (
    usage_date, provider, row_kind, service, account_id, project_id, user_id, api_key_id, tags, hierarchy_node_id,
    hierarchy_path, model, charge_kind, processing,
    quantity, unit, cost, currency, price_basis, source_pipeline_id, source_credential_id,
    x_org_slug, x_pipeline_id, x_credential_id, x_pipeline_run_date, x_run_id, x_ingested_at, x_ingestion_date
  )
  WITH brought AS (
    SELECT
      usage_date, 'openai' AS provider, 'charge' AS row_kind, 'OpenAI API' AS service,
      CAST(NULL AS STRING) AS account_id, project_id, user_id, api_key_id, CAST(NULL AS STRING) AS tags, model, charge_kind, processing, CAST(consumed_quantity AS BIGNUMERIC) AS quantity,
      consumed_unit AS unit, cost, currency, price_basis,
      x_pipeline_id AS source_pipeline_id, x_credential_id AS source_credential_id, x_ingested_at AS brought_at
    FROM openai_cost_daily_current
    WHERE x_org_slug = p_org_slug AND usage_date BETWEEN p_start_date AND p_end_date
    UNION ALL
    SELECT
      usage_date, 'anthropic', 'charge', 'Anthropic API', NULL, workspace_id, NULL, api_key_id, NULL, model, charge_kind, processing,
      CAST(consumed_quantity AS BIGNUMERIC), consumed_unit, cost, currency, price_basis,
      x_pipeline_id, x_credential_id, x_ingested_at
    FROM anthropic_cost_daily_current
    WHERE x_org_slug = p_org_slug AND usage_date BETWEEN p_start_date AND p_end_date
    UNION ALL
    SELECT
      usage_date, provider, 'charge', service, account_id, sub_account_id, NULL, NULL, tags, NULL, sku, NULL,
      quantity, unit, cost, currency, 'provider_bill', x_pipeline_id, x_credential_id, x_ingested_at
    FROM genai_billing_daily_raw_current
    WHERE x_org_slug = p_org_slug AND usage_date BETWEEN p_start_date AND p_end_date
    UNION ALL
    SELECT
      usage_date, provider, 'metric', NULL, account_id, sub_account_id, NULL, NULL, NULL, model, sku, NULL,
      quantity, unit, NULL, NULL, NULL, x_pipeline_id, x_credential_id, x_ingested_at
    FROM genai_metrics_daily_raw_current
    WHERE x_org_slug = p_org_slug AND usage_date BETWEEN p_start_date AND p_end_date
    UNION ALL
    SELECT
      usage_date, provider, 'residual', NULL, account_id, NULL, NULL, NULL, NULL, model, charge_kind, NULL,
      NULL, NULL, difference, currency, class, x_pipeline_id, x_credential_id, x_ingested_at
    FROM genai_residual_daily_reconciled_current
    WHERE x_org_slug = p_org_slug AND usage_date BETWEEN p_start_date AND p_end_date AND difference <> 0
  ),
  refused AS (
    SELECT DISTINCT mine.provider, mine.x_credential_id, mine.x_pipeline_run_date
    FROM genai_cost_daily_unified AS mine
    JOIN cost_data_standard_1_3 AS other
      ON other.x_Provider = mine.provider
      AND other.BillingAccountId = mine.billing_account_id
      AND other.x_pipeline_run_date = mine.x_pipeline_run_date
      AND other.x_SourceTable = mine.source_table
      AND other.x_SourceRowId = mine.source_row_id
    WHERE mine.x_org_slug = p_org_slug
      AND mine.x_pipeline_run_date BETWEEN p_start_date AND p_end_date
      AND mine.billing_account_id <> p_org_slug
      AND other.x_org_slug = p_org_slug
      AND other.x_credential_id <> mine.x_credential_id
      AND NOT EXISTS (
        SELECT 1
        FROM cost_data_standard_1_3 AS own
        WHERE own.x_org_slug = mine.x_org_slug
          AND own.x_Provider = mine.provider
          AND own.x_credential_id = mine.x_credential_id
          AND own.x_pipeline_run_date = mine.x_pipeline_run_date
      )
  ),
  charged AS (
    SELECT
      x_Provider, x_credential_id, x_pipeline_run_date, ServiceName, SubAccountId, x_UserId, x_ApiKeyId, Tags, x_hierarchy_node_id, x_hierarchy_path
    FROM cost_data_standard_1_3
    WHERE x_org_slug = p_org_slug AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date
    UNION ALL
    SELECT
      x_Provider, x_credential_id, x_pipeline_run_date, ServiceName, SubAccountId, x_UserId, x_ApiKeyId, Tags, x_hierarchy_node_id, x_hierarchy_path
    FROM cost_data_superseded
    WHERE x_org_slug = p_org_slug AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date
  ),
  places AS (
    SELECT
      x_Provider AS provider,
      x_credential_id AS credential_id,
      x_pipeline_run_date AS charged_on,
      COALESCE(SubAccountId, '') AS project_id,
      COALESCE(x_UserId, '') AS user_id,
      COALESCE(x_ApiKeyId, '') AS api_key_id,
      COALESCE(Tags, '') AS tags,
      MIN(ServiceName) AS service,
      MIN(x_hierarchy_node_id) AS node_id,
      MIN(x_hierarchy_path) AS path
    FROM charged
    GROUP BY 1, 2, 3, 4, 5, 6, 7
  ),
  ranked AS (
    SELECT
      brought.*,
      FIRST_VALUE(source_pipeline_id) OVER (
        -- a residual goes with the charges that it completes
        PARTITION BY brought.provider, IF(row_kind = 'residual', 'charge', row_kind), source_credential_id, usage_date
        ORDER BY brought_at DESC, source_pipeline_id
      ) AS latest_pipeline_id
    FROM brought
    LEFT JOIN refused
      ON refused.provider = brought.provider
      AND refused.x_credential_id = brought.source_credential_id
      AND refused.x_pipeline_run_date = brought.usage_date
    WHERE refused.provider IS NULL
  )
  SELECT
    usage_date, ranked.provider, row_kind, COALESCE(ranked.service, places.service), account_id, ranked.project_id,
    ranked.user_id, ranked.api_key_id, ranked.tags, places.node_id, places.path, model, charge_kind, processing,
    quantity, unit, cost, currency, price_basis, source_pipeline_id, source_credential_id,
    p_org_slug, p_pipeline_id, p_credential_id, usage_date, p_run_id, CURRENT_TIMESTAMP(), CURRENT_DATE()
  FROM ranked
  LEFT JOIN places
    ON places.provider = ranked.provider
    AND places.credential_id = ranked.source_credential_id
    AND places.charged_on = ranked.usage_date
    AND places.project_id = COALESCE(ranked.project_id, '')
    AND places.user_id = COALESCE(ranked.user_id, '')
    AND places.api_key_id = COALESCE(ranked.api_key_id, '')
    AND places.tags = COALESCE(ranked.tags, '')
  WHERE source_pipeline_id = latest_pipeline_id;

  SELECT provider, COUNT(*) AS charges, SUM(cost) AS cost, currency
  FROM genai_usage_cost_daily_unified
  WHERE x_org_slug = p_org_slug AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date
  GROUP BY provider, currency
  ORDER BY provider, currency;
END;
