-- Which part of the org a FOCUS charge belongs to: the node of its hierarchy that has the charge's key or user as a label
-- (api_key_id, user_id), that one of its tags names (a label such as cost_center, or a level and a node's name), or that
-- has its account (project_id, account_id, sub_account_id, subscription_id); the first of them that a node has.
-- Of several tags the one of the deepest node counts. A value of two nodes means neither. Names of labels and tags are
-- compared without case, signs and AWS' prefix user.
-- Fills the x_hierarchy_ columns of the candidates from p_start_date to p_end_date: of one pipeline and credential, or
-- with p_bill_table those of a bill. generic.focus_gate calls it before it checks and publishes them.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_focus_assign_hierarchy(
  IN p_org_slug STRING,
  IN p_pipeline_id STRING,
  IN p_credential_id STRING,
  IN p_bill_table STRING,
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
      WITH named AS (
        SELECT
          REGEXP_REPLACE(LOWER(label.key), r'[^a-z0-9]', '') AS label_key,
          label.value AS label_value,
          node.node_id, node.level_number
        FROM organizations.org_hierarchy AS node
        CROSS JOIN UNNEST(node.labels) AS label
        UNION ALL
        SELECT REGEXP_REPLACE(LOWER(level), r'[^a-z0-9]', ''), name, node_id, level_number
        FROM organizations.org_hierarchy
      ),
      labelled AS (
        SELECT label_key, label_value, MIN(node_id) AS only_node, MIN(level_number) AS its_level
        FROM named
        GROUP BY label_key, label_value
        HAVING COUNT(DISTINCT node_id) = 1
      ),
      accounts AS (
        SELECT label_value, MIN(node_id) AS only_node
        FROM named
        WHERE label_key IN ('projectid', 'accountid', 'subaccountid', 'subscriptionid')
        GROUP BY label_value
        HAVING COUNT(DISTINCT node_id) = 1
      ),
      origins AS (
        SELECT DISTINCT
          COALESCE(x_ApiKeyId, '') AS api_key_id,
          COALESCE(x_UserId, '') AS user_id,
          COALESCE(SubAccountId, '') AS account_id,
          COALESCE(Tags, '') AS tags
        FROM cost_data_candidate_1_3
        WHERE x_org_slug = p_org_slug AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date
          AND IF(
            p_bill_table = '', x_pipeline_id = p_pipeline_id AND x_credential_id = p_credential_id,
            x_SourceTable = p_bill_table
          )
      ),
      pairs AS (
        SELECT
          origin.tags,
          REGEXP_REPLACE(
            LOWER(REGEXP_EXTRACT(pair, r'^"((?:[^"\\]|\\.)*)"')), r'^user[:_]|[^a-z0-9]', ''
          ) AS tag_key,
          REGEXP_EXTRACT(pair, r':\s*("(?:[^"\\]|\\.)*")$') AS tag_value
        FROM (SELECT DISTINCT tags FROM origins WHERE tags <> '') AS origin
        CROSS JOIN UNNEST(REGEXP_EXTRACT_ALL(origin.tags, r'"(?:[^"\\]|\\.)*"\s*:\s*"(?:[^"\\]|\\.)*"')) AS pair
      ),
      matches AS (
        SELECT pairs.tags, labelled.only_node AS node_id, labelled.its_level AS level_number
        FROM pairs
        JOIN labelled ON labelled.label_key = pairs.tag_key AND TO_JSON_STRING(labelled.label_value) = pairs.tag_value
      ),
      deepest AS (
        SELECT tags, MAX(level_number) AS deepest_level
        FROM matches
        GROUP BY tags
      ),
      tagged AS (
        SELECT matches.tags, MIN(matches.node_id) AS only_node
        FROM matches
        JOIN deepest ON deepest.tags = matches.tags AND deepest.deepest_level = matches.level_number
        GROUP BY matches.tags
        HAVING COUNT(DISTINCT matches.node_id) = 1
      ),
      found AS (
        SELECT
          origins.api_key_id,
          origins.user_id,
          origins.account_id,
          origins.tags,
          COALESCE(of_key.only_node, of_user.only_node, of_tag.only_node, of_account.only_node) AS node_id
        FROM origins
        LEFT JOIN labelled AS of_key ON of_key.label_key = 'apikeyid' AND of_key.label_value = origins.api_key_id
        LEFT JOIN labelled AS of_user ON of_user.label_key = 'userid' AND of_user.label_value = origins.user_id
        LEFT JOIN tagged AS of_tag ON of_tag.tags = origins.tags
        LEFT JOIN accounts AS of_account ON of_account.label_value = origins.account_id
      )
      SELECT found.api_key_id, found.user_id, found.account_id, found.tags, node.node_id, node.level, node.name, node.path
      FROM found
      JOIN organizations.org_hierarchy AS node ON node.node_id = found.node_id
    ) AS part
    WHERE charge.x_pipeline_run_date BETWEEN p_start_date AND p_end_date
      AND charge.x_org_slug = p_org_slug
      AND IF(
        p_bill_table = '', charge.x_pipeline_id = p_pipeline_id AND charge.x_credential_id = p_credential_id,
        charge.x_SourceTable = p_bill_table
      )
      AND COALESCE(charge.x_ApiKeyId, '') = part.api_key_id
      AND COALESCE(charge.x_UserId, '') = part.user_id
      AND COALESCE(charge.SubAccountId, '') = part.account_id
      AND COALESCE(charge.Tags, '') = part.tags;
  END IF;

  SELECT COUNT(*) AS charges, COUNT(x_hierarchy_node_id) AS assigned
  FROM cost_data_candidate_1_3
  WHERE x_org_slug = p_org_slug AND x_pipeline_run_date BETWEEN p_start_date AND p_end_date
    AND IF(
      p_bill_table = '', x_pipeline_id = p_pipeline_id AND x_credential_id = p_credential_id,
      x_SourceTable = p_bill_table
    );
END;
