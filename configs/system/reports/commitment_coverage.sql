-- How much of the usage is covered by commitment discounts, at contracted prices, by month and service; what
-- was served by a commitment whose use nothing measured is apart
WITH usage_charges AS (
  SELECT
    DATE_TRUNC(DATE(ChargePeriodStart), MONTH) AS month,
    ServiceProviderName AS provider,
    ServiceName AS service,
    BillingCurrency AS currency,
    ContractedCost AS contracted,
    COALESCE(CommitmentDiscountStatus, '') = 'Used' AS covered,
    CommitmentDiscountId IS NOT NULL AND CommitmentDiscountStatus IS NULL AS unmeasured
  FROM {dataset}.cost_data_standard_1_3
  WHERE ChargeCategory = 'Usage' AND COALESCE(CommitmentDiscountStatus, '') <> 'Unused'
)
SELECT
  month,
  provider,
  service,
  currency,
  SUM(contracted) AS contracted,
  SUM(IF(covered, contracted, 0)) AS covered,
  SUM(IF(unmeasured, contracted, 0)) AS unmeasured,
  ROUND(SAFE_DIVIDE(SUM(IF(covered, contracted, 0)), SUM(IF(unmeasured, 0, contracted))), 4) AS coverage
FROM usage_charges
GROUP BY month, provider, service, currency
ORDER BY month DESC, currency, contracted DESC, provider, service
