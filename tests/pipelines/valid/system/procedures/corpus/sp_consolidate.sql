CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_consolidate(
  IN p_project STRING, IN p_start DATE, IN p_credential STRING, IN p_note STRING
)
BEGIN
  SELECT p_project AS project, p_start AS start, p_credential AS credential, COALESCE(p_note, 'none') AS note;
END;
