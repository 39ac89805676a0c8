-- Google Cloud's billing export as FOCUS 1.3 charges that are visible at once: the candidates of
-- sp_cloud_gcp_focus_candidates_1_3, published unchecked. For pipelines of earlier releases that call it; with
-- generic.focus_gate the charges are checked first, and those of closed billing periods stay as they are. What an LLM
-- pipeline charges for on the same account and day (x_UsageKind bill) is left to it, and does not come back by itself.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_cloud_gcp_convert_focus_1_3(
  IN p_org_slug STRING,
  IN p_pipeline_id STRING,
  IN p_credential_id STRING,
  IN p_run_id STRING,
  IN p_start_date DATE,
  IN p_end_date DATE
)
BEGIN
  DECLARE v_converted ARRAY<DATE>;

  ASSERT p_start_date <= p_end_date AS 'the range of dates ends before it starts';
  CALL `{project_id}.organizations`.sp_cloud_gcp_focus_candidates_1_3(
    p_org_slug, p_pipeline_id, p_credential_id, p_run_id, p_start_date, p_end_date
  );

  SET v_converted = (
    SELECT ARRAY_AGG(DISTINCT day)
    FROM (
      SELECT day FROM UNNEST(GENERATE_DATE_ARRAY(p_start_date, p_end_date)) AS day
      UNION ALL
      SELECT x_pipeline_run_date FROM cost_data_candidate_1_3
      WHERE x_org_slug = p_org_slug AND x_Provider = 'gcp' AND x_run_id = p_run_id
    )
  );
  DELETE FROM cost_data_standard_1_3
  WHERE x_org_slug = p_org_slug AND x_Provider = 'gcp' AND x_pipeline_run_date IN UNNEST(v_converted);

  INSERT INTO cost_data_standard_1_3 (
    AvailabilityZone, BilledCost, BillingAccountId, BillingAccountName, BillingAccountType, BillingCurrency,
    BillingPeriodEnd, BillingPeriodStart, ChargeCategory, ChargeClass, ChargeDescription, ChargeFrequency,
    ChargePeriodEnd, ChargePeriodStart, ConsumedQuantity, ConsumedUnit, ContractedCost, ContractedUnitPrice,
    EffectiveCost, HostProviderName, InvoiceIssuerName, ListCost, ListUnitPrice, PricingCategory, PricingCurrency,
    PricingCurrencyContractedUnitPrice, PricingCurrencyEffectiveCost, PricingCurrencyListUnitPrice, PricingQuantity,
    PricingUnit, ProviderName, PublisherName, RegionId, RegionName, ResourceId, ResourceName, ResourceType,
    ServiceCategory, ServiceName, ServiceProviderName, ServiceSubcategory, SkuId, SkuMeter, SkuPriceId, SubAccountId,
    SubAccountName, SubAccountType, Tags, x_Provider, x_ChargeKind, x_PriceBasis, x_ChargeId, x_CostOrigin,
    x_SourceTable, x_SourcePipelineId, x_SourceRowId, x_org_slug, x_pipeline_id, x_credential_id, x_pipeline_run_date,
    x_run_id, x_ingested_at, x_ingestion_date
  )
  SELECT
    AvailabilityZone, BilledCost, BillingAccountId, BillingAccountName, BillingAccountType, BillingCurrency,
    BillingPeriodEnd, BillingPeriodStart, ChargeCategory, ChargeClass, ChargeDescription, ChargeFrequency,
    ChargePeriodEnd, ChargePeriodStart, ConsumedQuantity, ConsumedUnit, ContractedCost, ContractedUnitPrice,
    EffectiveCost, HostProviderName, InvoiceIssuerName, ListCost, ListUnitPrice, PricingCategory, PricingCurrency,
    PricingCurrencyContractedUnitPrice, PricingCurrencyEffectiveCost, PricingCurrencyListUnitPrice, PricingQuantity,
    PricingUnit, ProviderName, PublisherName, RegionId, RegionName, ResourceId, ResourceName, ResourceType,
    ServiceCategory, ServiceName, ServiceProviderName, ServiceSubcategory, SkuId, SkuMeter, SkuPriceId, SubAccountId,
    SubAccountName, SubAccountType, Tags, x_Provider, x_ChargeKind, x_PriceBasis, x_ChargeId, x_CostOrigin,
    x_SourceTable, x_SourcePipelineId, x_SourceRowId, x_org_slug, x_pipeline_id, x_credential_id, x_pipeline_run_date,
    x_run_id, x_ingested_at, x_ingestion_date
  FROM cost_data_candidate_1_3 AS charge
  WHERE charge.x_org_slug = p_org_slug AND charge.x_Provider = 'gcp'
    AND charge.x_pipeline_run_date IN UNNEST(v_converted)
    AND NOT EXISTS (
      SELECT 1 FROM cost_data_standard_1_3 AS llm
      WHERE llm.x_org_slug = p_org_slug AND llm.x_UsageKind = 'bill'
        AND llm.BillingAccountId = charge.BillingAccountId AND llm.ServiceName = charge.ServiceName
        AND llm.x_pipeline_run_date = charge.x_pipeline_run_date
    );

  SELECT COUNT(*) AS charges, SUM(BilledCost) AS billed_cost, COUNT(DISTINCT x_pipeline_run_date) AS days
  FROM cost_data_standard_1_3
  WHERE x_org_slug = p_org_slug AND x_Provider = 'gcp' AND x_run_id = p_run_id;
END;
