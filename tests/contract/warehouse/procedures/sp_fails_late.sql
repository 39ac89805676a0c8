-- One transaction is committed, then the procedure fails.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_fails_late(p_dataset_id STRING, p_fail BOOL)
BEGIN
  BEGIN TRANSACTION;
  EXECUTE IMMEDIATE FORMAT("INSERT INTO `%s`.run_log (message, x_pipeline_run_date) VALUES ('first', DATE '2026-01-01')",
    p_dataset_id);
  COMMIT TRANSACTION;
  ASSERT NOT p_fail AS 'the second half fails';
  BEGIN TRANSACTION;
  INSERT INTO run_log (message, x_pipeline_run_date) VALUES ('second', DATE '2026-01-01');
  COMMIT TRANSACTION;
  SELECT COUNT(*) AS n FROM run_log;
END;
