-- The transaction is still open in the handler: what was done before the error is kept, by COMMIT there.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_commit_in_handler()
BEGIN
  BEGIN
    BEGIN TRANSACTION;
    INSERT INTO run_log (message, x_pipeline_run_date) VALUES ('before', DATE '2026-01-01');
    RAISE USING MESSAGE = 'half';
    INSERT INTO run_log (message, x_pipeline_run_date) VALUES ('never', DATE '2026-01-01');
    COMMIT TRANSACTION;
  EXCEPTION WHEN ERROR THEN
    INSERT INTO run_log (message, x_pipeline_run_date) VALUES (@@error.message, DATE '2026-01-01');
    COMMIT TRANSACTION;
  END;
  SELECT message FROM run_log ORDER BY message;
END;
