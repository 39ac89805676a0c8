-- Dynamic SQL, a transaction of its own, an assertion and a handler, as most procedures have them.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_shop_costs(
  IN p_project_id STRING, IN p_dataset_id STRING, IN p_start DATE, IN p_end DATE, IN p_credential STRING
)
OPTIONS (strict_mode = FALSE)
BEGIN
  DECLARE v_count INT64 DEFAULT 0;
  DECLARE v_total NUMERIC;
  ASSERT p_start <= p_end AS 'the range ends before it starts';
  BEGIN TRANSACTION;
  EXECUTE IMMEDIATE FORMAT("""
    DELETE FROM `%s.%s.cloud_shop_costs` WHERE usage_date BETWEEN @start AND @end
  """, p_project_id, p_dataset_id) USING p_start AS start, p_end AS `end`;
  EXECUTE IMMEDIATE FORMAT("""
    INSERT INTO `%s.%s.cloud_shop_costs` (usage_date, service, cost, x_pipeline_run_date)
    SELECT usage_date, INITCAP(service), SUM(COALESCE(cost, 0)), usage_date
    FROM `%s.%s.cloud_shop_billing_raw_daily`
    WHERE usage_date BETWEEN @start AND @end GROUP BY usage_date, service
  """, p_project_id, p_dataset_id, p_project_id, p_dataset_id) USING p_start AS start, p_end AS `end`;
  SET v_count = @@row_count;
  COMMIT TRANSACTION;
  EXECUTE IMMEDIATE FORMAT("""
    SELECT SUM(cost) FROM `%s.%s.cloud_shop_costs` WHERE usage_date BETWEEN @a AND @b
  """, p_project_id, p_dataset_id) INTO v_total USING p_start AS a, p_end AS b;
  IF v_count = 0 THEN
    RAISE USING MESSAGE = 'no cost was found';
  ELSE
    SELECT v_count AS rows_inserted, v_total AS total;
  END IF;
EXCEPTION WHEN ERROR THEN
  RAISE USING MESSAGE = CONCAT('sp_shop_costs: ', @@error.message);
END;
