-- Cost of seats as FOCUS 1.3 charges: one row of cost_data_standard_1_3 for each row of subscription_cost_daily.
-- Replaces the days p_start_date to p_end_date of one org, whichever pipeline wrote them.
--
-- A seat is a recurring purchase. Each day carries its share of the month's price, in all four costs, so a month adds up
-- to what is paid for it. PricingQuantity is that share in seat-months: unit price and quantity multiply to the cost.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_subscription_convert_focus_1_3(
  IN p_org_slug STRING,
  IN p_pipeline_id STRING,
  IN p_credential_id STRING,
  IN p_run_id STRING,
  IN p_start_date DATE,
  IN p_end_date DATE
)
BEGIN
  DELETE FROM cost_data_standard_1_3
  WHERE x_org_slug = p_org_slug
    AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date
    AND x_UsageKind = 'subscription';

  INSERT INTO cost_data_standard_1_3 (
    BilledCost, BillingAccountId, BillingAccountName, BillingAccountType, BillingCurrency, BillingPeriodEnd,
    BillingPeriodStart, ChargeCategory, ChargeDescription, ChargeFrequency, ChargePeriodEnd, ChargePeriodStart,
    ContractedCost, ContractedUnitPrice, EffectiveCost, HostProviderName, InvoiceIssuerName, ListCost, ListUnitPrice,
    PricingCategory, PricingCurrency, PricingCurrencyContractedUnitPrice, PricingCurrencyEffectiveCost,
    PricingCurrencyListUnitPrice, PricingQuantity, PricingUnit, ProviderName, PublisherName, ServiceCategory,
    ServiceName, ServiceProviderName, ServiceSubcategory, SkuId, SkuMeter, SkuPriceId,
    x_Provider, x_UsageKind, x_ChargeKind, x_PriceBasis,
    x_org_slug, x_pipeline_id, x_credential_id, x_pipeline_run_date, x_run_id, x_ingested_at, x_ingestion_date
  )
  WITH charges AS (
    SELECT
      usage_date,
      provider,
      CASE provider WHEN 'openai' THEN 'OpenAI' WHEN 'anthropic' THEN 'Anthropic' ELSE INITCAP(provider) END AS company,
      plan,
      seat_type,
      seats,
      CAST(price_per_seat_month AS BIGNUMERIC) AS price,
      CAST(cost AS BIGNUMERIC) AS cost,
      currency,
      CONCAT(provider, '/', plan, '/', seat_type) AS sku
    FROM subscription_cost_daily
    WHERE x_org_slug = p_org_slug AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date
  )
  SELECT
    cost,                                                            -- BilledCost
    p_org_slug,                                                      -- BillingAccountId: the provider does not tell it
    p_org_slug,
    'Organization',
    currency,
    TIMESTAMP(DATE_ADD(DATE_TRUNC(usage_date, MONTH), INTERVAL 1 MONTH)),  -- BillingPeriodEnd, exclusive
    TIMESTAMP(DATE_TRUNC(usage_date, MONTH)),
    'Purchase',                                                      -- ChargeCategory
    CONCAT(plan, ': ', CAST(seats AS STRING), ' ', seat_type, ' seats'),
    'Recurring',                                                     -- ChargeFrequency
    TIMESTAMP(DATE_ADD(usage_date, INTERVAL 1 DAY)),                 -- ChargePeriodEnd, exclusive
    TIMESTAMP(usage_date),
    cost,                                                            -- ContractedCost
    price,
    cost,                                                            -- EffectiveCost
    company,                                                         -- HostProviderName
    company,                                                         -- InvoiceIssuerName
    cost,                                                            -- ListCost
    price,                                                           -- ListUnitPrice
    'Standard',                                                      -- PricingCategory
    currency,
    price,
    cost,
    price,
    IF(price = 0, CAST(0 AS BIGNUMERIC), cost / NULLIF(price, 0)),   -- PricingQuantity
    'Seat-Months',
    company,
    company,
    'AI and Machine Learning',                                       -- ServiceCategory
    plan,                                                            -- ServiceName
    company,
    'Generative AI',                                                 -- ServiceSubcategory
    sku,
    'Seats',
    CONCAT(sku, '/', CAST(price AS STRING)),                         -- SkuPriceId
    provider,
    'subscription',
    'seat',
    'list',
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
  WHERE x_org_slug = p_org_slug AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date
    AND x_UsageKind = 'subscription';
END;
