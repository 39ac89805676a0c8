CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_log_totals(IN pipeline STRING, IN project STRING, IN status STRING)
BEGIN
  ASSERT status = 'SUCCESS' AS 'only what succeeded has totals';
  SELECT pipeline, project;
END;
