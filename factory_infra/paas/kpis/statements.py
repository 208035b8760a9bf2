"""The rules as statements of PostgreSQL: over a batch of new events, over the edges of a window, or over the whole log to look at."""
# ruff: noqa: S608 - what stands in these statements is this package's own; every value is bound

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from factory_infra.paas.kpis.facts import DIM_MAX, numbers
from factory_infra.paas.kpis.rules import DELAYED, DISTRIBUTIONS, KINDS, NO_TEAMS, RULES, TENANT, UNREADABLE, VALUE_MAX, Rule

UPTO = "({alias}.tx, {alias}.id) <= (CAST(:tx_to AS bigint), CAST(:id_to AS bigint))"
BEFORE = "({alias}.tx, {alias}.id) <= (CAST(:tx_from AS bigint), CAST(:id_from AS bigint))"
FIELDS = "id, tx, key, tenant, kind, payload, at"
NOTHING = "SELECT ''::text AS series, ''::text AS dim, now() AS at, 0::bigint AS value, 0::numeric AS n WHERE false"


def quoted(text: str) -> str:
    """A literal."""
    return "'" + text.replace("'", "''") + "'"


def field(of: str, name: str) -> str:
    """A dim of an event."""
    if name == TENANT:
        return f"coalesce({of}tenant, '')"
    path = f"{of}payload->{quoted(name)}"
    return f"CASE jsonb_typeof({path}) WHEN 'string' THEN {of}payload->>{quoted(name)} ELSE '' END"


def number(of: str, name: str) -> str:
    """A number of an event; NULL for what cannot be one."""
    path = f"({of}payload->{quoted(name)})"
    return (
        f"CASE WHEN jsonb_typeof{path} = 'number' THEN CASE WHEN {path}::numeric BETWEEN 0 AND {VALUE_MAX} "
        f"THEN floor({path}::numeric) END END"
    )


def meets(of: str, when: Mapping[str, tuple[str, ...]]) -> list[str]:
    """That fields have one of some values."""
    kinds = "('string', 'boolean')"
    return [
        f"{of}payload->>{quoted(name)} IN ({', '.join(quoted(each) for each in values)}) "
        f"AND jsonb_typeof({of}payload->{quoted(name)}) IN {kinds}"
        for name, values in when.items()
    ]


def subject(alias: str) -> str:
    """The subject of an event: its key without the last word."""
    return f"left({alias}.key, greatest(length({alias}.key) - strpos(reverse({alias}.key), '/'), 0))"


class Names(NamedTuple):
    """How the columns of an event and of its partner begin."""

    own: str = "o."
    partner: str = "p."


JOINED = Names()
PAIRED = Names("o_", "p_")


def conditions(rule: Rule, names: Names) -> list[str]:
    """What an event, and its partner, must be."""
    own, partner = names
    found = [f"{own}kind = {quoted(rule.kind)}", *meets(own, rule.when)]
    if rule.teams:
        found.append(f"{own}tenant NOT IN ({', '.join(quoted(each) for each in NO_TEAMS)})")
    if rule.partner:
        early, late = (partner, own) if rule.partner_before else (own, partner)
        found += [f"{partner}kind = {quoted(rule.partner)}", f"{early}at <= {late}at", *meets(partner, rule.partner_when)]
        if rule.partner_seconds:
            found.append(f"{late}at <= {early}at + interval '{rule.partner_seconds} seconds'")
    if rule.value:
        found.append(f"{number(partner if rule.from_partner else own, rule.value)} IS NOT NULL")
    return found


def arm(rule: Rule, sources: str, extra: Iterable[str] = (), names: Names = JOINED) -> str:
    """One rule over some events, and their partners where it asks for them."""
    whose = names.partner if rule.from_partner else names.own
    dim = " || '/' || ".join(field(whose, name) for name in rule.dims) or "''"
    amount = number(whose, rule.value) if rule.value else "1"
    value, n = (f"ceil({amount} / {rule.spread})", "1") if rule.spread else ("0", f"{rule.sign} * {amount}")
    where = " AND ".join([*conditions(rule, names), *extra])
    return (
        f"SELECT {quoted(rule.series)}::text AS series, left({dim}, {DIM_MAX}) AS dim, {names.own}at AS at, ({value})::bigint AS value, "
        f"({n})::numeric AS n FROM {sources} WHERE {where}"
    )


def unreadable(source: str) -> list[str]:
    """Events whose number cannot be read."""
    return [
        f"SELECT {quoted(UNREADABLE)}, {quoted(f'{kind} {name}')}, o.at, 0::bigint, 1::numeric FROM {source} o "
        f"WHERE o.kind = {quoted(kind)} AND {number('o.', name)} IS NULL"
        for kind, name in numbers()
    ]


def partner_of(verb: str, alias: str = "o", partner: str = "p") -> str:
    """The join with an event's partner."""
    return f"JOIN events {partner} ON {partner}.key = {subject(alias)} || {quoted('/' + verb)}"


def partners(rules: Iterable[Rule]) -> list[tuple[str, str]]:
    """Which kinds of events are looked at together."""
    return list(dict.fromkeys((rule.kind, rule.partner) for rule in rules if rule.partner))


COLUMNS = ", ".join(f"{alias}.{name} AS {alias}_{name}" for alias in "op" for name in ("kind", "tenant", "payload", "at"))


def ahead(rules: Iterable[Rule], source: str) -> list[str]:
    """Events with their partners, each looked up once for all rules."""
    return [
        f"SELECT {COLUMNS} FROM {source} o {partner_of(partner.rpartition('.')[2])} "
        f"WHERE o.kind = {quoted(kind)} AND p.kind = {quoted(partner)} AND {UPTO.format(alias='p')}"
        for kind, partner in partners(rules)
    ]


def behind() -> list[str]:
    """Older events whose partner came only with the batch."""
    return [
        f"SELECT {COLUMNS} FROM batch p {partner_of(kind.rpartition('.')[2], 'p', partner='o')} "
        f"WHERE o.kind = {quoted(kind)} AND p.kind = {quoted(partner)} AND {BEFORE.format(alias='o')}"
        for kind, partner in partners(RULES)
    ]


NO_PAIRS = f"SELECT {COLUMNS} FROM events o JOIN events p ON false"


def of_edges(rules: Sequence[Rule], *, doubts: bool) -> str:
    """Facts of the events `log`, and of `pairs` of them with their partners."""
    arms = [arm(rule, "pairs", names=PAIRED) if rule.partner else arm(rule, "log o") for rule in rules]
    facts = "\nUNION ALL ".join([*arms, *(unreadable("log") if doubts else [])]) or NOTHING
    pairs = "\nUNION ALL ".join(ahead(rules, "log")) or NO_PAIRS
    return f"pairs AS MATERIALIZED ({pairs}), edges (series, dim, at, value, n) AS MATERIALIZED ({facts})"


def of_batch() -> str:
    """Facts of the events `batch`, which are those after `:from` and up to `:to`, and of `pairs`."""
    arms = [arm(rule, "pairs", names=PAIRED) if rule.partner else arm(rule, "batch o") for rule in RULES]
    return "\nUNION ALL ".join([*unreadable("batch"), *arms])


def of_log(rules: Iterable[Rule]) -> str:
    """Facts of the whole log."""
    return "\nUNION ALL ".join(arm(rule, f"events o {partner_of(rule.partner_verb)}" if rule.partner else "events o") for rule in rules)


MICROSECONDS = "(extract(epoch FROM {to} - {since}) * 1000000)"


def keep() -> str:
    """Add the facts of a batch to the kept sums, by hours and by days."""
    bucket = "date_trunc('{unit}', at, 'UTC')"
    levels = "\nUNION ALL ".join(
        f"SELECT {level}, series, {bucket.format(unit=unit)} AS bucket, dim, value, sum(n), "
        f"sum(n * {MICROSECONDS.format(to='at', since=bucket.format(unit=unit))}) "
        f"FROM facts GROUP BY series, bucket, dim, value"
        for level, unit in ((0, "hour"), (1, "day"))
    )
    kinds = ", ".join(map(quoted, KINDS))
    pairs = "\nUNION ALL ".join([*ahead(RULES, "batch"), *behind()])
    return f"""
WITH batch AS MATERIALIZED (
  SELECT {FIELDS} FROM events
  WHERE (tx, id) > (CAST(:tx_from AS bigint), CAST(:id_from AS bigint)) AND (tx, id) <= (CAST(:tx_to AS bigint), CAST(:id_to AS bigint))
    AND kind IN ({kinds})
), pairs AS MATERIALIZED ({pairs}), facts (series, dim, at, value, n) AS MATERIALIZED ({of_batch()})
INSERT INTO kpi_sums (level, series, bucket, dim, value, n, off) {levels}
ON CONFLICT (level, series, bucket, dim, value) DO UPDATE SET n = kpi_sums.n + EXCLUDED.n, off = kpi_sums.off + EXCLUDED.off
"""


def shown(series: frozenset[str], since: datetime, until: datetime) -> str:
    """The statement that gives a metric's series from the whole log, for a person to run; times are microseconds."""
    rules = [rule for rule in RULES if rule.series in series]
    kinds = {rule.kind for rule in rules}
    arms = of_log(rules)
    doubts = [each for each, (kind, _) in zip(unreadable("events"), numbers(), strict=True) if kind in kinds]
    facts = "\n  UNION ALL ".join([arms.replace("\nUNION ALL ", "\n  UNION ALL "), *doubts])
    delays = " ".join(f"WHEN {quoted(name)} THEN {seconds}" for name, seconds in DELAYED.items() if name in series)
    shift = f"interval '1 second' * CASE series {delays} ELSE 0 END" if delays else "interval '0 seconds'"
    spread = [quoted(each) for each in sorted(DISTRIBUTIONS & series)]
    value = f"CASE WHEN series IN ({', '.join(spread)}) THEN value END" if spread else "NULL::bigint"
    return f"""WITH facts AS (
  {facts}
), bounds AS (
  SELECT facts.*, {since_sql(since)} - {shift} AS since, {since_sql(until)} - {shift} AS until FROM facts
)
SELECT series, dim, {value} AS value,
       coalesce(sum(n) FILTER (WHERE at >= since), 0) AS n,
       sum(n * {MICROSECONDS.format(to="until", since="greatest(at, since)")})::numeric(60, 0) AS area,
       sum(n) AS level
FROM bounds WHERE at < until GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""


def since_sql(moment: datetime) -> str:
    """A moment as a literal."""
    return f"timestamptz {quoted(moment.isoformat())}"
