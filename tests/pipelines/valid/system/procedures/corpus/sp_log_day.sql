CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_log_day(IN day DATE)
BEGIN
  SELECT day;
END;
