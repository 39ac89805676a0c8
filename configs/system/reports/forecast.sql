-- Cost of the latest month to its end: daily charges are extrapolated at their mean so far, all others stay as they are
WITH charged AS (
  SELECT
    DATE(ChargePeriodStart) AS day,
    DATE_TRUNC(DATE(ChargePeriodStart), MONTH) AS month,
    ServiceProviderName AS provider,
    BillingCurrency AS currency,
    BilledCost AS billed,
    COALESCE(ChargeFrequency, '') <> 'One-Time'
      AND ChargePeriodEnd <= TIMESTAMP_ADD(ChargePeriodStart, INTERVAL 1 DAY) AS daily
  FROM {dataset}.cost_data_standard_1_3
),
so_far AS (
  SELECT
    month,
    provider,
    currency,
    MAX(day) AS charged_until,
    SUM(billed) AS billed,
    SUM(IF(daily, billed, 0)) AS billed_daily,
    COALESCE(EXTRACT(DAY FROM MAX(IF(daily, day, NULL))), 0) AS days,
    EXTRACT(DAY FROM LAST_DAY(month)) AS days_of_month
  FROM charged
  WHERE month = (SELECT MAX(month) FROM charged)
  GROUP BY month, provider, currency
)
SELECT
  month,
  provider,
  currency,
  charged_until,
  billed,
  ROUND(billed + COALESCE(SAFE_DIVIDE(billed_daily * (days_of_month - days), days), 0), 9) AS forecast
FROM so_far
ORDER BY currency, forecast DESC, provider
