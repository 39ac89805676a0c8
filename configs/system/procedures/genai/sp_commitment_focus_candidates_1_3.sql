-- Commitments as FOCUS 1.3 charges: one row of cost_data_candidate_1_3 for each row of genai_commitment_costs_daily that
-- this pipeline has written. Replaces the days p_start_date to p_end_date of one org, pipeline and credential. The charges
-- are not visible yet: generic.focus_gate checks and publishes them.
--
-- An invoice is a purchase with the commitment as its resource, and an effective cost of 0. The days that it pays for are
-- usage with a billed cost of 0: used (the resource is what the units serve), unused (the commitment), or, where nothing
-- measures the use, with neither status nor consumed quantity (x_DatasetChanges says so). ListUnitPrice is the price
-- without a commitment; where it is not known, what a unit costs by the contract. Commitments reduce no negotiated price
-- here, so contracted is list. Source: FOCUS 1.3, CommitmentDiscount*, ContractApplied, attribute DiscountHandling.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_commitment_focus_candidates_1_3(
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
    CommitmentDiscountCategory, CommitmentDiscountId, CommitmentDiscountName, CommitmentDiscountQuantity,
    CommitmentDiscountStatus, CommitmentDiscountType, CommitmentDiscountUnit, ConsumedQuantity, ConsumedUnit,
    ContractApplied, ContractedCost, ContractedUnitPrice, EffectiveCost, HostProviderName, InvoiceIssuerName, ListCost,
    ListUnitPrice, PricingCategory, PricingCurrency, PricingCurrencyContractedUnitPrice, PricingCurrencyEffectiveCost,
    PricingCurrencyListUnitPrice, PricingQuantity, PricingUnit, ProviderName, PublisherName, RegionId, RegionName,
    ResourceId, ResourceName, ResourceType, ServiceCategory, ServiceName, ServiceProviderName, ServiceSubcategory, SkuId,
    SkuMeter, SkuPriceId,
    x_Provider, x_ChargeKind, x_PriceBasis, x_ChargeId, x_CostOrigin, x_SourceTable, x_SourcePipelineId, x_SourceRowId,
    x_DatasetChanges,
    x_org_slug, x_pipeline_id, x_credential_id, x_pipeline_run_date, x_run_id, x_ingested_at, x_ingestion_date
  )
  WITH parts AS (
    SELECT
      *,
      kind = 'purchase' AS is_purchase,
      IF(
        kind = 'purchase' OR list_unit_price IS NULL, ROUND(CAST(list_cost AS BIGNUMERIC) / quantity, 18), list_unit_price
      ) AS price,
      COALESCE(description, CONCAT(commitment_type, ' ', commitment_id)) AS name,
      IF(kind IN ('used', 'unmeasured'), COALESCE(resource, commitment_id), commitment_id) AS resource_id,
      CONCAT(service, '/', commitment_type) AS sku
    FROM genai_commitment_costs_daily
    WHERE x_org_slug = p_org_slug
      AND x_pipeline_id = p_pipeline_id
      AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date
      AND COALESCE(billed_by, 'contract') = 'contract'  -- the others' cost is on a bill, with the purchase
  )
  SELECT
    billed_cost,
    COALESCE(billing_account_id, p_org_slug),                        -- the org's contract, where no account is given
    COALESCE(billing_account_id, p_org_slug),
    'Billing Account',
    currency,
    TIMESTAMP(DATE_ADD(DATE_TRUNC(usage_date, MONTH), INTERVAL 1 MONTH)),  -- BillingPeriodEnd, exclusive
    TIMESTAMP(DATE_TRUNC(usage_date, MONTH)),
    IF(is_purchase, 'Purchase', 'Usage'),
    CONCAT(name, IF(is_purchase, ': purchase', CONCAT(': ', kind))),
    CASE WHEN NOT is_purchase THEN 'Usage-Based' WHEN billing_cycle = 'upfront' THEN 'One-Time' ELSE 'Recurring' END,
    TIMESTAMP(DATE_ADD(IF(is_purchase, period_end, usage_date), INTERVAL 1 DAY)),  -- ChargePeriodEnd, exclusive
    TIMESTAMP(usage_date),
    'Usage',                                                         -- CommitmentDiscountCategory
    commitment_id,
    name,
    committed_quantity,
    CASE kind WHEN 'used' THEN 'Used' WHEN 'unused' THEN 'Unused' END,
    commitment_type,
    committed_unit,
    IF(kind = 'used', quantity, NULL),                               -- ConsumedQuantity
    IF(kind = 'used', unit, NULL),
    CONCAT(
      '{"Elements":[{"ContractId":', TO_JSON_STRING(contract_id),
      ',"ContractCommitmentID":', TO_JSON_STRING(commitment_id),
      ',"ContractCommitmentAppliedCost":', FORMAT('%.9f', IF(is_purchase, billed_cost, effective_cost)),
      ',"ContractCommitmentAppliedQuantity":', FORMAT('%.9f', committed_quantity),
      ',"ContractCommitmentAppliedUnit":', TO_JSON_STRING(committed_unit), '}]}'
    ),
    list_cost,                                                       -- ContractedCost
    price,
    effective_cost,
    host_provider,
    service_provider,                                                -- InvoiceIssuerName
    list_cost,
    price,
    IF(is_purchase, 'Standard', 'Committed'),                        -- PricingCategory
    currency,
    price,
    effective_cost,
    price,
    quantity,
    unit,
    service_provider,                                                -- ProviderName
    service_provider,
    region,
    region,
    resource_id,
    resource_id,
    commitment_type,                                                 -- ResourceType
    'AI and Machine Learning',
    service,
    service_provider,
    'Generative AI',
    sku,
    commitment_type,
    CONCAT(sku, '/', commitment_id, '/', IF(is_purchase, billing_cycle, 'hour')),
    'commitment',
    kind,
    'contract',
    SUBSTR(TO_HEX(SHA256(TO_JSON_STRING(['commitment', row_id]))), 1, 16),  -- x_ChargeId
    'estimated',
    'genai_commitment_costs_daily',
    x_pipeline_id,
    row_id,
    IF(kind = 'unmeasured', 'CommitmentDiscountStatus, ConsumedQuantity: nothing measures the use', NULL),
    p_org_slug,
    p_pipeline_id,
    p_credential_id,
    usage_date,
    p_run_id,
    CURRENT_TIMESTAMP(),
    CURRENT_DATE()
  FROM parts;

  SELECT COUNT(*) AS charges, SUM(BilledCost) AS billed_cost, SUM(EffectiveCost) AS effective_cost
  FROM cost_data_candidate_1_3
  WHERE x_org_slug = p_org_slug AND x_pipeline_id = p_pipeline_id AND x_credential_id = p_credential_id
    AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date;
END;
