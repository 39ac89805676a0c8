-- The text of a statement waits in one variable, again and again.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_text_in_variable(p_dataset_id STRING, p_note STRING)
BEGIN
  DECLARE v_sql STRING;
  DECLARE v_target STRING;
  SET v_target = FORMAT('`%s`.cost_daily', p_dataset_id);
  SET v_sql = CONCAT('DELETE FROM ', v_target, ' WHERE note = @note');
  EXECUTE IMMEDIATE v_sql USING p_note AS note;
  SET v_sql = 'INSERT INTO ' || v_target || ' (day, model, cost, note, x_pipeline_run_date)'
    || ' SELECT day, model, price, @note, day FROM `' || p_dataset_id || '`.usage_raw';
  EXECUTE IMMEDIATE v_sql USING p_note AS note;
  EXECUTE IMMEDIATE FORMAT('SELECT model, cost, note FROM %s ORDER BY day, model', v_target);
END;
