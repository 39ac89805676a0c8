-- Charges of one org by day and by the team that they belong to. Replaces its days p_start_date to p_end_date, whichever
-- pipeline wrote them, and every other day, from the first to the last one that was ever read, whose charges are newer
-- than its parts, or that has parts of a charge that is no longer there. p_rules is JSON text, written by
-- focus.allocate: `rules` in their order, with `facts` that a charge
-- must have, `shares` (teams with the ratios at which their portions begin and end) and `usage` (what is compared).
--
-- Days and teams are portions of a charge. A portion goes from one ratio to another, and costs the charge times the upper
-- one less the charge times the lower one, both rounded to twelve places; the last one ends at 1, which is the charge
-- itself with all its digits. So the portions add up to the charge exactly, whatever its length and its shares.
CREATE OR REPLACE PROCEDURE `{project_id}.organizations`.sp_unified_allocate_cost(
  IN p_org_slug STRING,
  IN p_pipeline_id STRING,
  IN p_credential_id STRING,
  IN p_run_id STRING,
  IN p_start_date DATE,
  IN p_end_date DATE,
  IN p_rules STRING
)
BEGIN
  DECLARE v_first DATE;
  DECLARE v_last DATE;
  DECLARE v_days ARRAY<DATE>;

  ASSERT p_start_date <= p_end_date AS 'the range of dates ends before it starts';

  SET v_first = (
    SELECT LEAST(p_start_date, COALESCE(MIN(usage_date), p_start_date))
    FROM unified_cost_daily
    WHERE x_org_slug = p_org_slug
  );

  SET v_last = (
    SELECT GREATEST(p_end_date, COALESCE(MAX(usage_date), p_end_date))
    FROM unified_cost_daily
    WHERE x_org_slug = p_org_slug
  );

  CREATE TEMP TABLE stale_days AS
  WITH read_days AS (
    SELECT usage_date, MIN(x_ingested_at) AS read_at
    FROM unified_cost_daily
    WHERE x_org_slug = p_org_slug
    GROUP BY usage_date
  ),
  charged AS (
    SELECT begins_on, ends_on, MAX(charged_at) AS charged_at
    FROM (
      SELECT
        DATE(ChargePeriodStart) AS begins_on,
        GREATEST(DATE(TIMESTAMP_SUB(ChargePeriodEnd, INTERVAL 1 SECOND)), DATE(ChargePeriodStart)) AS ends_on,
        x_ingested_at AS charged_at
      FROM cost_data_standard_1_3
      WHERE x_org_slug = p_org_slug
    )
    GROUP BY begins_on, ends_on
  )
  SELECT day
  FROM charged
  JOIN UNNEST(GENERATE_DATE_ARRAY(v_first, v_last)) AS day ON day BETWEEN charged.begins_on AND charged.ends_on
  LEFT JOIN read_days ON read_days.usage_date = day
  WHERE read_days.read_at IS NULL
    -- charges have the engine's time, parts the warehouse's: two clocks
    OR charged.charged_at >= TIMESTAMP_SUB(read_days.read_at, INTERVAL 10 MINUTE)
  UNION DISTINCT
  SELECT part.usage_date
  FROM unified_cost_daily AS part
  LEFT JOIN (
    SELECT DISTINCT
      x_pipeline_run_date AS charge_date, COALESCE(x_Provider, '') AS provider, COALESCE(x_ChargeId, '') AS charge_id,
      COALESCE(x_credential_id, '') AS credential_id
    FROM cost_data_standard_1_3
    WHERE x_org_slug = p_org_slug
  ) AS charge
    ON charge.charge_date = part.charge_date AND charge.provider = part.provider
    AND charge.charge_id = COALESCE(part.charge_id, '')
    AND charge.credential_id = COALESCE(part.source_credential_id, '')
  WHERE part.x_org_slug = p_org_slug AND charge.charge_date IS NULL;

  SET v_days = (
    SELECT ARRAY_AGG(DISTINCT day)
    FROM (
      SELECT day FROM UNNEST(GENERATE_DATE_ARRAY(p_start_date, p_end_date)) AS day
      UNION ALL
      SELECT day FROM stale_days
    )
  );

  SET v_first = (SELECT MIN(day) FROM UNNEST(v_days) AS day);

  SET v_last = (SELECT MAX(day) FROM UNNEST(v_days) AS day);

  CREATE TEMP TABLE rules AS
  SELECT
    CAST(JSON_VALUE(each, '$.number') AS INT64) AS rule_number,
    JSON_VALUE(each, '$.name') AS rule,
    JSON_VALUE(each, '$.method') AS method,
    JSON_VALUE(each, '$.team') AS team,
    JSON_VALUE(each, '$.field') AS field,
    CAST(JSON_VALUE(each, '$.from') AS DATE) AS first_day,
    CAST(JSON_VALUE(each, '$.to') AS DATE) AS last_day,
    ARRAY_LENGTH(JSON_EXTRACT_ARRAY(each, '$.facts')) AS wanted,
    each AS rule_json
  FROM UNNEST(JSON_EXTRACT_ARRAY(p_rules, '$.rules')) AS each;

  CREATE TEMP TABLE covered AS
  SELECT
    charge.*,
    COALESCE(charge.x_Provider, '') AS of_provider,
    COALESCE(charge.SubAccountId, '') AS of_project,
    COALESCE(charge.x_hierarchy_path, '') AS of_path,
    CONCAT(COALESCE(charge.AllocatedTags, ''), COALESCE(charge.Tags, '')) AS of_tags,
    DATE(charge.ChargePeriodStart) AS begins_on,
    -- a period that ends before it starts counts as a second
    GREATEST(DATE(TIMESTAMP_SUB(charge.ChargePeriodEnd, INTERVAL 1 SECOND)), DATE(charge.ChargePeriodStart)) AS ends_on,
    CAST(GREATEST(TIMESTAMP_DIFF(charge.ChargePeriodEnd, charge.ChargePeriodStart, SECOND), 1) AS BIGNUMERIC) AS seconds
  FROM cost_data_standard_1_3 AS charge
  WHERE charge.x_org_slug = p_org_slug
    AND charge.ChargePeriodStart < TIMESTAMP(DATE_ADD(v_last, INTERVAL 1 DAY))
    AND (charge.ChargePeriodEnd > TIMESTAMP(v_first) OR charge.ChargePeriodStart >= TIMESTAMP(v_first));

  -- Charges with the same facts belong to the same teams.
  CREATE TEMP TABLE origins AS
  SELECT
    ROW_NUMBER() OVER (ORDER BY of_provider, ServiceName, BillingAccountId, of_project, of_path, of_tags) AS origin, *
  FROM (SELECT DISTINCT of_provider, ServiceName, BillingAccountId, of_project, of_path, of_tags FROM covered);

  CREATE TEMP TABLE portions AS
  SELECT
    covered.*, origins.origin, day,
    IF(
      day = begins_on, CAST(0 AS BIGNUMERIC),
      ROUND(CAST(TIMESTAMP_DIFF(TIMESTAMP(day), ChargePeriodStart, SECOND) AS BIGNUMERIC) / seconds, 15)
    ) AS low,
    IF(
      day = ends_on, CAST(1 AS BIGNUMERIC),
      ROUND(
        CAST(TIMESTAMP_DIFF(TIMESTAMP(DATE_ADD(day, INTERVAL 1 DAY)), ChargePeriodStart, SECOND) AS BIGNUMERIC) / seconds,
        15
      )
    ) AS high
  FROM covered
  JOIN origins
    ON origins.of_provider = covered.of_provider
    AND origins.ServiceName = covered.ServiceName
    AND origins.BillingAccountId = covered.BillingAccountId
    AND origins.of_project = covered.of_project
    AND origins.of_path = covered.of_path
    AND origins.of_tags = covered.of_tags
  JOIN UNNEST(v_days) AS day ON day BETWEEN begins_on AND ends_on;

  CREATE TEMP TABLE daily AS
  SELECT
    portions.* EXCEPT (BilledCost, EffectiveCost, ListCost, ContractedCost, ConsumedQuantity, low, high),
    IF(high = 1, BilledCost, ROUND(BilledCost * high, 12)) - ROUND(BilledCost * low, 12) AS billed,
    IF(high = 1, EffectiveCost, ROUND(EffectiveCost * high, 12)) - ROUND(EffectiveCost * low, 12) AS effective,
    IF(high = 1, ListCost, ROUND(ListCost * high, 12)) - ROUND(ListCost * low, 12) AS list,
    IF(high = 1, ContractedCost, ROUND(ContractedCost * high, 12)) - ROUND(ContractedCost * low, 12) AS contracted,
    IF(high = 1, ConsumedQuantity, ROUND(ConsumedQuantity * high, 12)) - ROUND(ConsumedQuantity * low, 12) AS consumed
  FROM portions;

  -- Names of tags are compared without case, signs and AWS' prefix user, as in sp_focus_assign_hierarchy. The first one
  -- counts, so AllocatedTags before Tags. A map or list is the value of its tag; what is inside is not a tag.
  CREATE TEMP TABLE facts AS
  SELECT origin, 'provider' AS field, of_provider AS value FROM origins
  UNION ALL
  SELECT origin, 'service', ServiceName FROM origins
  UNION ALL
  SELECT origin, 'account', BillingAccountId FROM origins
  UNION ALL
  SELECT origin, 'project', of_project FROM origins
  UNION ALL
  SELECT origin, 'hierarchy', of_path FROM origins WHERE of_path <> ''
  UNION ALL
  SELECT origin, CONCAT('tag:', REGEXP_REPLACE(LOWER(name), r'^user[:_]|[^a-z0-9]', '')),
    ARRAY_AGG(value ORDER BY place LIMIT 1)[OFFSET(0)]
  FROM (
    SELECT
      origin,
      place,
      JSON_VALUE(CONCAT('[', REGEXP_EXTRACT(pair, r'^("(?:[^"\\]|\\.)*")'), ']'), '$[0]') AS name,
      JSON_VALUE(CONCAT('[', REGEXP_EXTRACT(pair, r'^"(?:[^"\\]|\\.)*"\s*:\s*(.*)$'), ']'), '$[0]') AS value
    FROM origins
    CROSS JOIN UNNEST(
      REGEXP_EXTRACT_ALL(
        of_tags,
        r'"(?:[^"\\]|\\.)*"\s*:\s*(?:"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|[{\[](?:[^{}\[\]"]|"(?:[^"\\]|\\.)*"|[{\[](?:[^{}\[\]"]|"(?:[^"\\]|\\.)*")*[}\]])*[}\]])'
      )
    ) AS pair WITH OFFSET AS place
  )
  WHERE TRIM(value) <> ''
  GROUP BY 1, 2;

  -- Of each fact that a rule asks for, one of the values; without values any.
  CREATE TEMP TABLE fitting AS
  WITH asked AS (
    SELECT rule_number, JSON_VALUE(fact, '$.field') AS field, JSON_VALUE_ARRAY(fact, '$.values') AS accepted
    FROM rules
    CROSS JOIN UNNEST(JSON_EXTRACT_ARRAY(rule_json, '$.facts')) AS fact
  ),
  met AS (
    SELECT asked.rule_number, facts.origin, COUNT(*) AS n
    FROM asked
    JOIN facts
      ON facts.field = asked.field AND (ARRAY_LENGTH(asked.accepted) = 0 OR facts.value IN UNNEST(asked.accepted))
    GROUP BY asked.rule_number, facts.origin
  )
  SELECT
    rules.rule_number, rules.rule, rules.method, rules.first_day, rules.last_day, origins.origin,
    COALESCE(named.value, rules.team) AS team
  FROM rules
  CROSS JOIN origins
  LEFT JOIN met ON met.rule_number = rules.rule_number AND met.origin = origins.origin
  LEFT JOIN facts AS named ON named.origin = origins.origin AND named.field = rules.field
  WHERE COALESCE(met.n, 0) = rules.wanted AND (rules.field = '' OR named.value IS NOT NULL);

  CREATE TEMP TABLE ruled AS
  SELECT first_one.origin, first_one.day, fitting.rule_number, fitting.rule, fitting.method, fitting.team
  FROM (
    SELECT fitting.origin, day, MIN(fitting.rule_number) AS rule_number
    FROM fitting
    JOIN UNNEST(v_days) AS day
      ON day BETWEEN fitting.first_day AND fitting.last_day
    GROUP BY fitting.origin, day
  ) AS first_one
  JOIN fitting ON fitting.origin = first_one.origin AND fitting.rule_number = first_one.rule_number;

  -- What the teams used on each day, of what was given to them as a whole.
  CREATE TEMP TABLE used AS
  SELECT asked.rule_number, daily.day, ruled.team, asked.unit, SUM(daily.consumed) AS quantity
  FROM (
    SELECT
      rule_number,
      JSON_VALUE(rule_json, '$.usage.unit') AS unit,
      JSON_VALUE_ARRAY(rule_json, '$.usage.providers') AS providers,
      JSON_VALUE_ARRAY(rule_json, '$.usage.services') AS services
    FROM rules
    WHERE method = 'usage'
  ) AS asked
  JOIN daily
    ON daily.ConsumedUnit = asked.unit
    AND (ARRAY_LENGTH(asked.providers) = 0 OR daily.of_provider IN UNNEST(asked.providers))
    AND (ARRAY_LENGTH(asked.services) = 0 OR daily.ServiceName IN UNNEST(asked.services))
  JOIN ruled ON ruled.origin = daily.origin AND ruled.day = daily.day AND ruled.method IN ('team', 'tag', 'hierarchy')
  GROUP BY asked.rule_number, daily.day, ruled.team, asked.unit
  HAVING SUM(daily.consumed) > 0;

  CREATE TEMP TABLE given AS
  SELECT
    rules.rule_number, day, JSON_VALUE(share, '$.team') AS team,
    CAST(JSON_VALUE(share, '$.low') AS BIGNUMERIC) AS low,
    CAST(JSON_VALUE(share, '$.high') AS BIGNUMERIC) AS high,
    CAST(NULL AS STRING) AS usage_unit,
    CAST(NULL AS BIGNUMERIC) AS usage_quantity
  FROM rules
  CROSS JOIN UNNEST(JSON_EXTRACT_ARRAY(rule_json, '$.shares')) AS share
  CROSS JOIN UNNEST(v_days) AS day
  UNION ALL
  SELECT
    rule_number, day, team,
    ROUND((up_to - share) / everything, 15),
    IF(up_to = everything, CAST(1 AS BIGNUMERIC), ROUND(up_to / everything, 15)),
    unit, quantity
  FROM (
    SELECT
      sized.*,
      SUM(share) OVER (PARTITION BY rule_number, day) AS everything,
      SUM(share) OVER (PARTITION BY rule_number, day ORDER BY team ROWS UNBOUNDED PRECEDING) AS up_to
    FROM (
      SELECT
        used.*,
        -- The embedded warehouse divides numbers of up to eleven digits before the point and has 18 behind it: a power of
        -- ten brings the day's largest quantity between 0.1 and 1,000,000.
        quantity * CASE
          WHEN largest >= 10000000000000 THEN BIGNUMERIC '0.00000000000001'
          WHEN largest >= 1000000 THEN BIGNUMERIC '0.0000001'
          WHEN largest >= BIGNUMERIC '0.1' THEN BIGNUMERIC '1'
          WHEN largest >= BIGNUMERIC '0.00000001' THEN BIGNUMERIC '10000000'
          WHEN largest >= BIGNUMERIC '0.000000000000001' THEN BIGNUMERIC '100000000000000'
          ELSE BIGNUMERIC '100000000000000000'
        END AS share
      FROM (SELECT used.*, MAX(quantity) OVER (PARTITION BY rule_number, day) AS largest FROM used) AS used
    ) AS sized
  );

  DELETE FROM unified_cost_daily
  WHERE x_org_slug = p_org_slug AND x_pipeline_run_date IN UNNEST(v_days);

  INSERT INTO unified_cost_daily (
    usage_date, provider, service, model, charge_kind, charge_category, account_id, project_id, project_name, user_id,
    api_key_id, tags, hierarchy_node_id, hierarchy_path, team, allocation_rule, allocation_method, allocation_ratio,
    allocation_usage_unit, allocation_usage_quantity, quantity, unit, billed_cost, effective_cost, list_cost,
    contracted_cost, currency, charge_id, charge_date, source_credential_id,
    x_org_slug, x_pipeline_id, x_credential_id, x_pipeline_run_date, x_run_id, x_ingested_at, x_ingestion_date
  )
  WITH portion AS (
    SELECT rule_number, day, team, low, high, usage_unit, usage_quantity FROM given
    UNION ALL
    -- what the shares leave
    SELECT rule_number, day, NULL, MAX(high), CAST(1 AS BIGNUMERIC), NULL, NULL
    FROM given
    GROUP BY rule_number, day
    HAVING MAX(high) < 1
  ),
  parts AS (
    SELECT
      daily.*, ruled.rule, ruled.method, IF(ruled.method IN ('share', 'usage'), portion.team, ruled.team) AS team,
      COALESCE(portion.low, CAST(0 AS BIGNUMERIC)) AS low,
      COALESCE(portion.high, CAST(1 AS BIGNUMERIC)) AS high,
      portion.usage_unit, portion.usage_quantity
    FROM daily
    LEFT JOIN ruled ON ruled.origin = daily.origin AND ruled.day = daily.day
    LEFT JOIN portion ON portion.rule_number = ruled.rule_number AND portion.day = daily.day
  )
  SELECT
    day, of_provider, ServiceName, COALESCE(x_Model, SkuMeter, ChargeDescription, ''), x_ChargeKind, ChargeCategory,
    BillingAccountId, SubAccountId, SubAccountName, x_UserId,
    x_ApiKeyId, Tags, x_hierarchy_node_id, x_hierarchy_path, team, rule, method, high - low,
    usage_unit, usage_quantity,
    IF(high = 1, consumed, ROUND(consumed * high, 12)) - ROUND(consumed * low, 12),
    ConsumedUnit,
    IF(high = 1, billed, ROUND(billed * high, 12)) - ROUND(billed * low, 12),
    IF(high = 1, effective, ROUND(effective * high, 12)) - ROUND(effective * low, 12),
    IF(high = 1, list, ROUND(list * high, 12)) - ROUND(list * low, 12),
    IF(high = 1, contracted, ROUND(contracted * high, 12)) - ROUND(contracted * low, 12),
    BillingCurrency, x_ChargeId, x_pipeline_run_date, x_credential_id,
    p_org_slug, p_pipeline_id, p_credential_id, day, p_run_id, CURRENT_TIMESTAMP(), CURRENT_DATE()
  FROM parts;

  SELECT
    COALESCE(allocation_rule, '') AS rule, currency, COUNT(*) AS n, SUM(billed_cost) AS cost,
    SUM(IF(team IS NULL, billed_cost, CAST(0 AS BIGNUMERIC))) AS unallocated
  FROM unified_cost_daily
  WHERE x_org_slug = p_org_slug AND x_pipeline_run_date IN UNNEST(v_days)
  GROUP BY rule, currency
  ORDER BY rule, currency;
END;
