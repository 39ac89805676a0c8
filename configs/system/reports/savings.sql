-- List, contracted and effective cost by month and provider; unpriced: charges without a list or contracted cost
SELECT
  DATE_TRUNC(DATE(ChargePeriodStart), MONTH) AS month,
  ServiceProviderName AS provider,
  BillingCurrency AS currency,
  SUM(ListCost) AS list,
  SUM(ContractedCost) AS contracted,
  SUM(EffectiveCost) AS effective,
  COUNTIF(ListCost IS NULL OR ContractedCost IS NULL) AS unpriced
FROM {dataset}.cost_data_standard_1_3
GROUP BY month, provider, currency
ORDER BY month DESC, currency, effective DESC, provider
