-- Cost by month and node of the hierarchy; without a node by sub-account; an empty name is unallocated
SELECT
  DATE_TRUNC(DATE(ChargePeriodStart), MONTH) AS month,
  COALESCE(x_hierarchy_path, SubAccountName, SubAccountId, '') AS team,
  BillingCurrency AS currency,
  SUM(BilledCost) AS billed, SUM(EffectiveCost) AS effective, COUNT(*) AS charges
FROM {dataset}.cost_data_standard_1_3
GROUP BY month, team, currency
ORDER BY month DESC, currency, billed DESC, team
