-- Bills that came as files, as FOCUS 1.3 charges that are visible at once: the candidates of
-- sp_cloud_focus_candidates_1_3, published unchecked. For pipelines of earlier releases that call it themselves; with
-- generic.focus_gate the charges are checked first, and those of closed billing periods stay as they are.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_cloud_convert_focus_1_3(
  IN p_org_slug STRING,
  IN p_pipeline_id STRING,
  IN p_credential_id STRING,
  IN p_run_id STRING,
  IN p_start_date DATE,
  IN p_end_date DATE,
  IN p_table STRING,
  IN p_provider STRING,
  IN p_provider_name STRING
)
BEGIN
  DECLARE v_month, v_first_visible, v_last_visible DATE;

  CALL `{project_id}.organizations`.sp_cloud_focus_candidates_1_3(
    p_org_slug, p_pipeline_id, p_credential_id, p_run_id, p_start_date, p_end_date, p_table, p_provider, p_provider_name
  );
  SET v_month = DATE_TRUNC(p_start_date, MONTH);

  -- Charges of a period may be of days before or behind it: the days that are there bound what the DELETE reads.
  SET v_first_visible = (
    SELECT MIN(x_pipeline_run_date) FROM cost_data_standard_1_3
    WHERE x_org_slug = p_org_slug AND x_SourceTable = p_table
      AND DATE(BillingPeriodStart) BETWEEN v_month AND p_end_date
  );
  SET v_last_visible = (
    SELECT MAX(x_pipeline_run_date) FROM cost_data_standard_1_3
    WHERE x_org_slug = p_org_slug AND x_SourceTable = p_table
      AND DATE(BillingPeriodStart) BETWEEN v_month AND p_end_date
  );
  DELETE FROM cost_data_standard_1_3
  WHERE x_org_slug = p_org_slug AND x_SourceTable = p_table
    AND x_pipeline_run_date BETWEEN v_first_visible AND v_last_visible
    AND DATE(BillingPeriodStart) BETWEEN v_month AND p_end_date;

  INSERT INTO cost_data_standard_1_3 (
    AllocatedMethodDetails, AllocatedMethodId, AllocatedResourceId, AllocatedResourceName, AllocatedTags,
    AvailabilityZone, BilledCost, BillingAccountId, BillingAccountName, BillingAccountType, BillingCurrency,
    BillingPeriodEnd, BillingPeriodStart, CapacityReservationId, CapacityReservationStatus, ChargeCategory, ChargeClass,
    ChargeDescription, ChargeFrequency, ChargePeriodEnd, ChargePeriodStart, CommitmentDiscountCategory,
    CommitmentDiscountId, CommitmentDiscountName, CommitmentDiscountQuantity, CommitmentDiscountStatus,
    CommitmentDiscountType, CommitmentDiscountUnit, ConsumedQuantity, ConsumedUnit, ContractApplied, ContractedCost,
    ContractedUnitPrice, EffectiveCost, HostProviderName, InvoiceId, InvoiceIssuerName, ListCost, ListUnitPrice,
    PricingCategory, PricingCurrency, PricingCurrencyContractedUnitPrice, PricingCurrencyEffectiveCost,
    PricingCurrencyListUnitPrice, PricingQuantity, PricingUnit, ProviderName, PublisherName, RegionId, RegionName,
    ResourceId, ResourceName, ResourceType, ServiceCategory, ServiceName, ServiceProviderName, ServiceSubcategory,
    SkuId, SkuMeter, SkuPriceDetails, SkuPriceId, SubAccountId, SubAccountName, SubAccountType, Tags, x_Provider,
    x_ChargeKind, x_PriceBasis, x_ChargeId, x_CostOrigin, x_SourceTable, x_SourcePipelineId, x_SourceRowId,
    x_DatasetChanges, x_SourceColumns, x_org_slug, x_pipeline_id, x_credential_id, x_pipeline_run_date, x_run_id,
    x_ingested_at, x_ingestion_date
  )
  SELECT
    AllocatedMethodDetails, AllocatedMethodId, AllocatedResourceId, AllocatedResourceName, AllocatedTags,
    AvailabilityZone, BilledCost, BillingAccountId, BillingAccountName, BillingAccountType, BillingCurrency,
    BillingPeriodEnd, BillingPeriodStart, CapacityReservationId, CapacityReservationStatus, ChargeCategory, ChargeClass,
    ChargeDescription, ChargeFrequency, ChargePeriodEnd, ChargePeriodStart, CommitmentDiscountCategory,
    CommitmentDiscountId, CommitmentDiscountName, CommitmentDiscountQuantity, CommitmentDiscountStatus,
    CommitmentDiscountType, CommitmentDiscountUnit, ConsumedQuantity, ConsumedUnit, ContractApplied, ContractedCost,
    ContractedUnitPrice, EffectiveCost, HostProviderName, InvoiceId, InvoiceIssuerName, ListCost, ListUnitPrice,
    PricingCategory, PricingCurrency, PricingCurrencyContractedUnitPrice, PricingCurrencyEffectiveCost,
    PricingCurrencyListUnitPrice, PricingQuantity, PricingUnit, ProviderName, PublisherName, RegionId, RegionName,
    ResourceId, ResourceName, ResourceType, ServiceCategory, ServiceName, ServiceProviderName, ServiceSubcategory,
    SkuId, SkuMeter, SkuPriceDetails, SkuPriceId, SubAccountId, SubAccountName, SubAccountType, Tags, x_Provider,
    x_ChargeKind, x_PriceBasis, x_ChargeId, x_CostOrigin, x_SourceTable, x_SourcePipelineId, x_SourceRowId,
    x_DatasetChanges, x_SourceColumns, x_org_slug, x_pipeline_id, x_credential_id, x_pipeline_run_date, x_run_id,
    x_ingested_at, x_ingestion_date
  FROM cost_data_candidate_1_3
  WHERE x_org_slug = p_org_slug AND x_SourceTable = p_table
    AND DATE(BillingPeriodStart) BETWEEN v_month AND p_end_date;

  SELECT COUNT(*) AS charges, SUM(BilledCost) AS billed_cost
  FROM cost_data_standard_1_3
  WHERE x_org_slug = p_org_slug AND x_SourceTable = p_table AND x_run_id = p_run_id;
END;
