-- A temporary table between the source and the target, and an early RETURN.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_temporary(p_dataset_id STRING, p_least INT64)
BEGIN
  CREATE TEMP TABLE picked AS SELECT day, model, tokens FROM usage_raw WHERE tokens >= p_least;
  IF (SELECT COUNT(*) FROM picked) = 0 THEN
    SELECT 'nothing' AS outcome;
    RETURN;
  END IF;
  EXECUTE IMMEDIATE FORMAT("""INSERT INTO `%s`.cost_daily (day, model, cost, note, x_pipeline_run_date)
    WITH ranked AS (SELECT *, ROW_NUMBER() OVER (PARTITION BY day ORDER BY tokens DESC, model) AS place FROM picked)
    SELECT day, model, tokens, 'largest', day FROM ranked WHERE place = 1""", p_dataset_id);
  SELECT STRING_AGG(model, ', ' ORDER BY day) AS outcome FROM cost_daily WHERE note = 'largest';
END;
