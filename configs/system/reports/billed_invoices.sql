-- The invoices that bills name, one line for each category of charges, as `convergence invoice import` takes them
SELECT
  InvoiceIssuerName,
  BillingAccountId,
  DATE(BillingPeriodStart) AS BillingPeriodStart,
  InvoiceId,
  BillingCurrency,
  ROUND(SUM(BilledCost), 14) AS BilledCost,
  ChargeCategory
FROM {dataset}.cost_data_standard_1_3
WHERE InvoiceId <> ''
GROUP BY 1, 2, 3, 4, 5, 7
ORDER BY 3, 1, 2, 4, 7
