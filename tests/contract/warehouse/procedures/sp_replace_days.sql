-- The usual shape: names by FORMAT, a slice replaced in a transaction, the error passed on with its place.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_replace_days(
  p_project_id STRING, p_dataset_id STRING, p_from DATE, p_to DATE
)
OPTIONS (strict_mode = FALSE)
BEGIN
  DECLARE v_rows INT64 DEFAULT 0;
  ASSERT p_from <= p_to AS 'p_from lies behind p_to';
  BEGIN
    BEGIN TRANSACTION;
    EXECUTE IMMEDIATE FORMAT("""
      DELETE FROM `%s.%s.cost_daily`  -- 100%% of the days
      WHERE day BETWEEN @first AND @last AND note LIKE 'list%%'
    """, p_project_id, p_dataset_id) USING p_from AS first, p_to AS last;
    EXECUTE IMMEDIATE FORMAT("""
      INSERT INTO `%s.%s.cost_daily` (day, model, cost, note, x_pipeline_run_date)
      WITH priced AS (SELECT day, model, tokens * price / 1000000 AS cost FROM `%s.%s.usage_raw`)
      SELECT day, model, CAST(SUM(cost) AS NUMERIC), 'list "price"', day FROM priced
      WHERE day BETWEEN @first AND @last GROUP BY day, model
    """, p_project_id, p_dataset_id, p_project_id, p_dataset_id) USING p_from AS first, p_to AS last;
    SET v_rows = @@row_count;
    COMMIT TRANSACTION;
  EXCEPTION WHEN ERROR THEN
    RAISE USING MESSAGE = CONCAT('sp_replace_days: ', @@error.message);
  END;
  SELECT v_rows AS rows_written, p_dataset_id AS dataset;
END;
