"""Fills a ground with what years of use leave: keys by the hundred thousand, ledger entries by the million."""

from benchmarks.gateway.ground import TEAM, Ground

ENTRIES = 10_000_000
LONG_QUERY = "SET statement_timeout = 0"
FILL = """
INSERT INTO ledger_entries (at, tenant, project, key_id, reservation, action, debit, credit, amount, unit, quantity, quantity_out,
    quantity_cached, quantity_reasoning, subject, backend, plan_id, thread_id, agent, step, price_version, outcome, reason, estimated)
SELECT now() - (n %% 31536000) * interval '1 second', %s, 'p' || n %% 100, 'k' || n %% 1000, 'old/' || n / 2,
    CASE n %% 2 WHEN 0 THEN 'reserve' ELSE 'settle' END, CASE n %% 2 WHEN 0 THEN 'available' ELSE 'reserved' END,
    CASE n %% 2 WHEN 0 THEN 'reserved' ELSE 'spent' END, 0.000001, 'tokens', 100, 50, 0, 0, 'm' || n %% 10, 'plain', '', '',
    'agent-' || n %% 5, '', '2026-11-01', 'done', '', false
FROM generate_series(0, %s - 1) AS n
"""
INDEXES = """
SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'ledger_entries' AND indexdef NOT LIKE '%UNIQUE%(id)%'
"""


def fill_ledger(ground: Ground, entries: int = ENTRIES) -> None:
    """So many entries of a team, each reservation settled; the indexes are made anew afterwards, which is quicker."""
    indexes = [(str(name), str(made)) for name, made in ground.query(INDEXES)]
    for name, _ in indexes:
        ground.query(f'DROP INDEX "{name}"')
    ground.query(FILL, TEAM, entries)
    for _, made in indexes:
        ground.query(made)
    ground.query(
        "INSERT INTO ledger_uses (limit_id, window_start, used) VALUES (%s, %s, %s) "
        "ON CONFLICT (limit_id, window_start) DO UPDATE SET used = ledger_uses.used + excluded.used",
        f"budget/{TEAM}",
        "1970-01-01T00:00:00Z",
        entries / 2 * 0.000001,
    )
    ground.query("ANALYZE ledger_entries")
