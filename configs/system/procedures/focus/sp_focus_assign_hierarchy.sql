-- Which part of the org a FOCUS charge belongs to: the node of its hierarchy that has the charge's key, user or project as
-- a label (api_key_id, user_id, project_id), the first of them that a node has. A value of two nodes means neither.
-- Fills the x_hierarchy_ columns of what one pipeline and credential charges from p_start_date to p_end_date, before
-- generic.focus_gate publishes it.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_focus_assign_hierarchy(
  IN p_org_slug STRING,
  IN p_pipeline_id STRING,
  IN p_credential_id STRING,
  IN p_run_id STRING,
  IN p_start_date DATE,
  IN p_end_date DATE
)
BEGIN
  IF EXISTS (SELECT 1 FROM organizations.org_hierarchy) THEN
    UPDATE cost_data_candidate_1_3 AS charge
    SET
      x_hierarchy_node_id = part.node_id,
      x_hierarchy_level = part.level,
      x_hierarchy_name = part.name,
      x_hierarchy_path = part.path
    FROM (
      WITH labelled AS (
        SELECT
          label.key AS label_key,
          label.value AS label_value,
          MIN(node.node_id) AS node_id,
          MIN(node.level) AS level,
          MIN(node.name) AS name,
          MIN(node.path) AS path
        FROM organizations.org_hierarchy AS node
        CROSS JOIN UNNEST(node.labels) AS label
        GROUP BY label_key, label_value
        HAVING COUNT(*) = 1
      ),
      origins AS (
        SELECT DISTINCT
          COALESCE(x_ApiKeyId, '') AS api_key_id,
          COALESCE(x_UserId, '') AS user_id,
          COALESCE(SubAccountId, '') AS project_id
        FROM cost_data_candidate_1_3
        WHERE x_org_slug = p_org_slug AND x_pipeline_id = p_pipeline_id AND x_credential_id = p_credential_id
          AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date
      )
      SELECT
        origins.api_key_id,
        origins.user_id,
        origins.project_id,
        COALESCE(of_key.node_id, of_user.node_id, of_project.node_id) AS node_id,
        COALESCE(of_key.level, of_user.level, of_project.level) AS level,
        COALESCE(of_key.name, of_user.name, of_project.name) AS name,
        COALESCE(of_key.path, of_user.path, of_project.path) AS path
      FROM origins
      LEFT JOIN labelled AS of_key ON of_key.label_key = 'api_key_id' AND of_key.label_value = origins.api_key_id
      LEFT JOIN labelled AS of_user ON of_user.label_key = 'user_id' AND of_user.label_value = origins.user_id
      LEFT JOIN labelled AS of_project
        ON of_project.label_key = 'project_id' AND of_project.label_value = origins.project_id
    ) AS part
    WHERE charge.x_pipeline_run_date BETWEEN p_start_date AND p_end_date
      AND charge.x_org_slug = p_org_slug
      AND charge.x_pipeline_id = p_pipeline_id
      AND charge.x_credential_id = p_credential_id
      AND COALESCE(charge.x_ApiKeyId, '') = part.api_key_id
      AND COALESCE(charge.x_UserId, '') = part.user_id
      AND COALESCE(charge.SubAccountId, '') = part.project_id
      AND part.node_id IS NOT NULL;
  END IF;

  SELECT COUNT(*) AS charges, COUNT(x_hierarchy_node_id) AS assigned
  FROM cost_data_candidate_1_3
  WHERE x_org_slug = p_org_slug AND x_pipeline_id = p_pipeline_id AND x_credential_id = p_credential_id
    AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date;
END;
