-- Charges of closed and reconciled billing periods
SELECT charge.*
FROM {dataset}.cost_data_standard_1_3 AS charge
JOIN (
  SELECT decision.month, decision.issuer, decision.account, decision.currency
  FROM {dataset}.org_billing_decisions AS decision
  JOIN (
    SELECT
      DATE_TRUNC(DATE(BillingPeriodStart), MONTH) AS month, InvoiceIssuerName AS issuer, BillingAccountId AS account,
      BillingCurrency AS currency, COUNT(*) AS charges, SUM(BilledCost) AS cost
    FROM {dataset}.cost_data_standard_1_3
    GROUP BY month, issuer, account, currency
  ) AS present
    ON decision.month = present.month AND decision.issuer = present.issuer
    AND decision.account = present.account AND decision.currency = present.currency
    AND decision.charges = present.charges AND decision.cost = present.cost
  WHERE decision.published
) AS shown
  ON shown.month = DATE_TRUNC(DATE(charge.BillingPeriodStart), MONTH)
  AND shown.issuer = charge.InvoiceIssuerName
  AND shown.account = charge.BillingAccountId
  AND shown.currency = charge.BillingCurrency
