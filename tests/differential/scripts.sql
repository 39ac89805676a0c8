-- Scripts, divided by lines of four dashes; the last SELECT is compared. See test_differential.py.
DECLARE a, b INT64 DEFAULT 2;
DECLARE c STRING;
DECLARE d DEFAULT DATE '2026-01-31';
SELECT a, b, c, d;
----
DECLARE a, b INT64;
SET a = 1;
SET (a, b) = (a + 1, a + 2);
SELECT a, b;
----
DECLARE n INT64 DEFAULT 2;
IF n = 1 THEN SELECT 'one';
ELSEIF n = 2 THEN SELECT 'two';
ELSE SELECT 'many';
END IF;
----
DECLARE n INT64 DEFAULT 2;
DECLARE found STRING DEFAULT '';
CASE n WHEN 1 THEN SET found = 'one'; WHEN 2 THEN SET found = 'two'; END CASE;
SELECT found;
----
DECLARE i, total INT64 DEFAULT 0;
WHILE i < 5 DO
  SET i = i + 1;
  IF MOD(i, 2) = 0 THEN CONTINUE; END IF;
  SET total = total + i;
END WHILE;
SELECT i, total;
----
DECLARE i INT64 DEFAULT 0;
LOOP
  SET i = i + 1;
  IF i >= 3 THEN LEAVE; END IF;
END LOOP;
SELECT i;
----
DECLARE i INT64 DEFAULT 5;
REPEAT SET i = i - 1; UNTIL i <= 3 END REPEAT;
SELECT i;
----
DECLARE text STRING DEFAULT '';
FOR row IN (SELECT x AS name FROM UNNEST(['a', 'b']) AS x ORDER BY x) DO
  SET text = CONCAT(text, row.name);
END FOR;
SELECT text;
----
DECLARE message STRING;
BEGIN
  SELECT ERROR('stop');
EXCEPTION WHEN ERROR THEN
  SET message = 'caught';
END;
SELECT message;
----
BEGIN
  RAISE USING MESSAGE = 'mine';
EXCEPTION WHEN ERROR THEN
  SELECT @@error.message;
END;
----
DECLARE total, lines INT64;
EXECUTE IMMEDIATE 'SELECT SUM(i), COUNT(*) FROM d.t WHERE i >= @lo' INTO total, lines USING 1 AS lo;
SELECT total, lines;
----
DECLARE total INT64;
EXECUTE IMMEDIATE 'SELECT SUM(i) FROM d.t WHERE i >= ? AND i < ?' INTO total USING 1, 2;
SELECT total;
----
CREATE TEMP TABLE picked AS SELECT i FROM d.t;
SELECT SUM(i) FROM picked;
----
CREATE OR REPLACE TABLE d.w (id INT64, cost NUMERIC);
INSERT INTO d.w VALUES (1, 1.5), (2, 2), (3, 3);
UPDATE d.w SET cost = cost / 3 WHERE id > 1;
DELETE FROM d.w WHERE id = 3;
SELECT id, cost FROM d.w ORDER BY id;
----
CREATE OR REPLACE TABLE d.w (id INT64, cost NUMERIC);
INSERT INTO d.w VALUES (1, 1.5), (2, 2);
MERGE d.w AS t USING (SELECT 2 AS id, NUMERIC '7' AS cost UNION ALL SELECT 9, 9) AS s ON t.id = s.id
WHEN MATCHED THEN UPDATE SET cost = s.cost
WHEN NOT MATCHED THEN INSERT (id, cost) VALUES (s.id, s.cost)
WHEN NOT MATCHED BY SOURCE THEN DELETE;
SELECT id, cost FROM d.w ORDER BY id;
----
CREATE OR REPLACE TABLE d.w (id INT64);
BEGIN TRANSACTION;
INSERT INTO d.w VALUES (1);
ROLLBACK TRANSACTION;
BEGIN TRANSACTION;
INSERT INTO d.w VALUES (2);
COMMIT TRANSACTION;
SELECT id FROM d.w;
----
CREATE OR REPLACE TABLE d.w (id INT64);
INSERT INTO d.w VALUES (1), (2), (3);
SELECT @@row_count;
----
CREATE OR REPLACE TABLE d.w (id INT64, old STRING);
ALTER TABLE d.w ADD COLUMN IF NOT EXISTS note STRING;
ALTER TABLE d.w RENAME COLUMN old TO new;
INSERT INTO d.w (id, new, note) VALUES (1, 'a', 'b');
SELECT * FROM d.w;
----
DECLARE v NUMERIC DEFAULT 10;
DECLARE shares ARRAY<NUMERIC> DEFAULT [NUMERIC '0.1', NUMERIC '0.2'];
SELECT v / 3, (SELECT SUM(s * v) FROM UNNEST(shares) AS s), ARRAY_LENGTH(shares);
----
ASSERT (SELECT COUNT(*) FROM d.t) = 2 AS 'two rows';
SELECT 'passed';
----
ASSERT 1 = 2 AS 'never';
SELECT 'passed';
