-- Cost without any tag, by month and provider
SELECT
  DATE_TRUNC(DATE(ChargePeriodStart), MONTH) AS month,
  ServiceProviderName AS provider,
  BillingCurrency AS currency,
  SUM(BilledCost) AS billed,
  SUM(IF(COALESCE(Tags, '') IN ('{}', ''), BilledCost, 0)) AS untagged,
  ROUND(SAFE_DIVIDE(
    SUM(IF(COALESCE(Tags, '') IN ('{}', ''), BilledCost, 0)), SUM(BilledCost)
  ), 4) AS untagged_ratio
FROM {dataset}.cost_data_standard_1_3
GROUP BY month, provider, currency
ORDER BY month DESC, currency, untagged DESC, provider
