-- Cost by month and team by the rules of allocation; an empty team is unallocated, "(not read yet)" what unified/cost has still to take into account
WITH charged AS (
  SELECT
    x_pipeline_run_date AS charge_date, COALESCE(x_Provider, '') AS provider, COALESCE(x_ChargeId, '') AS charge_id,
    COALESCE(x_credential_id, '') AS credential_id, BillingCurrency AS currency,
    MIN(DATE_TRUNC(DATE(ChargePeriodStart), MONTH)) AS month,
    SUM(BilledCost) AS billed, SUM(EffectiveCost) AS effective
  FROM {dataset}.cost_data_standard_1_3
  GROUP BY charge_date, provider, charge_id, credential_id, currency
),
part AS (
  SELECT
    charge_date, provider, COALESCE(charge_id, '') AS charge_id, COALESCE(source_credential_id, '') AS credential_id,
    currency, COALESCE(team, '') AS team, COALESCE(allocation_rule, '') AS rule,
    SUM(billed_cost) AS billed, SUM(effective_cost) AS effective
  FROM {dataset:all_days}.unified_cost_daily
  GROUP BY charge_date, provider, charge_id, credential_id, currency, team, rule
),
allocated AS (
  SELECT charged.month, part.team, part.rule, charged.currency, part.billed, part.effective
  FROM charged
  JOIN part
    ON part.charge_date = charged.charge_date AND part.provider = charged.provider
    AND part.charge_id = charged.charge_id AND part.credential_id = charged.credential_id
    AND part.currency = charged.currency
)
SELECT month, team, rule, currency, SUM(billed) AS billed, SUM(effective) AS effective
FROM (
  SELECT month, team, rule, currency, billed, effective FROM allocated
  UNION ALL
  SELECT month, '', '(not read yet)', currency, billed, effective FROM charged
  UNION ALL
  SELECT month, '', '(not read yet)', currency, -billed, -effective FROM allocated
)
GROUP BY month, team, rule, currency
HAVING rule <> '(not read yet)' OR billed <> 0 OR effective <> 0
ORDER BY month DESC, currency, billed DESC, team, rule
