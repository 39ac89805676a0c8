-- The handler writes a log, whether or not a transaction is open there.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_log_in_handler(p_early BOOL)
BEGIN
  BEGIN
    IF p_early THEN
      RAISE USING MESSAGE = 'early';
    END IF;
    BEGIN TRANSACTION;
    INSERT INTO run_log (message, x_pipeline_run_date) VALUES ('work', DATE '2026-01-01');
    RAISE USING MESSAGE = 'late';
    COMMIT TRANSACTION;
  EXCEPTION WHEN ERROR THEN
    INSERT INTO run_log (message, x_pipeline_run_date) VALUES (@@error.message, DATE '2026-01-01');
  END;
END;
