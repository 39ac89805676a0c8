-- Neither COMMIT nor ROLLBACK: what was written, also by the handler, is gone when the script ends.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_swallow()
BEGIN
  BEGIN
    BEGIN TRANSACTION;
    INSERT INTO run_log (message, x_pipeline_run_date) VALUES ('work', DATE '2026-01-01');
    RAISE USING MESSAGE = 'stop';
    COMMIT TRANSACTION;
  EXCEPTION WHEN ERROR THEN
    INSERT INTO run_log (message, x_pipeline_run_date) VALUES ('handler', DATE '2026-01-01');
  END;
END;
