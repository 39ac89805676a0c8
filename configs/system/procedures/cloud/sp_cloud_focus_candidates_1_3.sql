-- Bills that came as files, as FOCUS 1.3 charges: one row of cost_data_candidate_1_3 for each row of the raw table p_table
-- whose billing period begins between the months of p_start_date and p_end_date. All candidates of these periods and this
-- raw table are replaced, so what a newer delivery no longer has goes. BilledCost adds up to the raw rows, or the procedure
-- fails and changes nothing. The charges are not visible yet: generic.focus_gate checks and publishes them.
--
-- What a file does not say is repaired where the rest of the row says it, never guessed: SkuPriceId from SkuId, prices in
-- the pricing currency where that is the billing currency, one of RegionId and RegionName from the other, a subcategory
-- and the types of accounts and resources by their general name. x_DatasetChanges names what matters for a price.
--
-- FOCUS files of any version are taken as they are: ServiceProviderName and ProviderName stand for each other (1.3 has
-- both, 1.4 the first only). A list or contracted cost of 0 beside a cost and without a price means that it is not known
-- (finops-toolkit, issues 873 and 874): it becomes null, never a guess, and x_DatasetChanges says so.
--
-- AWS Cost and Usage Reports: kinds of lines and effective costs as AWS amortises them
-- (https://docs.aws.amazon.com/cur/latest/userguide/Lineitem-columns.html,
-- https://docs.aws.amazon.com/cur/latest/userguide/reservation-columns.html and savings-plans-columns.html).
-- Cost Explorer of AWS: its extractor says what the kinds of charges are; what has no category becomes an Adjustment.
-- Azure cost exports: charge types as in
-- https://learn.microsoft.com/azure/cost-management-billing/dataset-schema/cost-usage-details-ea. An amortised export has
-- the cost of reservations in the usage, so its billed cost is that of the export. Their quantity counts blocks of the unit
-- of measure, as the price does (Quantity × EffectivePrice = Cost): 0.5 of 10K are 5,000 Units. Sizes and names of units
-- are those of PricingBlockSize and DistinctUnits in pricing_units.csv (https://github.com/microsoft/finops-toolkit,
-- src/open-data); a unit that does not begin with a number stays as it is.
-- The category of a service is that of its meter category, as the bill names it, and for others that of the type of the
-- resource; names of regions are those of Azure (sp_cloud_azure_names).
-- Cost Management's query has the charge types of the exports, and no pricing model: its PricingCategory stays null.
-- OCI cost reports: a line that is a correction is beside the line that it corrects
-- (https://docs.oracle.com/iaas/Content/Billing/Concepts/usagereportsoverview.htm). They have no list price.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_cloud_focus_candidates_1_3(
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
  DECLARE v_first, v_first_charge, v_last_charge DATE;
  DECLARE v_wrong STRING;
  DECLARE v_not_counted INT64;

  CALL `{project_id}.organizations`.sp_cloud_azure_names();
  ASSERT p_start_date <= p_end_date AS 'the range of dates ends before it starts';
  SET v_first = DATE_TRUNC(p_start_date, MONTH);

  CREATE TEMP TABLE raw_charges AS
  SELECT * FROM cloud_aws_billing_raw_daily
  WHERE p_table = 'cloud_aws_billing_raw_daily' AND x_org_slug = p_org_slug
    AND x_pipeline_run_date BETWEEN v_first AND p_end_date
  UNION ALL
  SELECT * FROM cloud_azure_billing_raw_daily
  WHERE p_table = 'cloud_azure_billing_raw_daily' AND x_org_slug = p_org_slug
    AND x_pipeline_run_date BETWEEN v_first AND p_end_date
  UNION ALL
  SELECT * FROM cloud_oci_billing_raw_daily
  WHERE p_table = 'cloud_oci_billing_raw_daily' AND x_org_slug = p_org_slug
    AND x_pipeline_run_date BETWEEN v_first AND p_end_date
  UNION ALL
  SELECT * FROM focus_billing_daily_raw
  WHERE p_table = 'focus_billing_daily_raw' AND x_org_slug = p_org_slug
    AND x_pipeline_run_date BETWEEN v_first AND p_end_date;

  -- Where the visible charges of an account and period are this pipeline's alone, it goes on: rows of another one, which
  -- is refused, do not count. An export of Azure may have the whole path of an account, or what stands at its end.
  CREATE TEMP TABLE visible_accounts AS
  SELECT REGEXP_EXTRACT(LOWER(BillingAccountId), r'[^/]+$') AS account,
    DATE_TRUNC(DATE(BillingPeriodStart), MONTH) AS period
  FROM cost_data_standard_1_3
  WHERE x_org_slug = p_org_slug AND x_SourceTable = p_table
    AND x_pipeline_run_date BETWEEN DATE_SUB(v_first, INTERVAL 31 DAY) AND DATE_ADD(p_end_date, INTERVAL 62 DAY)
  GROUP BY account, period
  HAVING LOGICAL_AND(
    COALESCE(x_SourcePipelineId, '') = p_pipeline_id AND COALESCE(x_credential_id, '') = COALESCE(p_credential_id, '')
  );
  DELETE FROM raw_charges
  WHERE (x_pipeline_id <> p_pipeline_id OR COALESCE(x_credential_id, '') <> COALESCE(p_credential_id, ''))
    AND EXISTS (
      SELECT 1 FROM visible_accounts
      WHERE visible_accounts.account
          = REGEXP_EXTRACT(LOWER(COALESCE(raw_charges.BillingAccountId, raw_charges.SubAccountId, p_org_slug)), r'[^/]+$')
        AND visible_accounts.period = DATE_TRUNC(raw_charges.x_pipeline_run_date, MONTH)
    );
  SET v_not_counted = @@row_count;

  SET v_wrong = (
    SELECT MIN(CONCAT('account ', account, ', period ', CAST(period AS STRING), ': ', names))
    FROM (
      SELECT REGEXP_EXTRACT(LOWER(COALESCE(BillingAccountId, SubAccountId, p_org_slug)), r'[^/]+$') AS account,
        x_pipeline_run_date AS period, source_format,
        STRING_AGG(DISTINCT CONCAT(x_pipeline_id, ' ', COALESCE(x_credential_id, '')), ' and ') AS names,
        COUNT(DISTINCT CONCAT(x_pipeline_id, ' ', COALESCE(x_credential_id, ''))) AS sources
      FROM raw_charges
      GROUP BY account, period, source_format
    )
    WHERE sources > 1
  );
  IF v_wrong IS NOT NULL THEN
    RAISE USING MESSAGE = CONCAT(
      'the same bill is loaded twice and would count twice: ', v_wrong,
      '; nothing was published. Load an account\'s month one way only. To keep the one whose charges are visible, run it. ',
      'To change over, delete the other\'s charges (by x_SourcePipelineId) from cost_data_standard_1_3 and its rows (by ',
      'x_pipeline_id) from ', p_table, ', with generic.bq_execute'
    );
  END IF;

  SET v_wrong = (
    SELECT MIN(CONCAT(CAST(x_pipeline_run_date AS STRING), ' has files of the forms ', forms))
    FROM (
      SELECT x_pipeline_run_date, STRING_AGG(DISTINCT source_format, ' and ') AS forms,
        COUNT(DISTINCT source_format) AS count_of_forms
      FROM raw_charges
      -- An export of Azure may have the whole path of an account, or what stands at its end.
      GROUP BY x_pipeline_run_date, REGEXP_EXTRACT(LOWER(BillingAccountId), r'[^/]+$')
    )
    WHERE count_of_forms > 1
  );
  IF v_wrong IS NOT NULL THEN
    RAISE USING MESSAGE = CONCAT('two exports of one account would count twice: ', v_wrong);
  END IF;

  -- Cost Explorer names the account that was asked, be it the payer or a member, and beside it whose the charges are
  -- (SubAccountId), as far as that is one account or the answer is by account.
  SET v_wrong = (
    SELECT MIN(CONCAT(
      'of ', covering.account, IF(covering.member IS NULL, ', a payer by usage type, and ', ' and of its member '),
      asked.account, ', period ', CAST(asked.period AS STRING)
    ))
    FROM (
      SELECT DISTINCT BillingAccountId AS account, x_pipeline_run_date AS period
      FROM raw_charges
      WHERE source_format = 'aws_cost_explorer'
    ) AS asked
    JOIN (
      SELECT DISTINCT BillingAccountId AS account, SubAccountId AS member, x_pipeline_run_date AS period
      FROM raw_charges
      WHERE source_format = 'aws_cost_explorer'
    ) AS covering
      ON covering.period = asked.period AND covering.account <> asked.account
      AND COALESCE(covering.member, asked.account) = asked.account
  );
  IF v_wrong IS NOT NULL THEN
    RAISE USING MESSAGE = CONCAT(
      'the answers of Cost Explorer may count one account twice: ', v_wrong,
      '. Load the payer alone, or with the detail linked_account beside accounts that are not its members; the rows of the',
      ' other go from cloud_aws_billing_raw_daily with generic.bq_execute'
    );
  END IF;

  -- Other forms name the payer.
  SET v_wrong = (
    SELECT MIN(CONCAT('account ', asked.account, ', period ', CAST(asked.period AS STRING)))
    FROM (
      SELECT DISTINCT BillingAccountId AS account, x_pipeline_run_date AS period
      FROM raw_charges
      WHERE source_format = 'aws_cost_explorer'
    ) AS asked
    JOIN (
      SELECT DISTINCT BillingAccountId, SubAccountId, x_pipeline_run_date AS period
      FROM raw_charges
      WHERE source_format <> 'aws_cost_explorer'
    ) AS exported
      ON exported.period = asked.period AND asked.account IN (exported.BillingAccountId, exported.SubAccountId)
  );
  IF v_wrong IS NOT NULL THEN
    RAISE USING MESSAGE = CONCAT('an export and Cost Explorer of one account would count twice: ', v_wrong);
  END IF;

  -- Charges of a period may be of days before or behind it: the days that are there bound what the DELETE reads.
  SET v_first_charge = (
    SELECT MIN(x_pipeline_run_date) FROM cost_data_candidate_1_3
    WHERE x_org_slug = p_org_slug AND x_SourceTable = p_table
      AND DATE(BillingPeriodStart) BETWEEN v_first AND p_end_date
  );
  SET v_last_charge = (
    SELECT MAX(x_pipeline_run_date) FROM cost_data_candidate_1_3
    WHERE x_org_slug = p_org_slug AND x_SourceTable = p_table
      AND DATE(BillingPeriodStart) BETWEEN v_first AND p_end_date
  );
  DELETE FROM cost_data_candidate_1_3
  WHERE x_org_slug = p_org_slug AND x_SourceTable = p_table
    AND x_pipeline_run_date BETWEEN v_first_charge AND v_last_charge
    AND DATE(BillingPeriodStart) BETWEEN v_first AND p_end_date;

  INSERT INTO cost_data_candidate_1_3 (
    AllocatedMethodDetails, AllocatedMethodId, AllocatedResourceId, AllocatedResourceName, AllocatedTags,
    AvailabilityZone, BilledCost, BillingAccountId, BillingAccountName, BillingAccountType, BillingCurrency,
    BillingPeriodEnd, BillingPeriodStart, CapacityReservationId, CapacityReservationStatus, ChargeCategory, ChargeClass,
    ChargeDescription, ChargeFrequency, ChargePeriodEnd, ChargePeriodStart, CommitmentDiscountCategory,
    CommitmentDiscountId, CommitmentDiscountName, CommitmentDiscountQuantity, CommitmentDiscountStatus,
    CommitmentDiscountType, CommitmentDiscountUnit, ConsumedQuantity, ConsumedUnit, ContractApplied, ContractedCost,
    ContractedUnitPrice, EffectiveCost, HostProviderName, InvoiceId, InvoiceIssuerName, ListCost, ListUnitPrice,
    PricingCategory, PricingCurrency, PricingCurrencyContractedUnitPrice, PricingCurrencyEffectiveCost,
    PricingCurrencyListUnitPrice, PricingQuantity, PricingUnit, ProviderName, PublisherName, RegionId, RegionName,
    ResourceId, ResourceName, ResourceType, ServiceCategory, ServiceName, ServiceProviderName, ServiceSubcategory, SkuId,
    SkuMeter, SkuPriceDetails, SkuPriceId, SubAccountId, SubAccountName, SubAccountType, Tags,
    x_Provider, x_ChargeKind, x_PriceBasis, x_ChargeId, x_CostOrigin, x_SourceTable, x_SourcePipelineId,
    x_SourceRowId, x_DatasetChanges, x_SourceColumns,
    x_org_slug, x_pipeline_id, x_credential_id, x_pipeline_run_date, x_run_id, x_ingested_at, x_ingestion_date
  )
  WITH services AS (  -- codes of AWS and OCI; those of Azure are in sp_cloud_azure_names, others are Other
    SELECT * FROM UNNEST([
      STRUCT('AmazonEC2' AS code, 'Compute' AS service_category), STRUCT('AWSLambda', 'Compute'),
      STRUCT('AmazonECS', 'Compute'), STRUCT('AmazonEKS', 'Compute'), STRUCT('AmazonS3', 'Storage'),
      STRUCT('AmazonS3GlacierDeepArchive', 'Storage'), STRUCT('AmazonEFS', 'Storage'), STRUCT('AWSBackup', 'Storage'),
      STRUCT('AmazonRDS', 'Databases'), STRUCT('AmazonDynamoDB', 'Databases'), STRUCT('AmazonElastiCache', 'Databases'),
      STRUCT('AmazonRedshift', 'Analytics'), STRUCT('AmazonAthena', 'Analytics'), STRUCT('AWSGlue', 'Analytics'),
      STRUCT('AmazonBedrock', 'AI and Machine Learning'), STRUCT('AmazonSageMaker', 'AI and Machine Learning'),
      STRUCT('AWSQueueService', 'Integration'), STRUCT('AmazonSNS', 'Integration'), STRUCT('AWSEvents', 'Integration'),
      STRUCT('AmazonApiGateway', 'Integration'), STRUCT('AmazonVPC', 'Networking'),
      STRUCT('AmazonCloudFront', 'Networking'), STRUCT('AmazonRoute53', 'Networking'), STRUCT('AWSELB', 'Networking'),
      STRUCT('AmazonCloudWatch', 'Management and Governance'), STRUCT('AWSCloudTrail', 'Management and Governance'),
      STRUCT('AWSConfig', 'Management and Governance'), STRUCT('awskms', 'Security'),
      STRUCT('AWSSecretsManager', 'Security'), STRUCT('AmazonGuardDuty', 'Security'), STRUCT('awswaf', 'Security'),
      STRUCT('COMPUTE', 'Compute'), STRUCT('FUNCTIONS', 'Compute'), STRUCT('BLOCK_STORAGE', 'Storage'),
      STRUCT('OBJECTSTORE', 'Storage'), STRUCT('FILE_STORAGE', 'Storage'), STRUCT('DATABASE', 'Databases'),
      STRUCT('NETWORK', 'Networking'), STRUCT('LOAD_BALANCER', 'Networking'),
      STRUCT('TELEMETRY', 'Management and Governance'), STRUCT('LOGGING', 'Management and Governance'),
      STRUCT('KEY_MANAGEMENT_SERVICE', 'Security'), STRUCT('VAULT', 'Security')
    ])
  ),
  named AS (
    SELECT
      raw_charges.*,
      COALESCE(ServiceProviderName, ProviderName, p_provider_name) AS service_provider,
      source_format IN ('azure_cost', 'azure_query') AS is_azure,
      CASE
        WHEN source_format IN ('focus', 'aws_cost_explorer') THEN ChargeCategory
        WHEN source_format = 'aws_cur' THEN CASE
          WHEN line_type IN ('Usage', 'DiscountedUsage', 'SavingsPlanCoveredUsage') THEN 'Usage'
          WHEN line_type = 'Tax' THEN 'Tax'
          WHEN line_type IN ('Fee', 'RIFee', 'SavingsPlanRecurringFee', 'SavingsPlanUpfrontFee') THEN 'Purchase'
          WHEN line_type IN ('Credit', 'Refund') THEN 'Credit'
          ELSE 'Adjustment' END
        WHEN source_format IN ('azure_cost', 'azure_query') THEN CASE
          WHEN line_type IN ('Usage', 'UnusedReservation', 'UnusedSavingsPlan') THEN 'Usage'
          WHEN line_type = 'Purchase' THEN 'Purchase'
          WHEN line_type = 'Tax' THEN 'Tax'
          WHEN line_type IN ('Credit', 'Refund') THEN 'Credit'
          ELSE 'Adjustment' END
        ELSE 'Usage'
      END AS category,
      CASE
        WHEN source_format <> 'aws_cur' THEN COALESCE(EffectiveCost, BilledCost)
        WHEN line_type = 'DiscountedUsage' THEN COALESCE(reservation_effective_cost, BilledCost)
        WHEN line_type = 'RIFee' THEN COALESCE(reservation_unused_upfront, 0) + COALESCE(reservation_unused_recurring, 0)
        WHEN line_type = 'SavingsPlanCoveredUsage' THEN COALESCE(savings_plan_effective_cost, BilledCost)
        WHEN line_type = 'SavingsPlanRecurringFee'
          THEN COALESCE(savings_plan_commitment, 0) - COALESCE(savings_plan_used, 0)
        WHEN line_type IN ('SavingsPlanNegation', 'SavingsPlanUpfrontFee') THEN BIGNUMERIC '0'
        WHEN line_type = 'Fee' AND reservation_id IS NOT NULL THEN BIGNUMERIC '0'
        ELSE BilledCost
      END AS effective
    FROM raw_charges
  ),
  known AS (
    SELECT
      named.*,
      COALESCE(PricingCurrency, BillingCurrency) AS priced_in,
      ConsumedQuantity * IF(
        source_format = 'azure_cost' AND REGEXP_CONTAINS(PricingUnit, r'^[0-9]+[KMB]?( |/|$)'),
        CAST(REGEXP_EXTRACT(PricingUnit, r'^([0-9]+)') AS BIGNUMERIC)
          * CASE REGEXP_EXTRACT(PricingUnit, r'^[0-9]+([KMB]?)')
            WHEN 'K' THEN 1000 WHEN 'M' THEN 1000000 WHEN 'B' THEN 1000000000 ELSE 1 END,
        1
      ) AS consumed,
      IF(
        source_format = 'azure_cost' AND REGEXP_CONTAINS(PricingUnit, r'^[0-9]+[KMB]?( |/|$)'),
        TRIM(REGEXP_REPLACE(PricingUnit, r'^[0-9]+[KMB]?', '')),
        NULL
      ) AS unit_of_block,
      -- lineItem/UsageAmount is in the unit of the price
      COALESCE(
        PricingQuantity,
        IF(source_format = 'aws_cur' AND category = 'Usage' AND PricingUnit IS NOT NULL, ConsumedQuantity, NULL)
      ) AS quantity,
      COALESCE(SkuPriceId, IF(category IN ('Usage', 'Purchase'), SkuId, NULL)) AS price_id,
      COALESCE(BillingAccountId, SubAccountId, p_org_slug) AS account_id,
      -- CUR 2.0 has the name in a map. Of what Marketplace sells, the code says nothing.
      COALESCE(
        ServiceName,
        IF(source_format = 'aws_cur', JSON_VALUE(JSON_VALUE(other_fields, '$.x_product'), '$.product_name'), NULL),
        product_code, service_provider, p_provider_name
      ) AS service,
      -- Azure: a meter category and a region in the spelling of sp_cloud_azure_names; of a resource id, which has the names
      -- of resources between the parts of their type, the type
      REGEXP_REPLACE(LOWER(CASE
        WHEN is_azure THEN product_code
        -- FOCUS 1.0 has no subcategory: a service has that of the other exports
        WHEN source_format = 'focus' AND p_provider = 'azure' AND ServiceSubcategory IS NULL THEN ServiceName
      END), r'^(azure|microsoft) ', '') AS meter_category,
      IF(is_azure, LOWER(TRIM(RegionId)), NULL) AS azure_region,
      IF(is_azure, LOWER(JSON_VALUE(other_fields, '$.x_ConsumedService')), NULL) AS consumed_service,
      IF(is_azure, COALESCE(
        LOWER(JSON_VALUE(other_fields, '$.x_ResourceType')),
        RTRIM(REGEXP_REPLACE(
          REGEXP_EXTRACT(LOWER(ResourceId), r'^.*/providers/(.+)$'), r'/([^/]+)/[^/]+', r'/\1'
        ), '/')
      ), NULL) AS resource_type,
      ListCost = 0 AND effective > 0 AND COALESCE(ListUnitPrice, 0) = 0 AS list_unknown,
      ContractedCost = 0 AND effective > 0 AND COALESCE(ContractedUnitPrice, 0) = 0 AS contracted_unknown,
      COALESCE(savings_plan_id, reservation_id) AS commitment_id
    FROM named
  ),
  priced AS (
    SELECT
      known.*,
      -- a credit has no price: its costs are what is billed (FOCUS 1.3, ListCost and ContractedCost)
      IF(list_unknown, NULL, COALESCE(ListCost, IF(category = 'Credit', BilledCost, NULL))) AS list_cost,
      IF(list_unknown, NULL, ListUnitPrice) AS list_price,
      IF(contracted_unknown, NULL, COALESCE(ContractedCost, IF(category = 'Credit', BilledCost, NULL)))
        AS contracted_cost,
      IF(contracted_unknown, NULL, ContractedUnitPrice) AS contracted_price,
      COALESCE(
        known.ServiceCategory,
        services.service_category,
        azure_meters.service_category,
        own_type.service_category,
        azure_types.service_category,
        -- what others sell on Bedrock has a code of AWS Marketplace
        IF(known.service LIKE '% (Amazon Bedrock Edition)', 'AI and Machine Learning', NULL),
        'Other'
      ) AS service_category,
      COALESCE(
        IF(
          COALESCE(known.ServiceCategory, azure_meters.service_category) = azure_meters.service_category,
          azure_meters.service_subcategory, NULL
        ),
        own_type.service_subcategory, azure_types.service_subcategory
      ) AS azure_subcategory,
      COALESCE(azure_regions.region_id, RegionId, RegionName) AS region,
      COALESCE(RegionName, azure_regions.region_name, RegionId) AS region_name,
      TO_JSON_STRING([
        known.x_pipeline_id, known.x_credential_id, CAST(known.x_pipeline_run_date AS STRING), account_id, SubAccountId,
        CAST(ChargePeriodStart AS STRING), CAST(ChargePeriodEnd AS STRING), category, line_type, SkuPriceId, SkuId,
        ResourceId, ChargeDescription, CAST(BilledCost AS STRING), CAST(effective AS STRING), Tags, other_fields
      ]) AS content
    FROM known
    LEFT JOIN services ON services.code = known.product_code
    LEFT JOIN azure_meters ON azure_meters.meter_category = known.meter_category
    LEFT JOIN azure_types AS own_type
      ON own_type.resource_type = CONCAT(known.consumed_service, ' ', known.resource_type)
    LEFT JOIN azure_types ON azure_types.resource_type = known.resource_type
    LEFT JOIN azure_regions ON azure_regions.name = known.azure_region
  )
  SELECT
    AllocatedMethodDetails, AllocatedMethodId, AllocatedResourceId, AllocatedResourceName, AllocatedTags,
    AvailabilityZone,
    BilledCost,
    account_id,
    COALESCE(BillingAccountName, BillingAccountId),
    COALESCE(BillingAccountType, 'Billing Account'),
    BillingCurrency,
    COALESCE(BillingPeriodEnd, TIMESTAMP(DATE_ADD(DATE_TRUNC(DATE(BillingPeriodStart), MONTH), INTERVAL 1 MONTH))),
    BillingPeriodStart,
    CapacityReservationId, CapacityReservationStatus,
    COALESCE(category, 'Adjustment'),
    IF(LOWER(is_correction) = 'true', 'Correction', ChargeClass),
    ChargeDescription,
    CASE WHEN LOWER(ChargeFrequency) = 'usage-based' THEN 'Usage-Based'  -- OCI writes it so
      WHEN source_format = 'focus' AND ChargeFrequency IS NOT NULL THEN ChargeFrequency
      WHEN category IN ('Usage', 'Tax') THEN 'Usage-Based'
      WHEN line_type IN ('RIFee', 'SavingsPlanRecurringFee') OR ChargeFrequency = 'Recurring' THEN 'Recurring'
      ELSE 'One-Time' END,
    CASE WHEN ChargePeriodEnd > ChargePeriodStart THEN ChargePeriodEnd
      ELSE TIMESTAMP(DATE_ADD(DATE(COALESCE(ChargePeriodStart, BillingPeriodStart)), INTERVAL 1 DAY)) END,
    COALESCE(ChargePeriodStart, BillingPeriodStart),
    COALESCE(CommitmentDiscountCategory, IF(savings_plan_id IS NOT NULL, 'Spend', IF(reservation_id IS NOT NULL, 'Usage', NULL))),
    COALESCE(CommitmentDiscountId, commitment_id),
    CommitmentDiscountName,
    CommitmentDiscountQuantity,
    COALESCE(CommitmentDiscountStatus, CASE
      WHEN commitment_id IS NULL OR category <> 'Usage' THEN NULL
      WHEN line_type IN ('UnusedReservation', 'UnusedSavingsPlan') THEN 'Unused' ELSE 'Used' END),
    COALESCE(CommitmentDiscountType,
      IF(savings_plan_id IS NOT NULL, 'Savings Plan', IF(reservation_id IS NOT NULL, 'Reservation', NULL))),
    CommitmentDiscountUnit,
    IF(category = 'Usage', consumed, NULL),
    IF(category = 'Usage' AND consumed IS NOT NULL, COALESCE(ConsumedUnit, CASE
      WHEN unit_of_block IN ('Hour', 'Day', 'Month', 'Minute', 'Second', 'GB Hour', 'GB Second', 'GiB Hour', 'User', 'Node')
        THEN CONCAT(unit_of_block, 's')
      WHEN unit_of_block = '' OR unit_of_block LIKE '/%' THEN CONCAT('Units', unit_of_block)
      ELSE unit_of_block END, PricingUnit), NULL),
    ContractApplied,
    contracted_cost,
    contracted_price,
    effective,
    HostProviderName,
    InvoiceId,
    COALESCE(InvoiceIssuerName, service_provider, p_provider_name),
    list_cost,
    list_price,
    COALESCE(PricingCategory, CASE
      WHEN source_format IN ('focus', 'aws_cost_explorer', 'azure_query') OR category <> 'Usage' THEN NULL
      WHEN commitment_id IS NOT NULL THEN 'Committed'
      WHEN pricing_model = 'Spot' THEN 'Dynamic' ELSE 'Standard' END),
    priced_in,
    COALESCE(PricingCurrencyContractedUnitPrice, IF(priced_in = BillingCurrency, contracted_price, NULL)),
    COALESCE(PricingCurrencyEffectiveCost, IF(priced_in = BillingCurrency, effective, NULL)),
    COALESCE(PricingCurrencyListUnitPrice, IF(priced_in = BillingCurrency, list_price, NULL)),
    quantity,
    IF(quantity IS NOT NULL, PricingUnit, NULL),
    COALESCE(ProviderName, service_provider, p_provider_name),
    COALESCE(PublisherName, ProviderName, service_provider, p_provider_name),
    region,
    region_name,
    ResourceId, ResourceName,
    COALESCE(ResourceType, IF(ResourceId IS NULL, NULL, service)),
    service_category,
    service,
    COALESCE(service_provider, p_provider_name),
    -- MeterSubCategory of Azure is not a subcategory of FOCUS
    COALESCE(
      IF(source_format <> 'azure_cost', ServiceSubcategory, NULL), azure_subcategory, CONCAT('Other (', service_category, ')')
    ),
    SkuId, SkuMeter, SkuPriceDetails, price_id,
    SubAccountId,
    COALESCE(SubAccountName, SubAccountId),
    COALESCE(SubAccountType, IF(SubAccountId IS NULL, NULL, 'Sub Account')),
    -- cost exports of Azure leave the braces out
    IF(source_format = 'azure_cost' AND NOT STARTS_WITH(TRIM(Tags), '{'), CONCAT('{', Tags, '}'), Tags),
    p_provider,
    COALESCE(line_type, LOWER(category)),
    'provider_bill',
    -- x_ChargeId: from the row's own content, so that rows that come or go beside it leave it as it is
    SUBSTR(TO_HEX(SHA256(TO_JSON_STRING([p_table, content, CAST(ROW_NUMBER() OVER (
      PARTITION BY content ORDER BY PricingQuantity, ListCost, ContractedCost, InvoiceId
    ) AS STRING)]))), 1, 16),
    'billed',
    p_table,
    priced.x_pipeline_id,
    row_id,
    NULLIF(ARRAY_TO_STRING([
      IF(list_unknown, 'ListCost: 0 without a price is not known', NULL),
      IF(list_cost IS NULL AND NOT COALESCE(list_unknown, FALSE), 'ListCost: the source does not say it', NULL),
      IF(contracted_unknown, 'ContractedCost: 0 without a price is not known', NULL),
      IF(
        contracted_cost IS NULL AND NOT COALESCE(contracted_unknown, FALSE),
        'ContractedCost: the source does not say it', NULL
      ),
      IF(EffectiveCost IS NULL AND source_format <> 'aws_cur', 'EffectiveCost: BilledCost, the source does not say it', NULL),
      IF(category IS NULL, 'ChargeCategory: the source does not say it', NULL),
      IF(
        ServiceCategory IS NULL AND service_category = 'Other',
        IF(source_format = 'focus', 'ServiceCategory: the source does not say it', 'ServiceCategory: the service is not listed'),
        NULL
      ),
      IF(SkuPriceId IS NULL AND price_id IS NOT NULL, 'SkuPriceId: SkuId, the source does not say it', NULL)
    ], '; '), ''),
    other_fields,
    p_org_slug,
    p_pipeline_id,
    priced.x_credential_id,
    DATE(COALESCE(ChargePeriodStart, BillingPeriodStart)),
    p_run_id,
    CURRENT_TIMESTAMP(),
    CURRENT_DATE()
  FROM priced;

  SET v_wrong = (
    SELECT MIN(FORMAT('currency %s: charges %t, bill %t', currency, charged, billed))
    FROM (
      SELECT currency, SUM(charged) AS charged, SUM(billed) AS billed
      FROM (
        SELECT BillingCurrency AS currency, BilledCost AS charged, BIGNUMERIC '0' AS billed
        FROM cost_data_candidate_1_3
        WHERE x_org_slug = p_org_slug AND x_SourceTable = p_table
          AND DATE(BillingPeriodStart) BETWEEN v_first AND p_end_date
        UNION ALL
        SELECT BillingCurrency, BIGNUMERIC '0', BilledCost FROM raw_charges
      )
      GROUP BY currency
    )
    WHERE charged <> billed
  );
  IF v_wrong IS NOT NULL THEN
    RAISE USING MESSAGE = CONCAT('the charges do not add up to the bill: ', v_wrong);
  END IF;

  SELECT COUNT(*) AS charges, SUM(BilledCost) AS billed_cost, v_not_counted AS not_counted
  FROM cost_data_candidate_1_3
  WHERE x_org_slug = p_org_slug AND x_SourceTable = p_table AND x_run_id = p_run_id;
END;
