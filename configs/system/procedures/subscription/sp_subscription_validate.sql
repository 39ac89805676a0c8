-- Refuses subscriptions of one org that cannot be amortised, all mistakes in one message. Changes nothing.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_subscription_validate(IN p_org_slug STRING)
BEGIN
  DECLARE v_mistakes ARRAY<STRING>;
  DECLARE v_checked INT64;

  CREATE TEMP TABLE mistakes AS
  SELECT
    subscription_id,
    CASE
      WHEN seats <= 0 THEN FORMAT('%s: %d seats', subscription_id, seats)
      WHEN price_per_seat_month < 0 THEN FORMAT('%s: the price is negative', subscription_id)
      WHEN billing_cycle NOT IN ('monthly', 'annual') THEN FORMAT('%s: billing cycle %T', subscription_id, billing_cycle)
      WHEN NOT REGEXP_CONTAINS(currency, r'^[A-Z]{3}$') THEN FORMAT('%s: currency %T', subscription_id, currency)
      WHEN ends_on < starts_on THEN FORMAT('%s: ends on %t, before it starts', subscription_id, ends_on)
    END AS mistake
  FROM subscriptions
  WHERE x_org_slug = p_org_slug;

  -- Two prices for one kind of seat on one day would be paid twice.
  INSERT INTO mistakes (subscription_id, mistake)
  SELECT subscription_id, FORMAT('%s: two prices for %s seats from %t on', subscription_id, seat_type, starts_on)
  FROM (
    SELECT
      subscription_id,
      seat_type,
      starts_on,
      LAG(COALESCE(ends_on, DATE '9999-12-31')) OVER (PARTITION BY subscription_id, seat_type ORDER BY starts_on) AS earlier_ends_on
    FROM subscriptions
    WHERE x_org_slug = p_org_slug
  )
  WHERE starts_on <= earlier_ends_on;

  SET v_mistakes = (SELECT ARRAY_AGG(mistake ORDER BY mistake LIMIT 10) FROM mistakes WHERE mistake IS NOT NULL);
  SET v_checked = (SELECT COUNT(*) FROM subscriptions WHERE x_org_slug = p_org_slug);
  IF ARRAY_LENGTH(v_mistakes) > 0 THEN
    RAISE USING MESSAGE = CONCAT('subscriptions are wrong: ', ARRAY_TO_STRING(v_mistakes, '; '));
  END IF;

  SELECT v_checked AS subscriptions_checked;
END;
