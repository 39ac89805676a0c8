-- Loops with DML that takes variables.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_loops(p_dataset_id STRING, p_times INT64)
BEGIN
  DECLARE i INT64 DEFAULT 0;
  FOR each IN (SELECT model, SUM(tokens) AS tokens FROM usage_raw GROUP BY model ORDER BY model) DO
    EXECUTE IMMEDIATE FORMAT('INSERT INTO `%s`.run_log (message, x_pipeline_run_date) VALUES (@text, @day)',
      p_dataset_id) USING CONCAT(each.model, ' ', CAST(each.tokens AS STRING)) AS text, DATE '2026-01-01' AS day;
  END FOR;
  WHILE TRUE DO
    SET i = i + 1;
    IF i > p_times THEN
      BREAK;
    END IF;
    INSERT INTO run_log (message, x_pipeline_run_date) VALUES (CONCAT('round ', CAST(i AS STRING)), DATE '2026-01-01');
  END WHILE;
  SELECT STRING_AGG(message, ', ' ORDER BY message) AS log FROM run_log;
END;
