-- Computed cost against the bill by month, as compared last; residual charges are on neither side
WITH latest AS (
  SELECT *
  FROM {dataset}.org_cost_tracking
  QUALIFY x_run_id = FIRST_VALUE(x_run_id) OVER (
    PARTITION BY provider, x_credential_id, usage_date ORDER BY checked_at DESC, x_run_id
  )
)
SELECT
  DATE_TRUNC(usage_date, MONTH) AS month,
  provider,
  currency,
  class,
  state,
  COUNT(*) AS compared,
  SUM(computed_cost) AS computed,
  SUM(billed_cost) AS billed,
  SUM(difference) AS difference
FROM latest
GROUP BY month, provider, currency, class, state
ORDER BY month DESC, provider, currency, class, state
