CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_day_log(
  IN p_project_id STRING, IN p_dataset_id STRING, IN p_run_id STRING, IN p_day DATE
)
OPTIONS (strict_mode = FALSE)
BEGIN
  DECLARE v_org STRING DEFAULT REGEXP_REPLACE(p_dataset_id, r'_(prod|stage|dev)$', '');
  DECLARE v_plan STRING;
  DECLARE v_teams, v_tables INT64;

  ASSERT p_day IS NOT NULL AS 'the day is missing';
  INSERT INTO `{project_id}.organizations.org_meta_step_logs` (run_id, step_id, status, event_time)
  VALUES (p_run_id, 'sp_day_log', 'started', CURRENT_TIMESTAMP());

  BEGIN TRANSACTION;
  EXECUTE IMMEDIATE FORMAT("""
    SELECT CONCAT(p.org_slug, ' ', s.plan), (SELECT COUNT(*) FROM `%s.organizations.org_hierarchy`)
    FROM `%s.organizations.org_profiles` AS p
    JOIN `%s.organizations.org_subscriptions` AS s ON s.org_slug = p.org_slug
    WHERE p.org_slug = @org
  """, p_project_id, p_project_id, p_project_id) INTO v_plan, v_teams USING v_org AS org;
  EXECUTE IMMEDIATE FORMAT("""
    SELECT COUNT(*) FROM `%s.%s.__TABLES__` WHERE table_id = 'org_meta_dq_results'
  """, p_project_id, p_dataset_id) INTO v_tables;
  EXECUTE IMMEDIATE FORMAT("""
    INSERT INTO `%s.organizations.org_meta_dq_results`
      (check_name, check_type, table_name, status, on_fail, step_id, rows_checked, rows_failed, checked_at,
       x_pipeline_run_date)
    VALUES (@plan, 'custom_sql', 'org_profiles', IF(@tables = 1, 'passed', 'failed'), 'warn', 'log_the_day', 1, 0,
      CURRENT_TIMESTAMP(), @day)
  """, p_project_id) USING v_plan AS plan, v_tables AS tables, p_day AS day;
  COMMIT TRANSACTION;

  UPDATE `{project_id}.organizations.org_meta_step_logs` SET status = 'completed', rows_written = v_teams
  WHERE run_id = p_run_id AND step_id = 'sp_day_log';
  CALL `{project_id}.organizations`.sp_log_day(p_day);
  SELECT v_plan AS plan, v_teams AS teams;

  EXCEPTION WHEN ERROR THEN
    ROLLBACK TRANSACTION;
    INSERT INTO `{project_id}.organizations.org_meta_step_logs` (run_id, step_id, status, error, event_time)
    VALUES (p_run_id, 'sp_day_log', 'failed', @@error.message, CURRENT_TIMESTAMP());
    RAISE USING MESSAGE = FORMAT('sp_day_log: %s', @@error.message);
END;
