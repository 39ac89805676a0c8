-- Cost by month, provider and service beside the month before; what is no longer charged is there with 0
WITH charged AS (
  SELECT
    DATE_TRUNC(DATE(ChargePeriodStart), MONTH) AS month,
    ServiceProviderName AS provider,
    ServiceName AS service,
    BillingCurrency AS currency,
    BilledCost AS billed
  FROM {dataset}.cost_data_standard_1_3
),
both_months AS (
  SELECT month, provider, service, currency, billed, 0 AS previous FROM charged
  UNION ALL
  SELECT DATE_ADD(month, INTERVAL 1 MONTH), provider, service, currency, 0, billed FROM charged
)
SELECT
  month,
  provider,
  service,
  currency,
  SUM(billed) AS billed,
  SUM(previous) AS previous,
  SUM(billed) - SUM(previous) AS change,
  ROUND(SAFE_DIVIDE(SUM(billed) - SUM(previous), SUM(previous)), 4) AS change_ratio
FROM both_months
WHERE month <= (SELECT MAX(month) FROM charged)
GROUP BY month, provider, service, currency
ORDER BY month DESC, currency, billed DESC, provider, service
