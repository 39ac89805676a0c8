-- Cost by month, invoice issuer and billing account
SELECT
  DATE_TRUNC(DATE(ChargePeriodStart), MONTH) AS month,
  InvoiceIssuerName AS issuer,
  BillingAccountId AS billing_account,
  BillingCurrency AS currency,
  SUM(BilledCost) AS billed, SUM(EffectiveCost) AS effective, COUNT(*) AS charges
FROM {dataset}.cost_data_standard_1_3
GROUP BY month, issuer, billing_account, currency
ORDER BY month DESC, currency, billed DESC, issuer, billing_account
