-- How much of each commitment discount was used, by month
SELECT
  DATE_TRUNC(DATE(ChargePeriodStart), MONTH) AS month,
  ServiceProviderName AS provider,
  CommitmentDiscountId AS commitment,
  BillingCurrency AS currency,
  SUM(EffectiveCost) AS effective,
  SUM(IF(CommitmentDiscountStatus = 'Used', EffectiveCost, 0)) AS used,
  SUM(IF(CommitmentDiscountStatus = 'Unused', EffectiveCost, 0)) AS unused,
  ROUND(SAFE_DIVIDE(
    SUM(IF(CommitmentDiscountStatus = 'Used', EffectiveCost, 0)), SUM(EffectiveCost)
  ), 4) AS utilisation
FROM {dataset}.cost_data_standard_1_3
WHERE CommitmentDiscountId IS NOT NULL AND ChargeCategory = 'Usage'
GROUP BY month, provider, commitment, currency
ORDER BY month DESC, provider, commitment, currency
