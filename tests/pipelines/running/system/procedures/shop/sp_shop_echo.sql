CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_shop_echo(IN p_text STRING, IN p_day DATE)
BEGIN
  SELECT p_text AS text, p_day AS day, LAST_DAY(p_day) AS last_day;
END;
