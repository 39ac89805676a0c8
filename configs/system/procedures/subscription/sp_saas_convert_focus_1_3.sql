-- Cost of SaaS subscriptions as FOCUS 1.3 charges that are visible at once: the candidates of
-- sp_saas_focus_candidates_1_3, published unchecked. Replaces the days p_start_date to p_end_date of the org's SaaS
-- subscriptions. For pipelines of earlier releases that call it; with generic.focus_gate the charges are checked first,
-- and those of closed billing periods stay as they are.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_saas_convert_focus_1_3(
  IN p_org_slug STRING,
  IN p_pipeline_id STRING,
  IN p_credential_id STRING,
  IN p_run_id STRING,
  IN p_start_date DATE,
  IN p_end_date DATE
)
BEGIN
  ASSERT p_start_date <= p_end_date AS 'the range of dates ends before it starts';
  CALL `{project_id}.organizations`.sp_saas_focus_candidates_1_3(
    p_org_slug, p_pipeline_id, p_credential_id, p_run_id, p_start_date, p_end_date
  );

  DELETE FROM cost_data_standard_1_3
  WHERE x_org_slug = p_org_slug
    AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date
    AND x_Provider = 'saas';

  INSERT INTO cost_data_standard_1_3 (
    BilledCost, BillingAccountId, BillingAccountName, BillingAccountType, BillingCurrency, BillingPeriodEnd,
    BillingPeriodStart, ChargeCategory, ChargeDescription, ChargeFrequency, ChargePeriodEnd, ChargePeriodStart,
    ContractedCost, ContractedUnitPrice, EffectiveCost, HostProviderName, InvoiceIssuerName, ListCost, ListUnitPrice,
    PricingCategory, PricingCurrency, PricingCurrencyContractedUnitPrice, PricingCurrencyEffectiveCost,
    PricingCurrencyListUnitPrice, PricingQuantity, PricingUnit, ProviderName, PublisherName, ServiceCategory,
    ServiceName, ServiceProviderName, ServiceSubcategory, SkuId, SkuMeter, SkuPriceId, x_Provider, x_ChargeKind,
    x_PriceBasis, x_ChargeId, x_CostOrigin, x_SourceTable, x_SourcePipelineId, x_SourceRowId, x_org_slug, x_pipeline_id,
    x_credential_id, x_pipeline_run_date, x_run_id, x_ingested_at, x_ingestion_date
  )
  SELECT
    BilledCost, BillingAccountId, BillingAccountName, BillingAccountType, BillingCurrency, BillingPeriodEnd,
    BillingPeriodStart, ChargeCategory, ChargeDescription, ChargeFrequency, ChargePeriodEnd, ChargePeriodStart,
    ContractedCost, ContractedUnitPrice, EffectiveCost, HostProviderName, InvoiceIssuerName, ListCost, ListUnitPrice,
    PricingCategory, PricingCurrency, PricingCurrencyContractedUnitPrice, PricingCurrencyEffectiveCost,
    PricingCurrencyListUnitPrice, PricingQuantity, PricingUnit, ProviderName, PublisherName, ServiceCategory,
    ServiceName, ServiceProviderName, ServiceSubcategory, SkuId, SkuMeter, SkuPriceId, x_Provider, x_ChargeKind,
    x_PriceBasis, x_ChargeId, x_CostOrigin, x_SourceTable, x_SourcePipelineId, x_SourceRowId, x_org_slug, x_pipeline_id,
    x_credential_id, x_pipeline_run_date, x_run_id, x_ingested_at, x_ingestion_date
  FROM cost_data_candidate_1_3
  WHERE x_org_slug = p_org_slug AND x_pipeline_id = p_pipeline_id AND x_credential_id = p_credential_id
    AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date;

  SELECT COUNT(*) AS charges, SUM(BilledCost) AS billed_cost
  FROM cost_data_standard_1_3
  WHERE x_org_slug = p_org_slug AND x_Provider = 'saas' AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date;
END;
