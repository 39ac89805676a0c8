-- Cost of SaaS subscriptions as FOCUS 1.3 charges: one row of cost_data_candidate_1_3 for each row of
-- saas_subscription_cost_daily that this pipeline has written, but for trials, which nothing is charged for. Replaces the
-- days p_start_date to p_end_date of one org, pipeline and credential. The charges are not visible yet:
-- generic.focus_gate checks and publishes them.
--
-- Each day carries its share of the invoice, in the invoice's currency. PricingQuantity are the seats of the day, and the
-- price is what one of them costs on it. No list price is known, so it is that of the contract (x_PriceBasis). Money that
-- was paid back is a charge of the category Credit.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_saas_focus_candidates_1_3(
  IN p_org_slug STRING,
  IN p_pipeline_id STRING,
  IN p_credential_id STRING,
  IN p_run_id STRING,
  IN p_start_date DATE,
  IN p_end_date DATE
)
BEGIN
  ASSERT p_start_date <= p_end_date AS 'the range of dates ends before it starts';

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
    PricingCurrencyListUnitPrice, PricingQuantity, PricingUnit, ProviderName, PublisherName, ServiceCategory, ServiceName,
    ServiceProviderName, ServiceSubcategory, SkuId, SkuMeter, SkuPriceId,
    x_Provider, x_ChargeKind, x_PriceBasis, x_ChargeId, x_CostOrigin, x_SourceTable, x_SourcePipelineId, x_SourceRowId,
    x_org_slug, x_pipeline_id, x_credential_id, x_pipeline_run_date, x_run_id, x_ingested_at, x_ingestion_date
  )
  WITH shares AS (
    SELECT
      *,
      kind = 'seat' AS is_seat,
      IF(kind = 'seat', ROUND(CAST(cost AS BIGNUMERIC) / seats, 18), NULL) AS price,
      IF(kind = 'seat', CONCAT(vendor, '/', plan), NULL) AS sku
    FROM saas_subscription_cost_daily
    WHERE x_org_slug = p_org_slug
      AND x_pipeline_id = p_pipeline_id
      AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date
      AND kind <> 'trial'
  )
  SELECT
    cost,                                                            -- BilledCost
    COALESCE(billing_account_id, p_org_slug),                        -- the org's contract, where no account is given
    COALESCE(billing_account_id, p_org_slug),
    'Account',
    currency,
    TIMESTAMP(DATE_ADD(DATE_TRUNC(usage_date, MONTH), INTERVAL 1 MONTH)),  -- BillingPeriodEnd, exclusive
    TIMESTAMP(DATE_TRUNC(usage_date, MONTH)),
    IF(kind = 'refund', 'Credit', 'Purchase'),
    CONCAT(vendor, ' ', plan, ': ', IF(kind = 'refund', 'refund', CONCAT(CAST(seats AS STRING), ' seats'))),
    IF(kind = 'refund', 'One-Time', 'Recurring'),                    -- ChargeFrequency
    TIMESTAMP(DATE_ADD(usage_date, INTERVAL 1 DAY)),                 -- ChargePeriodEnd, exclusive
    TIMESTAMP(usage_date),
    cost,                                                            -- ContractedCost
    price,
    cost,                                                            -- EffectiveCost
    vendor,
    vendor,
    cost,                                                            -- ListCost: no list price is known
    price,
    IF(is_seat, 'Standard', NULL),                                   -- PricingCategory
    currency,
    price,
    cost,
    price,
    IF(is_seat, seats, NULL),                                        -- PricingQuantity
    IF(is_seat, 'Seat-Days', NULL),
    vendor,                                                          -- ProviderName
    vendor,
    'Business Applications',
    CONCAT(vendor, ' ', plan),                                       -- ServiceName
    vendor,
    'Productivity and Collaboration',
    sku,
    IF(is_seat, 'Seats', NULL),
    CONCAT(sku, '/', billing_cycle),                                 -- SkuPriceId: prices change, the id does not
    'saas',
    kind,
    'contract',
    SUBSTR(TO_HEX(SHA256(TO_JSON_STRING(['saas', row_id]))), 1, 16),  -- x_ChargeId
    'estimated',
    'saas_subscription_cost_daily',
    x_pipeline_id,
    row_id,
    p_org_slug,
    p_pipeline_id,
    p_credential_id,
    usage_date,
    p_run_id,
    CURRENT_TIMESTAMP(),
    CURRENT_DATE()
  FROM shares;

  SELECT COUNT(*) AS charges, SUM(BilledCost) AS billed_cost
  FROM cost_data_candidate_1_3
  WHERE x_org_slug = p_org_slug AND x_pipeline_id = p_pipeline_id AND x_credential_id = p_credential_id
    AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date;
END;
