CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_inner_total(
  IN p_dataset_id STRING, IN p_model STRING, INOUT v_total INT64, OUT p_found BOOL
)
BEGIN
  DECLARE v_rows INT64 DEFAULT 0;
  DECLARE v_sum INT64 DEFAULT v_total;
  EXECUTE IMMEDIATE FORMAT('SELECT COUNT(*), COALESCE(SUM(tokens), 0) FROM `%s`.usage_raw WHERE model = @model',
    p_dataset_id) INTO v_rows, v_sum USING p_model AS model;
  SET p_found = v_rows > 0;
  IF v_rows = 0 THEN
    RETURN;
  END IF;
  SET v_total = v_total + v_sum;
END;
