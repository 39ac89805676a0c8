-- Billing periods that cost_data_published does not show, and why
SELECT month, issuer, account, currency, charges, cost, reason
FROM (
  SELECT present.*,
    CASE
      WHEN decision.month IS NULL THEN 'the billing period is not closed'
      WHEN NOT decision.published THEN decision.reason
      WHEN decision.charges <> present.charges OR decision.cost <> present.cost
        THEN 'its charges have changed since it was compared: convergence period publish'
    END AS reason
  FROM (
    SELECT
      DATE_TRUNC(DATE(BillingPeriodStart), MONTH) AS month, InvoiceIssuerName AS issuer, BillingAccountId AS account,
      BillingCurrency AS currency, COUNT(*) AS charges, SUM(BilledCost) AS cost
    FROM {dataset}.cost_data_standard_1_3
    GROUP BY month, issuer, account, currency
  ) AS present
  LEFT JOIN {dataset}.org_billing_decisions AS decision
    ON decision.month = present.month AND decision.issuer = present.issuer
    AND decision.account = present.account AND decision.currency = present.currency
)
WHERE reason IS NOT NULL
