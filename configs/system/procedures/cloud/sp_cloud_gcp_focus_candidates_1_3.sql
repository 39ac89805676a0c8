-- Google Cloud's billing export as FOCUS 1.3 charges: one row of cost_data_candidate_1_3 for each row of
-- gcp_billing_daily_raw, and one for each grant in its credits. BilledCost adds up to cost and credits of the export, for
-- each account and invoice month; the procedure fails where it would not. The charges are not visible yet:
-- generic.focus_gate checks and publishes them.
--
-- Days: p_start_date to p_end_date, and every other day whose raw rows are newer than its charges, because Google restates
-- days long past. Of each (billing account, invoice month, usage day) those rows count that were loaded last, whichever
-- pipeline or credential loaded them. Services that an LLM pipeline charges for too are here as well: which of the two
-- counts is decided when they are published (precedence.yml).
--
-- Discounts (all credits but PROMOTION and RESELLER_MARGIN) reduce the charge they stand in; grants are charges of the
-- category Credit (FOCUS 1.3, "Discount Handling"). A unit price is given where price and quantity multiply to the cost;
-- elsewhere (another currency, a tier that is shared) no column that needs one is filled. Not in the export: InvoiceId,
-- CommitmentDiscountId, CapacityReservationId.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_cloud_gcp_focus_candidates_1_3(
  IN p_org_slug STRING,
  IN p_pipeline_id STRING,
  IN p_credential_id STRING,
  IN p_run_id STRING,
  IN p_start_date DATE,
  IN p_end_date DATE
)
BEGIN
  DECLARE v_days ARRAY<DATE>;
  DECLARE v_wrong STRING;

  ASSERT p_start_date <= p_end_date AS 'the range of dates ends before it starts';

  CREATE TEMP TABLE stale_days AS
  WITH charged AS (
    SELECT x_pipeline_run_date AS usage_date, MAX(x_ingested_at) AS charged_at
    FROM cost_data_standard_1_3
    WHERE x_org_slug = p_org_slug AND x_Provider = 'gcp'
    GROUP BY x_pipeline_run_date
  ),
  loaded AS (
    SELECT usage_date, MAX(x_ingested_at) AS loaded_at
    FROM gcp_billing_daily_raw
    WHERE x_org_slug = p_org_slug
    GROUP BY usage_date
  )
  SELECT loaded.usage_date
  FROM loaded
  LEFT JOIN charged ON charged.usage_date = loaded.usage_date
  WHERE loaded.usage_date BETWEEN p_start_date AND p_end_date
    OR charged.charged_at IS NULL
    -- rows have the engine's time, charges the warehouse's: two clocks
    OR loaded.loaded_at >= TIMESTAMP_SUB(charged.charged_at, INTERVAL 10 MINUTE);

  SET v_days = (
    SELECT ARRAY_AGG(DISTINCT day)
    FROM (
      SELECT day FROM UNNEST(GENERATE_DATE_ARRAY(p_start_date, p_end_date)) AS day
      UNION ALL
      SELECT usage_date FROM stale_days
    )
  );

  DELETE FROM cost_data_candidate_1_3
  WHERE x_org_slug = p_org_slug AND x_Provider = 'gcp' AND x_pipeline_run_date IN UNNEST(v_days);

  CREATE TEMP TABLE exported AS
  SELECT
    raw.*,
    CASE raw.cost_type WHEN 'tax' THEN 'Tax' WHEN 'adjustment' THEN 'Adjustment' WHEN 'rounding_error' THEN 'Adjustment'
      ELSE 'Usage' END AS category,
    ROW_NUMBER() OVER (PARTITION BY raw.row_id ORDER BY raw.usage_start_time) AS occurrence,
    COALESCE(
      (SELECT SUM(credit.amount) FROM UNNEST(raw.credits) AS credit
        WHERE COALESCE(credit.type, '') NOT IN ('PROMOTION', 'RESELLER_MARGIN')), 0
    ) AS discounts,
    ROUND(raw.usage_amount_in_pricing_units / NULLIF(CAST(raw.pricing_unit_quantity AS BIGNUMERIC), 0), 12) AS quantity
  FROM (
    SELECT * FROM gcp_billing_daily_raw
    WHERE x_org_slug = p_org_slug AND x_pipeline_run_date IN UNNEST(v_days)
    QUALIFY RANK() OVER (
      PARTITION BY billing_account_id, invoice_month, usage_date
      ORDER BY x_ingested_at DESC, x_pipeline_id, x_credential_id
    ) = 1
  ) AS raw;

  INSERT INTO cost_data_candidate_1_3 (
    AvailabilityZone, BilledCost, BillingAccountId, BillingAccountName, BillingAccountType, BillingCurrency,
    BillingPeriodEnd, BillingPeriodStart, ChargeCategory, ChargeClass, ChargeDescription, ChargeFrequency,
    ChargePeriodEnd, ChargePeriodStart, ConsumedQuantity, ConsumedUnit, ContractedCost, ContractedUnitPrice,
    EffectiveCost, HostProviderName, InvoiceIssuerName, ListCost, ListUnitPrice, PricingCategory, PricingCurrency,
    PricingCurrencyContractedUnitPrice, PricingCurrencyEffectiveCost, PricingCurrencyListUnitPrice, PricingQuantity,
    PricingUnit, ProviderName, PublisherName, RegionId, RegionName, ResourceId, ResourceName, ResourceType,
    ServiceCategory, ServiceName, ServiceProviderName, ServiceSubcategory, SkuId, SkuMeter, SkuPriceId, SubAccountId,
    SubAccountName, SubAccountType, Tags,
    x_Provider, x_ChargeKind, x_PriceBasis, x_ChargeId, x_CostOrigin, x_SourceTable, x_SourcePipelineId, x_SourceRowId,
    x_org_slug, x_pipeline_id, x_credential_id, x_pipeline_run_date, x_run_id, x_ingested_at, x_ingestion_date
  )
  WITH services AS (  -- Google's names; others are Other. Categories: FOCUS 1.3, ServiceCategory
    SELECT * FROM UNNEST([
      STRUCT('Compute Engine' AS service, 'Compute' AS category, 'Virtual Machines' AS subcategory),
      STRUCT('Kubernetes Engine', 'Compute', 'Containers'),
      STRUCT('Cloud Run', 'Compute', 'Serverless Compute'),
      STRUCT('Cloud Run Functions', 'Compute', 'Serverless Compute'),
      STRUCT('Cloud Functions', 'Compute', 'Serverless Compute'),
      STRUCT('App Engine', 'Compute', 'Serverless Compute'),
      STRUCT('Cloud Storage', 'Storage', 'Object Storage'),
      STRUCT('Cloud Filestore', 'Storage', 'File Storage'),
      STRUCT('Backup and DR Service', 'Storage', 'Backup Storage'),
      STRUCT('BigQuery', 'Analytics', 'Analytics Platforms'),
      STRUCT('BigQuery Reservation API', 'Analytics', 'Analytics Platforms'),
      STRUCT('BigQuery Storage API', 'Analytics', 'Analytics Platforms'),
      STRUCT('Cloud Dataflow', 'Analytics', 'Data Processing'),
      STRUCT('Cloud Dataproc', 'Analytics', 'Data Processing'),
      STRUCT('Looker', 'Analytics', 'Business Intelligence'),
      STRUCT('Cloud SQL', 'Databases', 'Relational Databases'),
      STRUCT('Cloud Spanner', 'Databases', 'Relational Databases'),
      STRUCT('Spanner', 'Databases', 'Relational Databases'),
      STRUCT('AlloyDB', 'Databases', 'Relational Databases'),
      STRUCT('Cloud Bigtable', 'Databases', 'NoSQL Databases'),
      STRUCT('Bigtable', 'Databases', 'NoSQL Databases'),
      STRUCT('Cloud Firestore', 'Databases', 'NoSQL Databases'),
      STRUCT('Firestore', 'Databases', 'NoSQL Databases'),
      STRUCT('Cloud Memorystore for Redis', 'Databases', 'Caching'),
      STRUCT('Memorystore', 'Databases', 'Caching'),
      STRUCT('Vertex AI', 'AI and Machine Learning', 'Generative AI'),
      STRUCT('Gemini API', 'AI and Machine Learning', 'Generative AI'),
      STRUCT('Generative Language API', 'AI and Machine Learning', 'Generative AI'),
      STRUCT('Cloud Natural Language', 'AI and Machine Learning', 'Natural Language Processing'),
      STRUCT('Networking', 'Networking', 'Network Connectivity'),
      STRUCT('VPC', 'Networking', 'Network Infrastructure'),
      STRUCT('Cloud CDN', 'Networking', 'Content Delivery'),
      STRUCT('Cloud DNS', 'Networking', 'Network Routing'),
      STRUCT('Cloud Armor', 'Networking', 'Network Security'),
      STRUCT('Cloud Pub/Sub', 'Integration', 'Messaging'),
      STRUCT('Cloud Tasks', 'Integration', 'Messaging'),
      STRUCT('Workflows', 'Integration', 'Workflow Orchestration'),
      STRUCT('Apigee', 'Integration', 'API Management'),
      STRUCT('Cloud Logging', 'Management and Governance', 'Observability'),
      STRUCT('Cloud Monitoring', 'Management and Governance', 'Observability'),
      STRUCT('Stackdriver Logging', 'Management and Governance', 'Observability'),
      STRUCT('Support', 'Management and Governance', 'Support'),
      STRUCT('Cloud Key Management Service (KMS)', 'Security', 'Secret Management'),
      STRUCT('Secret Manager', 'Security', 'Secret Management'),
      STRUCT('Security Command Center', 'Security', 'Security Posture Management'),
      STRUCT('Identity Platform', 'Identity', 'Identity and Access Management'),
      STRUCT('Cloud Build', 'Developer Tools', 'Continuous Integration and Deployment'),
      STRUCT('Artifact Registry', 'Developer Tools', 'Developer Platforms'),
      STRUCT('Firebase', 'Mobile', 'Other (Mobile)')
    ])
  ),
  units AS (  -- FOCUS 1.3, "Unit Format"
    SELECT * FROM UNNEST([
      STRUCT('count' AS unit, 'Count' AS name), STRUCT('requests', 'Requests'), STRUCT('seconds', 'Seconds'),
      STRUCT('second', 'Seconds'), STRUCT('minute', 'Minutes'), STRUCT('hour', 'Hours'), STRUCT('month', 'Months'),
      STRUCT('byte', 'B'), STRUCT('bytes', 'B'), STRUCT('byte-seconds', 'B-Seconds'), STRUCT('gibibyte', 'GiB'),
      STRUCT('gibibyte hour', 'GiB-Hours'), STRUCT('gibibyte month', 'GiB-Months'), STRUCT('tebibyte', 'TiB'),
      STRUCT('mebibyte', 'MiB'), STRUCT('gibibyte second', 'GiB-Seconds')
    ])
  ),
  priced AS (
    SELECT
      exported.*,
      -- both prices, and a product that is the cost but for its rounding
      category = 'Usage' AND list_price IS NOT NULL AND effective_price IS NOT NULL AND quantity IS NOT NULL
        AND pricing_unit IS NOT NULL
        AND ABS(quantity * CAST(effective_price AS BIGNUMERIC) - cost) <= ABS(cost) / 1000 + BIGNUMERIC '0.000001'
        AS is_priced,
      CAST(list_price AS BIGNUMERIC) AS list_unit_price,
      CAST(effective_price AS BIGNUMERIC) AS unit_price
    FROM exported
  ),
  parts AS (
    SELECT
      priced.*,
      category AS part,
      0 AS credit_number,
      CAST(NULL AS STRING) AS credit_type,
      COALESCE(sku_description, service_description, adjustment_description, category) AS description,
      cost + discounts AS billed,
      IF(is_priced, quantity * unit_price, cost) AS contracted,
      IF(is_priced, quantity * list_unit_price, COALESCE(IF(category = 'Usage', cost_at_list, NULL), cost)) AS listed
    FROM priced
    UNION ALL
    SELECT
      priced.*,
      'Credit',
      number + 1,
      credit.type,
      COALESCE(credit.full_name, credit.name, credit.type),
      credit.amount,
      credit.amount,
      credit.amount
    FROM priced, UNNEST(priced.credits) AS credit WITH OFFSET AS number
    WHERE credit.type IN ('PROMOTION', 'RESELLER_MARGIN') AND credit.amount <> 0
  ),
  charges AS (
    SELECT
      parts.*,
      part = 'Usage' AND is_priced AS has_price,
      COALESCE(PARSE_DATE('%Y%m', invoice_month), DATE_TRUNC(usage_date, MONTH)) AS billing_month,
      COALESCE(NULLIF(region, ''), NULLIF(location, '')) AS place
    FROM parts
  )
  SELECT
    NULLIF(zone, ''),                                                -- AvailabilityZone
    billed,
    billing_account_id,
    billing_account_id,                                              -- BillingAccountName: not in the export
    'Billing Account',
    charges.currency,
    TIMESTAMP(DATE_ADD(billing_month, INTERVAL 1 MONTH)),            -- BillingPeriodEnd, exclusive
    TIMESTAMP(billing_month),
    part,
    IF(part = 'Adjustment' AND adjustment_id IS NOT NULL, 'Correction', NULL),
    description,
    IF(part IN ('Usage', 'Tax'), 'Usage-Based', 'One-Time'),         -- ChargeFrequency
    IF(usage_end_time > usage_start_time, usage_end_time, TIMESTAMP(DATE_ADD(usage_date, INTERVAL 1 DAY))),
    usage_start_time,
    IF(has_price, usage_amount, NULL),
    IF(has_price, COALESCE(used.name, usage_unit), NULL),
    contracted,
    IF(has_price, unit_price, NULL),
    billed,                                                          -- EffectiveCost
    'Google Cloud',
    'Google Cloud',
    listed,
    IF(has_price, list_unit_price, NULL),
    IF(has_price, 'Standard', NULL),                                 -- PricingCategory
    charges.currency,
    IF(has_price, unit_price, NULL),
    billed,
    IF(has_price, list_unit_price, NULL),
    IF(has_price, quantity, NULL),
    IF(
      has_price,
      CONCAT(
        IF(pricing_unit_quantity = 1, '', CONCAT(CAST(pricing_unit_quantity AS STRING), ' ')),
        COALESCE(sold.name, pricing_unit)
      ),
      NULL
    ),
    'Google Cloud',                                                  -- ProviderName
    IF(transaction_type IS NULL OR transaction_type = 'GOOGLE', 'Google', COALESCE(seller_name, 'Google')),
    place,
    place,                                                           -- RegionName: Google has no other
    IF(part = 'Tax', NULL, NULLIF(resource_global_name, '')),
    IF(part = 'Tax' OR NULLIF(resource_global_name, '') IS NULL, NULL, NULLIF(resource_name, '')),
    IF(part = 'Tax' OR NULLIF(resource_global_name, '') IS NULL, NULL, service_description),
    COALESCE(services.category, 'Other'),
    COALESCE(service_description, 'Google Cloud'),
    'Google Cloud',
    COALESCE(services.subcategory, 'Other (Other)'),
    IF(part = 'Usage', sku_id, NULL),
    IF(part = 'Usage' AND sku_id IS NOT NULL, sku_description, NULL),
    IF(has_price, sku_id, NULL),                                     -- SkuPriceId
    project_id,
    COALESCE(project_name, project_id),
    IF(project_id IS NULL, NULL, 'Project'),
    (
      SELECT CONCAT('{', STRING_AGG(CONCAT(TO_JSON_STRING(tag.key), ':', tag.value) ORDER BY tag.key), '}')
      FROM (
        SELECT each.key AS key, MAX(IF(COALESCE(each.value, '') = '', 'true', TO_JSON_STRING(each.value))) AS value
        FROM (
          SELECT label.key, label.value FROM UNNEST(charges.labels) AS label
          UNION ALL
          SELECT CONCAT(COALESCE(bound.namespace, ''), '/', bound.key), bound.value FROM UNNEST(charges.tags) AS bound
        ) AS each
        WHERE each.key IS NOT NULL
        GROUP BY each.key
      ) AS tag
    ),                                                               -- Tags: a label without a value is true
    'gcp',
    COALESCE(credit_type, cost_type),                                -- x_ChargeKind
    'provider_bill',
    SUBSTR(TO_HEX(SHA256(TO_JSON_STRING([
      'gcp', row_id, CAST(occurrence AS STRING), part, CAST(credit_number AS STRING)
    ]))), 1, 16),                                                    -- x_ChargeId
    'billed',
    'gcp_billing_daily_raw',
    x_pipeline_id,
    row_id,
    p_org_slug,
    p_pipeline_id,
    p_credential_id,
    usage_date,
    p_run_id,
    CURRENT_TIMESTAMP(),
    CURRENT_DATE()
  FROM charges
  LEFT JOIN services ON services.service = charges.service_description
  LEFT JOIN units AS used ON used.unit = charges.usage_unit
  LEFT JOIN units AS sold ON sold.unit = charges.pricing_unit;

  SET v_wrong = (
    SELECT MIN(FORMAT('%s, currency %s: charges %t, export %t', account, currency, charged, billed))
    FROM (
      SELECT account, currency, SUM(charged) AS charged, SUM(billed) AS billed
      FROM (
        SELECT BillingAccountId AS account, BillingCurrency AS currency, BilledCost AS charged, BIGNUMERIC '0' AS billed
        FROM cost_data_candidate_1_3
        WHERE x_org_slug = p_org_slug AND x_Provider = 'gcp' AND x_pipeline_run_date IN UNNEST(v_days)
        UNION ALL
        SELECT billing_account_id, currency, BIGNUMERIC '0',
          cost + COALESCE((SELECT SUM(credit.amount) FROM UNNEST(credits) AS credit), 0)
        FROM exported
      )
      GROUP BY account, currency
    )
    WHERE charged <> billed
  );
  IF v_wrong IS NOT NULL THEN
    RAISE USING MESSAGE = CONCAT('the charges do not add up to the export: ', v_wrong);
  END IF;

  SELECT COUNT(*) AS charges, SUM(BilledCost) AS billed_cost, COUNT(DISTINCT x_pipeline_run_date) AS days
  FROM cost_data_candidate_1_3
  WHERE x_org_slug = p_org_slug AND x_Provider = 'gcp' AND x_run_id = p_run_id;
END;
