-- How much of each commitment discount was used, by month; what nothing measured is apart
WITH discount_charges AS (
  SELECT
    DATE_TRUNC(DATE(ChargePeriodStart), MONTH) AS month,
    ServiceProviderName AS provider,
    CommitmentDiscountId AS commitment,
    BillingCurrency AS currency,
    EffectiveCost AS effective,
    COALESCE(CommitmentDiscountStatus, '') AS status
  FROM {dataset}.cost_data_standard_1_3
  WHERE CommitmentDiscountId IS NOT NULL AND ChargeCategory = 'Usage'
),

months AS (
  SELECT
    month,
    provider,
    commitment,
    currency,
    SUM(effective) AS effective,
    COUNTIF(status IN ('Used', 'Unused')) > 0 AS is_measured,
    SUM(IF(status = 'Used', effective, 0)) AS used,
    SUM(IF(status = 'Unused', effective, 0)) AS unused
  FROM discount_charges
  GROUP BY month, provider, commitment, currency
)

SELECT
  month,
  provider,
  commitment,
  currency,
  effective,
  IF(is_measured, used, NULL) AS used,
  IF(is_measured, unused, NULL) AS unused,
  effective - used - unused AS unmeasured,
  ROUND(SAFE_DIVIDE(used, used + unused), 4) AS utilisation
FROM months
ORDER BY month DESC, provider, commitment, currency
