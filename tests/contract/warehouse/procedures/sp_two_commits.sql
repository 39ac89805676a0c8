-- Two transactions, a write between them, and counts that are read behind a COMMIT.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_two_commits(p_project_id STRING, p_dataset_id STRING)
BEGIN
  DECLARE v_deleted, v_added INT64;
  BEGIN TRANSACTION;
  EXECUTE IMMEDIATE FORMAT('DELETE FROM `%s.%s.cost_daily` WHERE TRUE', p_project_id, p_dataset_id);
  COMMIT TRANSACTION;
  SET v_deleted = @@row_count;
  INSERT INTO run_log (message, x_pipeline_run_date)
  SELECT m, DATE '2026-01-01' FROM UNNEST(['a', 'b', 'c']) AS m;
  SET v_added = @@row_count;
  BEGIN TRANSACTION;
  UPDATE run_log SET message = CONCAT(message, '!') WHERE message < 'c';
  COMMIT TRANSACTION;
  SELECT v_deleted AS deleted, v_added AS added, @@row_count AS updated;
END;
