-- Cost by month, provider and service
SELECT
  DATE_TRUNC(DATE(ChargePeriodStart), MONTH) AS month,
  ServiceProviderName AS provider,
  ServiceName AS service,
  BillingCurrency AS currency,
  SUM(BilledCost) AS billed, SUM(EffectiveCost) AS effective, COUNT(*) AS charges
FROM {dataset}.cost_data_standard_1_3
GROUP BY month, provider, service, currency
ORDER BY month DESC, currency, billed DESC, provider, service
