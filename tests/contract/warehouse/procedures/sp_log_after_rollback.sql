-- The handler undoes the work, writes a log of its own, and ends well.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_log_after_rollback(p_dataset_id STRING)
BEGIN
  BEGIN
    BEGIN TRANSACTION;
    EXECUTE IMMEDIATE FORMAT('DELETE FROM `%s`.cost_daily WHERE TRUE', p_dataset_id);
    ASSERT (SELECT COUNT(*) FROM cost_daily) > 0 AS 'nothing is left';
    COMMIT TRANSACTION;
  EXCEPTION WHEN ERROR THEN
    ROLLBACK TRANSACTION;
    INSERT INTO run_log (message, x_pipeline_run_date) VALUES ('rolled back', DATE '2026-01-01');
  END;
  SELECT (SELECT COUNT(*) FROM cost_daily) AS costs, (SELECT STRING_AGG(message) FROM run_log) AS log;
END;
