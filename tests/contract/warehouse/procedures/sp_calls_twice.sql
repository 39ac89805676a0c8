-- Two calls of a procedure whose names are the caller's names too.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_calls_twice(p_dataset_id STRING, p_model STRING)
BEGIN
  DECLARE v_rows INT64 DEFAULT 77;
  DECLARE v_total INT64 DEFAULT 1;
  DECLARE v_found, v_none BOOL;
  CALL `{project_id}.organizations`.sp_inner_total(p_dataset_id, CONCAT(p_model, ''), v_total, v_found);
  CALL organizations.sp_inner_total(p_dataset_id, 'no such model', v_total, v_none);
  SELECT v_rows AS own_rows, v_total AS total, v_found AS found, v_none AS none, p_model AS model;
END;
