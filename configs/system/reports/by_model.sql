-- Cost by month, provider and model; where there is no model, by meter
SELECT
  DATE_TRUNC(DATE(ChargePeriodStart), MONTH) AS month,
  ServiceProviderName AS provider,
  COALESCE(x_Model, SkuMeter, ChargeDescription, '') AS model,
  BillingCurrency AS currency,
  SUM(BilledCost) AS billed, SUM(EffectiveCost) AS effective, COUNT(*) AS charges
FROM {dataset}.cost_data_standard_1_3
GROUP BY month, provider, model, currency
ORDER BY month DESC, currency, billed DESC, provider, model
