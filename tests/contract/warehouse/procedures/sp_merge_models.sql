-- MERGE with all its clauses.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_merge_models(p_project_id STRING, p_dataset_id STRING)
BEGIN
  EXECUTE IMMEDIATE FORMAT("""
    MERGE `%s.%s.cost_daily` AS t
    USING (SELECT day, model, SUM(price) AS price FROM `%s.%s.usage_raw` GROUP BY day, model) AS s
    ON t.day = s.day AND t.model = s.model
    WHEN MATCHED THEN UPDATE SET cost = s.price, note = 'merged'
    WHEN NOT MATCHED THEN INSERT (day, model, cost, note, x_pipeline_run_date)
      VALUES (s.day, s.model, s.price, 'new', s.day)
    WHEN NOT MATCHED BY SOURCE THEN DELETE
  """, p_project_id, p_dataset_id, p_project_id, p_dataset_id);
  SELECT model, cost, note FROM cost_daily ORDER BY day, model;
END;
