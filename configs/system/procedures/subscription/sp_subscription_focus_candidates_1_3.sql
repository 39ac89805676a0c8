-- Cost of seats as FOCUS 1.3 charges: one row of cost_data_candidate_1_3 for each row of subscription_cost_daily.
-- Replaces the days p_start_date to p_end_date of one org, pipeline and credential. The charges are not visible yet:
-- generic.focus_gate checks and publishes them.
--
-- A seat is a recurring purchase. Each day carries its share of the month's price, so a month adds up to what is paid for
-- it. PricingQuantity is that share in seat-months: unit price and quantity multiply to the cost, for the published price
-- (ListCost) as for the one that is paid. What a provider is called stands in focus_providers.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_subscription_focus_candidates_1_3(
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
    FROM subscription_cost_daily AS source
    WHERE source.x_org_slug = p_org_slug
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
    ContractedCost, ContractedUnitPrice, EffectiveCost, HostProviderName, InvoiceIssuerName, ListCost, ListUnitPrice,
    PricingCategory, PricingCurrency, PricingCurrencyContractedUnitPrice, PricingCurrencyEffectiveCost,
    PricingCurrencyListUnitPrice, PricingQuantity, PricingUnit, ProviderName, PublisherName, ServiceCategory,
    ServiceName, ServiceProviderName, ServiceSubcategory, SkuId, SkuMeter, SkuPriceId,
    x_Provider, x_UsageKind, x_ChargeKind, x_PriceBasis, x_ChargeId, x_CostOrigin, x_SourceTable, x_SourcePipelineId,
    x_SourceRowId,
    x_org_slug, x_pipeline_id, x_credential_id, x_pipeline_run_date, x_run_id, x_ingested_at, x_ingestion_date
  )
  WITH names AS (
    SELECT * FROM focus_providers
    WHERE x_org_slug = p_org_slug
    QUALIFY ROW_NUMBER() OVER (PARTITION BY provider ORDER BY x_ingested_at DESC, x_run_id) = 1
  ),
  shares AS (
    SELECT
      *,
      CAST(price_per_seat_month AS BIGNUMERIC) AS price,
      CAST(COALESCE(list_price_per_seat_month, price_per_seat_month) AS BIGNUMERIC) AS list_price,
      COALESCE(pricing_quantity, CAST(cost AS BIGNUMERIC) / NULLIF(CAST(price_per_seat_month AS BIGNUMERIC), 0), 0)
        AS quantity,
      CONCAT(provider, '/', plan, '/', seat_type) AS sku
    FROM subscription_cost_daily
    WHERE x_org_slug = p_org_slug AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date
  ),
  charges AS (
    SELECT *, ROUND(quantity * price, 18) AS paid, ROUND(quantity * list_price, 18) AS listed FROM shares
  )
  SELECT
    paid,                                                            -- BilledCost
    COALESCE(billing_account_id, p_org_slug),                        -- the org's contract, where no account is given
    COALESCE(billing_account_id, p_org_slug),
    billing_account_type,
    currency,
    TIMESTAMP(DATE_ADD(DATE_TRUNC(usage_date, MONTH), INTERVAL 1 MONTH)),  -- BillingPeriodEnd, exclusive
    TIMESTAMP(DATE_TRUNC(usage_date, MONTH)),
    'Purchase',                                                      -- ChargeCategory
    CONCAT(plan, ': ', CAST(seats AS STRING), ' ', seat_type, ' seats'),
    'Recurring',                                                     -- ChargeFrequency
    TIMESTAMP(DATE_ADD(usage_date, INTERVAL 1 DAY)),                 -- ChargePeriodEnd, exclusive
    TIMESTAMP(usage_date),
    paid,                                                            -- ContractedCost
    price,
    paid,                                                            -- EffectiveCost
    host_provider_name,
    invoice_issuer_name,
    listed,
    list_price,
    'Standard',                                                      -- PricingCategory
    currency,
    price,
    paid,
    list_price,
    quantity,
    'Seat-Months',
    service_provider_name,
    publisher_name,
    'AI and Machine Learning',                                       -- ServiceCategory
    plan,                                                            -- ServiceName
    service_provider_name,
    'Generative AI',                                                 -- ServiceSubcategory
    sku,
    'Seats',
    CONCAT(sku, '/', COALESCE(billing_cycle, 'monthly')),            -- SkuPriceId: prices change, the id does not
    charges.provider,
    'subscription',
    'seat',
    IF(price = list_price, 'list', 'contract'),
    SUBSTR(TO_HEX(SHA256(TO_JSON_STRING([
      charges.provider, CAST(usage_date AS STRING), subscription_id, plan, seat_type, currency
    ]))), 1, 16),                                                    -- x_ChargeId
    'estimated',
    'subscriptions',
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
  JOIN names ON names.provider = charges.provider;

  SELECT COUNT(*) AS charges, SUM(BilledCost) AS billed_cost
  FROM cost_data_candidate_1_3
  WHERE x_org_slug = p_org_slug AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date
    AND x_UsageKind = 'subscription';
END;
