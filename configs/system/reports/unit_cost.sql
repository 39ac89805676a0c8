-- What a unit costs on average, by month, provider, model and kind of charge; usage only
SELECT
  DATE_TRUNC(DATE(ChargePeriodStart), MONTH) AS month,
  ServiceProviderName AS provider,
  COALESCE(x_Model, SkuMeter, ChargeDescription, '') AS model,
  COALESCE(x_ChargeKind, '') AS charge_kind,
  PricingUnit AS unit,
  BillingCurrency AS currency,
  SUM(PricingQuantity) AS quantity,
  SUM(EffectiveCost) AS effective,
  ROUND(SAFE_DIVIDE(SUM(EffectiveCost), SUM(PricingQuantity)), 12) AS unit_cost
FROM {dataset}.cost_data_standard_1_3
WHERE ChargeCategory = 'Usage' AND PricingQuantity IS NOT NULL
GROUP BY month, provider, model, charge_kind, unit, currency
ORDER BY month DESC, provider, model, charge_kind, unit, currency
