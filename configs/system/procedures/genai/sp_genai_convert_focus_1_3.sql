-- Cost of LLM providers as FOCUS 1.3 charges: one row of cost_data_standard_1_3 for each row of genai_cost_daily_unified.
-- Replaces the days p_start_date to p_end_date of one org, pipeline and credential, and removes what pipelines left
-- whose charges are no longer in genai_cost_daily_unified: another one has taken their days over.
--
-- Where prices are list prices, nothing is negotiated or committed, so the four costs are equal. The figures are an
-- estimate until the provider's invoice: InvoiceId stays NULL. Columns that are not filled here do not apply: a charge
-- that the provider has priced itself has no SkuPriceId, and so none of the columns that need one.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_genai_convert_focus_1_3(
  IN p_org_slug STRING,
  IN p_pipeline_id STRING,
  IN p_credential_id STRING,
  IN p_run_id STRING,
  IN p_start_date DATE,
  IN p_end_date DATE
)
BEGIN
  DELETE FROM cost_data_standard_1_3 AS charge
  WHERE x_org_slug = p_org_slug
    AND x_credential_id = p_credential_id
    AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date
    AND x_Processing IS NOT NULL  -- written here; other procedures leave it NULL
    AND (
      x_pipeline_id = p_pipeline_id
      OR NOT EXISTS (
        SELECT 1
        FROM genai_cost_daily_unified AS source
        WHERE source.x_org_slug = charge.x_org_slug
          AND source.x_credential_id = charge.x_credential_id
          AND source.x_pipeline_run_date = charge.x_pipeline_run_date
          AND source.x_pipeline_id = charge.x_pipeline_id
          AND source.provider = charge.x_Provider
      )
    );

  INSERT INTO cost_data_standard_1_3 (
    BilledCost, BillingAccountId, BillingAccountName, BillingAccountType, BillingCurrency, BillingPeriodEnd,
    BillingPeriodStart, ChargeCategory, ChargeDescription, ChargeFrequency, ChargePeriodEnd, ChargePeriodStart,
    ConsumedQuantity, ConsumedUnit, ContractedCost, ContractedUnitPrice, EffectiveCost, HostProviderName,
    InvoiceIssuerName, ListCost, ListUnitPrice, PricingCategory, PricingCurrency, PricingCurrencyContractedUnitPrice,
    PricingCurrencyEffectiveCost, PricingCurrencyListUnitPrice, PricingQuantity, PricingUnit, ProviderName,
    PublisherName, ServiceCategory, ServiceName, ServiceProviderName, ServiceSubcategory, SkuId, SkuMeter,
    SkuPriceDetails, SkuPriceId, SubAccountId, SubAccountName, SubAccountType,
    x_Provider, x_Model, x_UsageKind, x_ChargeKind, x_Processing, x_UserId, x_ApiKeyId, x_PriceBasis, x_PriceSource,
    x_PriceId, x_PriceEffectiveFrom,
    x_org_slug, x_pipeline_id, x_credential_id, x_pipeline_run_date, x_run_id, x_ingested_at, x_ingestion_date
  )
  WITH charges AS (
    SELECT
      *,
      CONCAT(provider, '/', COALESCE(model, 'any'), '/', charge_kind) AS sku,
      REPLACE(charge_kind, '_', ' ') AS meter
    FROM genai_cost_daily_unified
    WHERE x_org_slug = p_org_slug
      AND x_pipeline_id = p_pipeline_id
      AND x_credential_id = p_credential_id
      AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date
  )
  SELECT
    cost,                                                            -- BilledCost
    billing_account_id,
    billing_account_id,                                              -- BillingAccountName
    CASE provider
      WHEN 'gemini' THEN 'Billing Account'
      WHEN 'vertex' THEN 'Billing Account'
      WHEN 'azure_openai' THEN 'Subscription'
      ELSE 'Organization'
    END,                                                             -- BillingAccountType
    currency,
    TIMESTAMP(DATE_ADD(DATE_TRUNC(usage_date, MONTH), INTERVAL 1 MONTH)),  -- BillingPeriodEnd, exclusive
    TIMESTAMP(DATE_TRUNC(usage_date, MONTH)),
    'Usage',                                                         -- ChargeCategory
    CONCAT(service_name, ': ', COALESCE(CONCAT(model, ', '), ''), meter, ', ', processing),
    'Usage-Based',                                                   -- ChargeFrequency
    TIMESTAMP(DATE_ADD(usage_date, INTERVAL 1 DAY)),                 -- ChargePeriodEnd, exclusive
    TIMESTAMP(usage_date),
    IF(unit_price IS NULL, NULL, consumed_quantity),
    IF(unit_price IS NULL, NULL, consumed_unit),
    cost,                                                            -- ContractedCost
    unit_price,                                                      -- ContractedUnitPrice
    cost,                                                            -- EffectiveCost
    provider_name,                                                   -- HostProviderName
    provider_name,                                                   -- InvoiceIssuerName
    COALESCE(list_cost, cost),                                       -- ListCost
    unit_price,                                                      -- ListUnitPrice
    IF(unit_price IS NULL, NULL, 'Standard'),                        -- PricingCategory
    currency,                                                        -- PricingCurrency
    unit_price,
    cost,
    unit_price,
    pricing_quantity,                                                -- NULL without a unit price, like pricing_unit
    pricing_unit,
    provider_name,                                                   -- ProviderName
    provider_name,                                                   -- PublisherName
    'AI and Machine Learning',                                       -- ServiceCategory
    service_name,
    provider_name,                                                   -- ServiceProviderName
    'Generative AI',                                                 -- ServiceSubcategory
    sku,                                                             -- SkuId
    INITCAP(meter),                                                  -- SkuMeter
    IF(unit_price IS NULL, NULL, TO_JSON_STRING(JSON_OBJECT(
      'x_Model', model,
      'x_ChargeKind', charge_kind,
      'x_Processing', processing,
      'x_AboveInputTokens', above_input_tokens
    ))),                                                             -- SkuPriceDetails
    IF(unit_price IS NULL, NULL, CONCAT(
      sku, '/', processing, '/', CAST(above_input_tokens AS STRING),
      COALESCE(REGEXP_EXTRACT(price_id, r'/[0-9]+(/[^/@]+)@[^@]*$'), '')  -- the region of a price that has one
    )),                                                              -- SkuPriceId
    project_id,                                                      -- SubAccountId
    project_id,                                                      -- SubAccountName: the API gives ids only
    IF(project_id IS NULL, NULL, CASE provider
      WHEN 'anthropic' THEN 'Workspace'
      WHEN 'azure_openai' THEN 'Resource'
      ELSE 'Project'
    END),                                                            -- SubAccountType
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
    p_org_slug,
    p_pipeline_id,
    p_credential_id,
    usage_date,
    p_run_id,
    CURRENT_TIMESTAMP(),
    CURRENT_DATE()
  FROM charges;

  SELECT COUNT(*) AS charges, SUM(BilledCost) AS billed_cost
  FROM cost_data_standard_1_3
  WHERE x_org_slug = p_org_slug AND x_pipeline_id = p_pipeline_id AND x_credential_id = p_credential_id
    AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date;
END;
