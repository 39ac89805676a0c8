-- An argument says which table is meant.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_by_mode(p_dataset_id STRING, p_mode STRING)
BEGIN
  DECLARE v_table, v_where STRING;
  IF UPPER(p_mode) = 'RAW' THEN
    SET v_table = 'usage_raw';
  ELSEIF p_mode IN ('daily', 'day') THEN
    SET v_table = 'cost_daily';
  ELSE
    RAISE USING MESSAGE = CONCAT('unknown mode ', p_mode);
  END IF;
  CASE p_mode
    WHEN 'raw' THEN SET v_where = 'tokens > 0';
    ELSE SET v_where = 'cost > 0';
  END CASE;
  EXECUTE IMMEDIATE FORMAT('SELECT COUNT(*) AS n FROM `%s.%s` WHERE %s', p_dataset_id, v_table, v_where);
END;
