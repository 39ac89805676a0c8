-- Cost by month and team by the rules of allocation; an empty team is unallocated, and "(not read yet)" what unified/cost has still to read
SELECT month, team, rule, currency, SUM(billed) AS billed, SUM(effective) AS effective
FROM (
  SELECT
    DATE_TRUNC(usage_date, MONTH) AS month, COALESCE(team, '') AS team, COALESCE(allocation_rule, '') AS rule, currency,
    billed_cost AS billed, effective_cost AS effective
  FROM {dataset}.unified_cost_daily
  UNION ALL
  SELECT
    DATE_TRUNC(DATE(charge.ChargePeriodStart), MONTH), '', '(not read yet)', charge.BillingCurrency,
    charge.BilledCost, charge.EffectiveCost
  FROM {dataset}.cost_data_standard_1_3 AS charge
  LEFT JOIN (
    SELECT DISTINCT charge_date, provider, charge_id, source_credential_id FROM {dataset}.unified_cost_daily
  ) AS part
    ON part.charge_date = charge.x_pipeline_run_date
    AND part.provider = COALESCE(charge.x_Provider, '')
    AND part.charge_id = charge.x_ChargeId
    AND part.source_credential_id = charge.x_credential_id
  WHERE part.charge_date IS NULL
)
GROUP BY month, team, rule, currency
ORDER BY month DESC, currency, billed DESC, team, rule
