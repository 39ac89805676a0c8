-- Many figures of one query go into variables; names of the table come from a default that is built from arguments.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_figures(p_project_id STRING, p_dataset_id STRING)
BEGIN
  DECLARE v_table STRING DEFAULT p_project_id || '.' || CONCAT(p_dataset_id, '.usage_raw');
  DECLARE v_rows, v_tokens, v_cheap INT64;
  DECLARE v_first, v_last DATE;
  DECLARE v_models STRING;
  EXECUTE IMMEDIATE FORMAT("""
    SELECT COUNT(*), SUM(tokens), COUNTIF(price < @limit), MIN(day), MAX(day),
      STRING_AGG(DISTINCT model, '/' ORDER BY model)
    FROM `%s` WHERE tokens >= @least
  """, v_table)
  INTO v_rows, v_tokens, v_cheap, v_first, v_last, v_models
  USING GREATEST(2, 5) AS limit, 0 + 1 AS least;
  ASSERT v_rows > 0 AS 'no usage';
  SELECT v_rows AS n, v_tokens AS tokens, v_cheap AS cheap, v_first AS first, v_last AS last, v_models AS models;
END;
