-- Cost by month, provider, user and API key, as far as the provider reports them
SELECT
  DATE_TRUNC(DATE(ChargePeriodStart), MONTH) AS month,
  ServiceProviderName AS provider,
  COALESCE(x_UserId, '') AS user_id,
  COALESCE(x_ApiKeyId, '') AS api_key_id,
  BillingCurrency AS currency,
  SUM(BilledCost) AS billed, SUM(EffectiveCost) AS effective, COUNT(*) AS charges
FROM {dataset}.cost_data_standard_1_3
GROUP BY month, provider, user_id, api_key_id, currency
ORDER BY month DESC, currency, billed DESC, provider, user_id, api_key_id
