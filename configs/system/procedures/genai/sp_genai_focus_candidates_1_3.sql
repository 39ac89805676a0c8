-- Cost of LLM providers as FOCUS 1.3 charges: one row of cost_data_candidate_1_3 for each row of genai_cost_daily_unified,
-- and one for each difference between bill and computed cost (genai_residual_daily_reconciled), so that BilledCost adds
-- up to the bill. Replaces the days p_start_date to p_end_date of one org, pipeline and credential. The charges are not
-- visible yet: generic.focus_gate checks and publishes them.
--
-- What a provider is called stands in focus_providers, which is written from the registry of providers. Columns that are
-- not filled here do not apply: a charge without a price has no SkuPriceId, and so none of the columns that need one.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_genai_focus_candidates_1_3(
  IN p_org_slug STRING,
  IN p_pipeline_id STRING,
  IN p_credential_id STRING,
  IN p_run_id STRING,
  IN p_start_date DATE,
  IN p_end_date DATE
)
BEGIN
  DECLARE v_unknown STRING;

  SET v_unknown = (
    SELECT MIN(source.provider)
    FROM genai_cost_daily_unified AS source
    WHERE source.x_org_slug = p_org_slug
      AND source.x_pipeline_id = p_pipeline_id
      AND source.x_credential_id = p_credential_id
      AND source.x_pipeline_run_date BETWEEN p_start_date AND p_end_date
      AND NOT EXISTS (SELECT 1 FROM focus_providers AS known WHERE known.provider = source.provider)
  );
  IF v_unknown IS NOT NULL THEN
    RAISE USING MESSAGE = CONCAT('focus_providers has no row of ', v_unknown, ': run the step with ps_type genai.focus');
  END IF;

  DELETE FROM cost_data_candidate_1_3
  WHERE x_org_slug = p_org_slug
    AND x_pipeline_id = p_pipeline_id
    AND x_credential_id = p_credential_id
    AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date;

  INSERT INTO cost_data_candidate_1_3 (
    BilledCost, BillingAccountId, BillingAccountName, BillingAccountType, BillingCurrency, BillingPeriodEnd,
    BillingPeriodStart, ChargeCategory, ChargeDescription, ChargeFrequency, ChargePeriodEnd, ChargePeriodStart,
    ConsumedQuantity, ConsumedUnit, ContractedCost, ContractedUnitPrice, EffectiveCost, HostProviderName,
    InvoiceIssuerName, ListCost, ListUnitPrice, PricingCategory, PricingCurrency, PricingCurrencyContractedUnitPrice,
    PricingCurrencyEffectiveCost, PricingCurrencyListUnitPrice, PricingQuantity, PricingUnit, ProviderName,
    PublisherName, RegionId, RegionName, ResourceId, ResourceName, ResourceType, ServiceCategory, ServiceName,
    ServiceProviderName, ServiceSubcategory, SkuId, SkuMeter, SkuPriceDetails, SkuPriceId, SubAccountId,
    SubAccountName, SubAccountType, Tags,
    x_Provider, x_Model, x_UsageKind, x_ChargeKind, x_Processing, x_UserId, x_ApiKeyId, x_PriceBasis, x_PriceSource,
    x_PriceId, x_PriceEffectiveFrom, x_ChargeId, x_CostOrigin, x_DifferenceClass, x_SourceTable, x_SourcePipelineId,
    x_SourceRowId,
    x_org_slug, x_pipeline_id, x_credential_id, x_pipeline_run_date, x_run_id, x_ingested_at, x_ingestion_date
  )
  WITH names AS (
    SELECT * FROM focus_providers
    WHERE x_org_slug = p_org_slug
    QUALIFY ROW_NUMBER() OVER (PARTITION BY provider ORDER BY x_ingested_at DESC, x_run_id) = 1
  ),
  compared AS (  -- days whose bill is known
    SELECT DISTINCT provider, usage_date
    FROM genai_residual_daily_reconciled
    WHERE x_org_slug = p_org_slug
      AND x_pipeline_id = p_pipeline_id
      AND x_credential_id = p_credential_id
      AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date
  ),
  priced AS (
    SELECT
      cost.*,
      cost.usage_kind = 'bill' AS is_billed,
      compared.usage_date IS NOT NULL AS is_compared,
      COALESCE(cost.contracted_unit_price, CAST(cost.unit_price AS BIGNUMERIC)) AS contracted_price,
      COALESCE(cost.list_unit_price, CAST(cost.unit_price AS BIGNUMERIC)) AS list_price,
      REPLACE(cost.charge_kind, '_', ' ') AS kind
    FROM genai_cost_daily_unified AS cost
    LEFT JOIN compared ON compared.provider = cost.provider AND compared.usage_date = cost.usage_date
    WHERE cost.x_org_slug = p_org_slug
      AND cost.x_pipeline_id = p_pipeline_id
      AND cost.x_credential_id = p_credential_id
      AND cost.x_pipeline_run_date BETWEEN p_start_date AND p_end_date
  ),
  charges AS (
    SELECT
      provider,
      usage_date,
      service_name,
      billing_account_id,
      account_name,
      project_id,
      sub_account_name,
      user_id,
      api_key_id,
      usage_kind,
      model,
      charge_kind,
      processing,
      above_input_tokens,
      COALESCE(charge_category, 'Usage') AS category,
      IF(is_billed, 'billed', IF(is_compared, 'computed', 'estimated')) AS origin,
      CAST(NULL AS STRING) AS difference_class,
      currency,
      cost,
      COALESCE(contracted_cost, cost) AS contracted_cost,
      COALESCE(list_cost, cost) AS list_cost,
      contracted_price,
      IF(contracted_price IS NULL, NULL, list_price) AS list_price,
      pricing_quantity,
      pricing_unit,
      consumed_quantity,
      consumed_unit,
      IF(is_billed, sku_id, CONCAT(provider, '/', COALESCE(model, 'any'), '/', charge_kind)) AS sku,
      CASE  -- what is counted: Cached Input Tokens, Web Search Calls, Images
        WHEN is_billed THEN sku_meter
        WHEN consumed_unit IN ('Tokens', 'Calls') THEN CONCAT(INITCAP(kind), ' ', consumed_unit)
        ELSE CONCAT(INITCAP(kind), 's')
      END AS meter,
      CONCAT(
        '/', COALESCE(processing, ''), '/', COALESCE(CAST(above_input_tokens AS STRING), ''),
        COALESCE(REGEXP_EXTRACT(price_id, r'/[0-9]+(/[^/@]+)@[^@]*$'), '')  -- the region of a price that has one
      ) AS price_suffix,
      IF(
        is_billed,
        CONCAT(service_name, ': ', charge_kind),
        CONCAT(service_name, ': ', COALESCE(CONCAT(model, ', '), ''), kind, ', ', processing)
      ) AS description,
      region,
      resource_id,
      resource_name,
      resource_type,
      tags,
      COALESCE(PARSE_DATE('%Y%m', invoice_month), DATE_TRUNC(usage_date, MONTH)) AS billing_month,
      price_basis,
      price_source,
      price_id,
      price_effective_from,
      is_billed,
      source_table,
      source_pipeline_id,
      source_row_id
    FROM priced
    UNION ALL
    SELECT
      residual.provider,
      residual.usage_date,
      NULL,
      COALESCE(residual.account_id, p_org_slug),
      NULL, NULL, NULL, NULL, NULL,
      'residual',
      residual.model,
      residual.charge_kind,
      NULL, NULL,
      'Adjustment',
      'residual',
      residual.class,
      residual.currency,
      residual.difference,
      residual.difference,
      residual.difference,
      NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
      CONCAT(
        'Bill less computed cost (', residual.class, '): ', COALESCE(CONCAT(residual.model, ', '), ''),
        REPLACE(residual.charge_kind, '_', ' '), COALESCE(CONCAT('; ', residual.explanation), '')
      ),
      NULL, NULL, NULL, NULL, NULL,
      DATE_TRUNC(residual.usage_date, MONTH),
      NULL, NULL, NULL, NULL,
      TRUE,
      residual.source_table,
      residual.source_pipeline_id,
      residual.source_row_id
    FROM genai_residual_daily_reconciled AS residual
    WHERE residual.x_org_slug = p_org_slug
      AND residual.x_pipeline_id = p_pipeline_id
      AND residual.x_credential_id = p_credential_id
      AND residual.x_pipeline_run_date BETWEEN p_start_date AND p_end_date
      AND residual.difference <> 0
  )
  SELECT
    cost,                                                            -- BilledCost
    billing_account_id,
    COALESCE(account_name, billing_account_id),                      -- BillingAccountName: the issuer has names
    billing_account_type,
    currency,
    TIMESTAMP(DATE_ADD(billing_month, INTERVAL 1 MONTH)),            -- BillingPeriodEnd, exclusive
    TIMESTAMP(billing_month),
    category,
    description,
    IF(category IN ('Usage', 'Tax'), 'Usage-Based', 'One-Time'),     -- ChargeFrequency
    TIMESTAMP(DATE_ADD(usage_date, INTERVAL 1 DAY)),                 -- ChargePeriodEnd, exclusive
    TIMESTAMP(usage_date),
    IF(contracted_price IS NULL, NULL, consumed_quantity),
    IF(contracted_price IS NULL, NULL, consumed_unit),
    contracted_cost,
    contracted_price,
    cost,                                                            -- EffectiveCost
    host_provider_name,
    invoice_issuer_name,
    list_cost,
    list_price,
    IF(contracted_price IS NULL, NULL, 'Standard'),                  -- PricingCategory
    currency,                                                        -- PricingCurrency
    contracted_price,
    cost,
    list_price,
    IF(contracted_price IS NULL, NULL, pricing_quantity),
    IF(contracted_price IS NULL, NULL, pricing_unit),
    service_provider_name,                                           -- ProviderName
    publisher_name,
    region,
    region,                                                          -- RegionName: the provider has no other
    resource_id,
    resource_name,
    resource_type,
    'AI and Machine Learning',                                       -- ServiceCategory
    COALESCE(charges.service_name, names.service_name),
    service_provider_name,
    'Generative AI',                                                 -- ServiceSubcategory
    sku,
    meter,
    IF(contracted_price IS NULL OR is_billed, NULL, TO_JSON_STRING(JSON_OBJECT(
      'x_Model', model,
      'x_ChargeKind', charge_kind,
      'x_Processing', processing,
      'x_AboveInputTokens', above_input_tokens
    ))),                                                             -- SkuPriceDetails
    IF(contracted_price IS NULL, NULL, IF(is_billed, sku, CONCAT(sku, price_suffix))),  -- SkuPriceId
    project_id,                                                      -- SubAccountId
    COALESCE(sub_account_name, project_id),                          -- SubAccountName: null exactly when the id is
    IF(project_id IS NULL, NULL, sub_account_type),
    tags,
    provider,
    model,
    usage_kind,
    charge_kind,
    processing,
    user_id,
    api_key_id,
    price_basis,
    price_source,
    price_id,
    price_effective_from,
    SUBSTR(TO_HEX(SHA256(TO_JSON_STRING([
      provider, CAST(usage_date AS STRING), p_credential_id, billing_account_id, COALESCE(project_id, ''),
      COALESCE(user_id, ''), COALESCE(api_key_id, ''), COALESCE(model, ''), usage_kind, charge_kind,
      COALESCE(processing, ''), COALESCE(source_row_id, ''), category, currency
    ]))), 1, 16),                                                    -- x_ChargeId
    origin,
    difference_class,
    source_table,
    source_pipeline_id,
    source_row_id,
    p_org_slug,
    p_pipeline_id,
    p_credential_id,
    usage_date,
    p_run_id,
    CURRENT_TIMESTAMP(),
    CURRENT_DATE()
  FROM charges
  JOIN names USING (provider);

  SELECT COUNT(*) AS charges, SUM(BilledCost) AS billed_cost
  FROM cost_data_candidate_1_3
  WHERE x_org_slug = p_org_slug AND x_pipeline_id = p_pipeline_id AND x_credential_id = p_credential_id
    AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date;
END;
