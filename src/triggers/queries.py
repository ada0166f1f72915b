"""The SQL of the checks. It runs as it stands in `psql` and in `sqlite3`: CELERY_TRIGGERS.md shows it word for word.

`since` is a view of one row (`day`, `week`, `month`), for the two databases have no arithmetic of dates in common; what
happened in the same minute has the same first 16 characters. Runs that waited for a time, a person or a child are left
out where the time of a run counts: nobody holds a request open for them. So are children, whose parents count.
"""

EXECUTION_TIME = """
SELECT w.name AS workflow,
       w.id AS workflow_id,
       COUNT(*) AS runs,
       MAX(CASE WHEN r.place = (r.runs * 95 + 99) / 100 THEN r.execution_time END) AS p95_seconds,
       MAX(r.execution_time) AS max_seconds,
       MAX(r.execution_time) / {limit} AS max_share_of_limit,
       SUM(CASE WHEN r.execution_time > {threshold} THEN 1 ELSE 0 END) AS runs_over
FROM (
    SELECT e.workflow_id,
           e.execution_time,
           ROW_NUMBER() OVER (PARTITION BY e.workflow_id ORDER BY e.execution_time) AS place,
           COUNT(*) OVER (PARTITION BY e.workflow_id) AS runs
    FROM executions AS e
    WHERE e.created_at >= (SELECT month FROM since)
      AND e.execution_time IS NOT NULL
      AND e.parent_id IS NULL
      AND NOT EXISTS (SELECT 1 FROM chain_of_work AS c WHERE c.execution_id = e.id AND c.status = 'waiting')
) AS r
JOIN workflows AS w ON w.id = r.workflow_id
GROUP BY w.name, w.id
ORDER BY max_seconds DESC
"""

EXECUTION_TIME_RUNS = """
SELECT e.id, e.workflow_id, e.execution_time
FROM executions AS e
WHERE e.created_at >= (SELECT month FROM since)
  AND e.execution_time > {threshold}
  AND e.parent_id IS NULL
  AND NOT EXISTS (SELECT 1 FROM chain_of_work AS c WHERE c.execution_id = e.id AND c.status = 'waiting')
ORDER BY e.execution_time DESC
LIMIT 20
"""

CLIENTS = """
WITH runs AS (
    SELECT COALESCE(e.client_id, 0) AS client, e.started_at, e.completed_at
    FROM executions AS e
    WHERE e.created_at >= (SELECT month FROM since)
      AND e.started_at IS NOT NULL
      AND e.completed_at IS NOT NULL
      AND e.parent_id IS NULL
      AND NOT EXISTS (SELECT 1 FROM chain_of_work AS c WHERE c.execution_id = e.id AND c.status = 'waiting')
), changes AS (
    SELECT client, started_at AS at, 1 AS change FROM runs
    UNION ALL
    SELECT client, completed_at AS at, -1 AS change FROM runs
), counted AS (
    SELECT at, change,
           SUM(change) OVER (ORDER BY at, change DESC ROWS UNBOUNDED PRECEDING) AS runs_now,
           SUM(change) OVER (PARTITION BY client ORDER BY at, change DESC ROWS UNBOUNDED PRECEDING) AS runs_of_client
    FROM changes
), active AS (
    SELECT runs_now,
           SUM(CASE WHEN change = 1 AND runs_of_client = 1 THEN 1
                    WHEN change = -1 AND runs_of_client = 0 THEN -1
                    ELSE 0 END) OVER (ORDER BY at, change DESC ROWS UNBOUNDED PRECEDING) AS clients_now
    FROM counted
), minutes AS (
    SELECT COUNT(DISTINCT client) AS clients FROM runs GROUP BY SUBSTR(CAST(started_at AS VARCHAR), 1, 16)
)
SELECT COALESCE(MAX(clients_now), 0) AS clients_at_once,
       COALESCE(MAX(runs_now), 0) AS runs_at_once,
       COALESCE((SELECT MAX(clients) FROM minutes), 0) AS clients_in_one_minute,
       (SELECT COUNT(*) FROM clients WHERE is_active = true) AS active_clients
FROM active
"""

CLIENTS_RUNS = """
SELECT e.id, e.client_id, e.started_at, e.completed_at
FROM executions AS e
JOIN (
    SELECT SUBSTR(CAST(started_at AS VARCHAR), 1, 16) AS minute, COUNT(DISTINCT COALESCE(client_id, 0)) AS clients
    FROM executions
    WHERE created_at >= (SELECT month FROM since) AND started_at IS NOT NULL AND parent_id IS NULL
    GROUP BY SUBSTR(CAST(started_at AS VARCHAR), 1, 16)
    ORDER BY clients DESC
    LIMIT 1
) AS busiest ON SUBSTR(CAST(e.started_at AS VARCHAR), 1, 16) = busiest.minute
WHERE e.created_at >= (SELECT month FROM since) AND e.parent_id IS NULL
ORDER BY e.started_at
LIMIT 20
"""

TIMEOUTS = """
SELECT COUNT(*) AS runs,
       COALESCE(SUM(timed_out), 0) AS timed_out,
       COALESCE(SUM(handed_off), 0) AS handed_off,
       COALESCE(SUM(hung_up), 0) AS hung_up,
       COALESCE(SUM(CASE WHEN handed_off + hung_up > 0 THEN 1 ELSE 0 END), 0) AS not_answered,
       COALESCE(100.0 * SUM(CASE WHEN timed_out + handed_off + hung_up > 0 THEN 1 ELSE 0 END) / COUNT(*), 0) AS percent
FROM (
    SELECT CASE WHEN e.error ->> 'type' LIKE '%Timeout%' THEN 1 ELSE 0 END AS timed_out,
           CASE WHEN EXISTS (SELECT 1 FROM execution_events AS v
                             WHERE v.execution_id = e.id AND v.kind = 'handed_off'
                               AND v.data ->> 'reason' IN ('budget', 'forecast')) THEN 1 ELSE 0 END AS handed_off,
           CASE WHEN EXISTS (SELECT 1 FROM execution_events AS v
                             WHERE v.execution_id = e.id AND v.kind = 'hung_up') THEN 1 ELSE 0 END AS hung_up
    FROM executions AS e
    WHERE e.created_at >= (SELECT month FROM since) AND e.parent_id IS NULL
) AS r
"""

TIMEOUTS_RUNS = """
SELECT e.id, e.workflow_id, e.execution_time, e.error ->> 'type' AS error_type
FROM executions AS e
WHERE e.created_at >= (SELECT month FROM since)
  AND e.parent_id IS NULL
  AND (e.error ->> 'type' LIKE '%Timeout%'
       OR EXISTS (SELECT 1 FROM execution_events AS v
                  WHERE v.execution_id = e.id
                    AND (v.kind = 'hung_up'
                         OR v.kind = 'handed_off' AND v.data ->> 'reason' IN ('budget', 'forecast'))))
ORDER BY e.id DESC
LIMIT 20
"""

SCHEDULES = """
WITH starts AS (
    SELECT e.workflow_id,
           SUBSTR(CAST(e.created_at AS VARCHAR), 12, 5) AS minute,
           COUNT(*) AS runs,
           COUNT(DISTINCT SUBSTR(CAST(e.created_at AS VARCHAR), 1, 10)) AS days
    FROM executions AS e
    WHERE e.created_at >= (SELECT month FROM since) AND e.schedule_id IS NULL AND e.parent_id IS NULL
    GROUP BY e.workflow_id, SUBSTR(CAST(e.created_at AS VARCHAR), 12, 5)
), by_the_clock AS (
    SELECT workflow_id, SUM(runs) AS runs
    FROM starts
    GROUP BY workflow_id
    HAVING SUM(CASE WHEN days >= 5 THEN runs ELSE 0 END) * 10 >= SUM(runs) * 8 AND COUNT(*) <= 96
), scheduled AS (
    SELECT e.workflow_id,
           COUNT(*) AS runs,
           SUM(CASE WHEN SUBSTR(CAST(e.started_at AS VARCHAR), 1, 16) > SUBSTR(CAST(e.fire_at AS VARCHAR), 1, 16)
                    THEN 1 ELSE 0 END) AS late
    FROM executions AS e
    WHERE e.created_at >= (SELECT month FROM since) AND e.fire_at IS NOT NULL
    GROUP BY e.workflow_id
), missed AS (
    SELECT workflow_id, COUNT(*) AS schedules
    FROM schedules
    WHERE enabled AND last_skipped_for = 'missed' AND last_skipped_at >= (SELECT month FROM since)
    GROUP BY workflow_id
)
SELECT 'started by a clock elsewhere' AS need, w.name AS workflow, w.id AS workflow_id, b.runs AS runs, 1 AS unmet
FROM by_the_clock AS b JOIN workflows AS w ON w.id = b.workflow_id
UNION ALL
SELECT CASE WHEN s.late * 20 >= s.runs AND s.late > 0 THEN 'scheduled, late' ELSE 'scheduled, on time' END,
       w.name, w.id, s.runs, CASE WHEN s.late * 20 >= s.runs AND s.late > 0 THEN 1 ELSE 0 END
FROM scheduled AS s JOIN workflows AS w ON w.id = s.workflow_id
UNION ALL
SELECT 'scheduled, missed', w.name, w.id, m.schedules, 1
FROM missed AS m JOIN workflows AS w ON w.id = m.workflow_id
ORDER BY unmet DESC, workflow, need
"""

SCHEDULES_RUNS = """
SELECT e.id, e.workflow_id, e.fire_at, e.started_at
FROM executions AS e
WHERE e.created_at >= (SELECT month FROM since)
  AND e.fire_at IS NOT NULL
  AND SUBSTR(CAST(e.started_at AS VARCHAR), 1, 16) > SUBSTR(CAST(e.fire_at AS VARCHAR), 1, 16)
ORDER BY e.id DESC
LIMIT 20
"""

FAILURES = """
SELECT COALESCE(e.error ->> 'class', 'unknown') AS error_class,
       COALESCE(e.error ->> 'type', 'unknown') AS error_type,
       COUNT(*) AS runs,
       SUM(CASE WHEN e.error ->> 'class' = 'transient'
                 AND NOT EXISTS (SELECT 1 FROM chain_of_work AS c
                                 WHERE c.execution_id = e.id AND c.status = 'retry')
                THEN 1 ELSE 0 END) AS never_tried_again,
       100.0 * COUNT(*) / MAX(a.runs) AS percent
FROM executions AS e
CROSS JOIN (
    SELECT COUNT(*) AS runs
    FROM executions
    WHERE created_at >= (SELECT month FROM since) AND parent_id IS NULL AND status IN ('completed', 'failed')
) AS a
WHERE e.created_at >= (SELECT month FROM since) AND e.parent_id IS NULL AND e.status = 'failed'
GROUP BY COALESCE(e.error ->> 'class', 'unknown'), COALESCE(e.error ->> 'type', 'unknown')
ORDER BY runs DESC
"""

FAILURES_RUNS = """
SELECT e.id, e.workflow_id, e.error ->> 'class' AS error_class, e.error ->> 'type' AS error_type
FROM executions AS e
WHERE e.created_at >= (SELECT month FROM since) AND e.parent_id IS NULL AND e.status = 'failed'
ORDER BY e.id DESC
LIMIT 20
"""

HISTORY = """
SELECT COUNT(*) AS runs,
       COALESCE(SUM(waited), 0) AS waited,
       MAX(CASE WHEN waited = 0 AND place = (timed * 50 + 99) / 100 THEN seconds END) AS p50_seconds,
       MAX(CASE WHEN waited = 0 AND place = (timed * 95 + 99) / 100 THEN seconds END) AS p95_seconds,
       MAX(CASE WHEN waited = 0 THEN seconds END) AS max_seconds,
       COALESCE(SUM(CASE WHEN waited = 0 AND seconds > {threshold} THEN 1 ELSE 0 END), 0) AS runs_over,
       COALESCE(SUM(handed_off), 0) AS handed_off,
       COALESCE(SUM(hung_up), 0) AS hung_up
FROM (
    SELECT e.execution_time AS seconds,
           e.waited,
           ROW_NUMBER() OVER (PARTITION BY e.waited ORDER BY e.execution_time) AS place,
           COUNT(e.execution_time) OVER (PARTITION BY e.waited) AS timed,
           CASE WHEN EXISTS (SELECT 1 FROM execution_events AS v
                             WHERE v.execution_id = e.id AND v.kind = 'handed_off'
                               AND v.data ->> 'reason' IN ('budget', 'forecast')) THEN 1 ELSE 0 END AS handed_off,
           CASE WHEN EXISTS (SELECT 1 FROM execution_events AS v
                             WHERE v.execution_id = e.id AND v.kind = 'hung_up') THEN 1 ELSE 0 END AS hung_up
    FROM (
        SELECT x.id, x.execution_time,
               CASE WHEN EXISTS (SELECT 1 FROM chain_of_work AS c
                                 WHERE c.execution_id = x.id AND c.status = 'waiting') THEN 1 ELSE 0 END AS waited
        FROM executions AS x
        WHERE x.workflow_id = :workflow_id
          AND x.created_at >= (SELECT month FROM since)
          AND x.completed_at IS NOT NULL
          AND x.execution_time IS NOT NULL
    ) AS e
) AS r
"""
"""Of one workflow, for `advise`."""
