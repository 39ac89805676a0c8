-- The 20 largest changes of the last seven charged days against the seven before them, by provider, service and model
WITH charged AS (
  SELECT
    DATE(ChargePeriodStart) AS day,
    ServiceProviderName AS provider,
    ServiceName AS service,
    COALESCE(x_Model, SkuMeter, ChargeDescription, '') AS model,
    BillingCurrency AS currency,
    BilledCost AS billed
  FROM {dataset}.cost_data_standard_1_3
),
ages AS (
  SELECT *, DATE_DIFF((SELECT MAX(day) FROM charged), day, DAY) AS age FROM charged
)
SELECT
  provider,
  service,
  model,
  currency,
  SUM(IF(age < 7, billed, 0)) AS billed,
  SUM(IF(age < 7, 0, billed)) AS previous,
  SUM(IF(age < 7, billed, -billed)) AS change
FROM ages
WHERE age < 14
GROUP BY provider, service, model, currency
ORDER BY ABS(change) DESC, provider, service, model, currency
LIMIT 20
