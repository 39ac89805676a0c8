-- Spreads the price of seats over the days they cover: all seats of one org. Replaces its days p_start_date to
-- p_end_date, whichever pipeline wrote them, so that pipelines of several providers never count a seat twice.
--
-- A day costs what has accrued by its end less what had accrued the day before, both rounded to nine places: so the
-- days of a month add up to its price exactly, whatever its length; its quantity adds up to the seats in the same way. It
-- has twelve places, or nine beside a price of more than six: price times quantity has eighteen at most. A contract that begins or ends inside a month pays for its own days only. The price is always that of
-- a month, also for seats that are paid by the year.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_subscription_amortise(
  IN p_org_slug STRING,
  IN p_pipeline_id STRING,
  IN p_credential_id STRING,
  IN p_run_id STRING,
  IN p_start_date DATE,
  IN p_end_date DATE
)
BEGIN
  ASSERT p_start_date <= p_end_date AS 'the range of dates ends before it starts';
  CALL `{project_id}.organizations`.sp_subscription_validate(p_org_slug);

  DELETE FROM subscription_cost_daily
  WHERE x_org_slug = p_org_slug AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date;

  INSERT INTO subscription_cost_daily (
    usage_date, subscription_id, provider, plan, seat_type, seats, price_per_seat_month, cost, currency,
    billing_cycle, pricing_quantity, list_price_per_seat_month, billing_account_id, source_pipeline_id, source_row_id,
    x_org_slug, x_pipeline_id, x_credential_id, x_pipeline_run_date, x_run_id, x_ingested_at, x_ingestion_date
  )
  WITH days AS (
    SELECT
      day,
      EXTRACT(DAY FROM day) AS day_of_month,
      EXTRACT(DAY FROM LAST_DAY(day)) AS days_in_month
    FROM UNNEST(GENERATE_DATE_ARRAY(p_start_date, p_end_date)) AS day
  ),
  covered AS (
    SELECT
      s.*,
      d.day,
      d.day_of_month,
      d.days_in_month,
      s.seats * s.price_per_seat_month AS month_price,
      CAST(s.seats AS BIGNUMERIC) * d.day_of_month / d.days_in_month AS by_end,
      CAST(s.seats AS BIGNUMERIC) * (d.day_of_month - 1) / d.days_in_month AS by_start,
      ROUND(s.price_per_seat_month, 6) <> s.price_per_seat_month
        OR COALESCE(ROUND(s.list_price_per_seat_month, 6) <> s.list_price_per_seat_month, FALSE) AS is_long
    FROM subscriptions AS s
    JOIN days AS d ON d.day >= s.starts_on AND (s.ends_on IS NULL OR d.day <= s.ends_on)
    WHERE s.x_org_slug = p_org_slug
  )
  SELECT
    day,
    subscription_id,
    provider,
    plan,
    seat_type,
    seats,
    price_per_seat_month,
    ROUND(month_price * day_of_month / days_in_month, 9) - ROUND(month_price * (day_of_month - 1) / days_in_month, 9),
    currency,
    billing_cycle,
    IF(is_long, ROUND(by_end, 9) - ROUND(by_start, 9), ROUND(by_end, 12) - ROUND(by_start, 12)),  -- pricing_quantity
    COALESCE(list_price_per_seat_month, price_per_seat_month),
    billing_account_id,
    x_pipeline_id,
    row_id,
    p_org_slug,
    p_pipeline_id,
    p_credential_id,
    day,
    p_run_id,
    CURRENT_TIMESTAMP(),
    CURRENT_DATE()
  FROM covered;

  SELECT COUNT(*) AS charges, SUM(cost) AS cost
  FROM subscription_cost_daily
  WHERE x_org_slug = p_org_slug AND x_pipeline_id = p_pipeline_id AND x_credential_id = p_credential_id
    AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date;
END;
