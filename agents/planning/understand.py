"""From words to findings: languages, names, quantities, strong verbs with their negations, marks and mood."""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

from agents.planning.algorithms import algorithms_in
from agents.planning.cues import Cues
from agents.planning.form import Span, plain, quiet_spans, within
from agents.planning.interface import Facts
from agents.planning.languages import LANGUAGES, languages_of, negation_terms, terms
from agents.planning.link import names_in
from agents.planning.mentions import Action, Mark, MarkKind, Mention, Understood, free_of
from agents.planning.quantities import quantities_in
from agents.planning.text import LEFT, RIGHT, WORD, fold, overlaps
from agents.planning.unknown import Finder, stop_words, unknown_ids

_CLAUSE_END = re.compile(r"[.;:!?]\s|[.;!?]$|[,、，。；！？]")
_HARMLESS = re.compile(
    rf"{LEFT}(?:{{}}){RIGHT}".format(
        "|".join(
            (
                r"at all|all right|above all|first of all|all good|after all|all in all|why not|not only|no problem|no worries|if so",
                r"(?:do not|don't) (?:forget|hesitate) to",
                r"vergiss nicht|n'oublie pas|no olvides|non dimenticare|nao esqueca|niet vergeten|не забудь",
                r"no longer (?:need|want|use)\w*|not needed|(?:(?:do not|don't) need|not using) [^,.;]{0,40}any ?more|any ?more",
                r"(?:the|last|this|that|since|latest|new)(?: [\w-]+)? release(?! \w)|(?:the )?(?:version|one) before",
                r"nicht mehr (?:ge)?brauch\w*|brauchen [^,.;]{0,30}nicht mehr",
                r"忘れずに|别忘了",
            )
        )
    )
)
_CLOCK = re.compile(
    rf"(?<![{WORD}.,])(?:\d{{4}}-\d{{2}}-\d{{2}}|\d{{1,2}}:\d{{2}}(?:\s*[ap]m)?|"
    r"\d{1,2}\s*(?:[ap]m|uhr|o'clock|点钟|時に)|(?:at|um|a|as|om) \d{1,2}\s?h\b)"
)
_LATE = re.compile(r"\b(?:in|within|dans|dentro de|tra|binnen|innerhalb|через)\s+(?:the\s+next\s+)?$")
_NEAR_AHEAD, _NEAR_BEHIND, _NEAR_MENTION = 45, 28, 16
_LISTED: tuple[tuple[MarkKind, str], ...] = (
    ("condition", "condition"),
    ("time", "time"),
    ("all", "all"),
    ("unsupported", "unsupported"),
    ("metric", "other_metric"),
)
_LIST_NUMBER_MAX = 5
_SUBJUNCTIVE = re.compile(r"\bif (?:[^\s.,;]+ ){1,5}$")
_MAY_HAVE = re.compile(r"(?:may|can|could) (?:i|we) (?:please )?(?:have|get)\b")
_SINCE = re.compile(r"(?:since|seit|depuis|sinds|ever since) $")
_REQUESTS = re.compile(r"(?:もらえ|くれ|いただけ|頂け)(?:ます|ません|ない)(?:でしょう)?か")
_SHARE_NEAR = 24
_AFTER_VERB = frozenset({"de", "nl", "ja", "zh"})


def _spans(pattern: re.Pattern[str], text: str) -> list[tuple[int, int]]:
    return [m.span() for m in pattern.finditer(text)]


def _clause(text: str, place: int) -> tuple[int, int]:
    """The clause around a place: between commas, full stops and the like; a decimal comma does not end one."""
    ends = [m.start() for m in _CLAUSE_END.finditer(text) if not re.match(r"\d[.,]\d", text[max(0, m.start() - 1) : m.start() + 2])]
    start = max((e + 1 for e in ends if e < place), default=0)
    return start, min((e for e in ends if e >= place), default=len(text))


class Reader:
    """Reads one text after another against the same word lists."""

    def __init__(self, cues: Cues) -> None:
        self.cues = cues

    def read(self, raw: str, facts: Facts, *, every_language: bool = False) -> Understood:
        """Find everything in a text.

        Args:
            every_language: read number words of all languages: for a short answer to a question, which shows no language.
        """
        text = fold(plain(raw))
        codes = languages_of(text, self.cues.hits_by_language(text))
        if every_language:
            codes = (*codes, *(c for c in LANGUAGES if c not in codes))
        actions = self.cues.actions_in(text, codes)
        quiet = tuple(quiet_spans(text, codes, self._namer(facts, codes)))
        mentions = _loud(self._mentions(text, facts, codes, actions, answering=every_language), quiet)
        actions = [a for a in actions if not within(a.span, [m.span for m in mentions]) and self._asks(a, actions, quiet, (text, codes))]
        actions, marks = self._marks(text, codes, (actions, mentions), quiet)
        return Understood(
            text=text,
            codes=codes,
            mentions=tuple(mentions),
            actions=tuple(actions),
            things=self.cues.things_in(text, codes),
            marks=tuple(marks),
            slot_word=_slot_word(text, codes),
            quiet=quiet,
            **_mood(text[_opening(text, quiet) :], codes),
        )

    def _namer(self, facts: Facts, codes: tuple[str, ...]) -> Callable[[str], bool]:
        """Tells whether a word may be a person's name or that of the writer's team: it means nothing else here."""
        teams = {word for team in facts.teams for word in fold(team.name).split("-")} | {"team", "the", "from", "of", "and"}
        stop = stop_words(codes)

        def is_name(word: str) -> bool:
            return word in teams or not (word in stop or word.isdigit() or self.cues.knows(word, codes))

        return is_name

    def _asks(self, action: Action, actions: list[Action], quiet: tuple[Span, ...], spoken: tuple[str, tuple[str, ...]]) -> bool:
        """Whether a verb asks for something: not within what is quiet, but an 'otherwise' may ask for a change that is new."""
        text, codes = spoken
        around = next((span for span in quiet if within(action.span, [span])), None)
        if around is None:
            return True
        before = {concept for a in actions if a.end <= around[0] for concept in a.concepts}
        new = (set(action.concepts) & self.cues.effectful) - before
        return bool(new) and terms(codes, "otherwise").match(text, around[0]) is not None

    def _mentions(self, text: str, facts: Facts, codes: tuple[str, ...], actions: list[Action], *, answering: bool) -> list[Mention]:
        found = names_in(text, facts, codes, set(stop_words(codes)))
        found = [m for m in found if not _is_verb(m, actions)]
        found += unknown_ids(text, found)
        for more in (algorithms_in(text), quantities_in(text, codes, [m.span for m in found], answering=answering)):
            found += [m for m in more if free_of(m.span, [f.span for f in found])]
        found = _drop_late(text, found)
        training = any("train" in action.concepts for action in actions)
        verbs = [a for a in actions if len(a.text.split()) == 1]
        found += Finder(text, codes, found, verbs, self.cues.effectful).run(training=training)
        return sorted(found, key=lambda m: m.start)

    @staticmethod
    def _marks(
        text: str, codes: tuple[str, ...], said: tuple[list[Action], list[Mention]], quiet: tuple[Span, ...]
    ) -> tuple[list[Action], list[Mark]]:
        actions, mentions = said
        hidden = list(quiet) + _spans(terms(codes, "soft_condition"), text) + _spans(_HARMLESS, text) + _spans(terms(codes, "now"), text)
        negations = [s for s in _spans(negation_terms(codes), text) if free_of(s, hidden) and not _compares(text, codes, s, mentions)]
        marks = _listed(text, codes, hidden, actions, mentions)
        marks += [_mark("time", text, s) for s in _spans(_CLOCK, text)]
        marks = [m for m in _without_timed_conditions(marks) if m.kind != "time" or not _SINCE.search(text[: m.start])]
        actions, left = _negate(text, codes, (_without_harmless(text, actions), mentions), negations)
        actions = [_ungate(text, codes, action, mentions) for action in actions]
        marks += [_mark("negation", text, s) for s in left if not _is_comparison(text, codes, s)]
        marks += _below(text, codes, mentions)
        return actions, marks


def _listed(text: str, codes: tuple[str, ...], hidden: list[tuple[int, int]], actions: list[Action], mentions: list[Mention]) -> list[Mark]:
    """Marks from the word lists, outside what is hidden; a condition may stand in a name, an unsupported word not even in a verb."""
    unnamed = hidden + [m.span for m in mentions]
    busy = {"condition": hidden, "unsupported": unnamed + [a.span for a in actions]}
    found: list[Mark] = []
    for kind, section in _LISTED:
        spoken = codes[:1] if kind == "metric" else codes
        found += [_mark(kind, text, s) for s in _spans(terms(spoken, section), text) if free_of(s, busy.get(kind, unnamed))]
    return found


def _without_timed_conditions(marks: list[Mark]) -> list[Mark]:
    """A condition within words of time ('when it is nine') is said by the time already."""
    times = [m.span for m in marks if m.kind == "time"]
    return [m for m in marks if m.kind != "condition" or free_of(m.span, times)]


def _without_harmless(text: str, actions: list[Action]) -> list[Action]:
    """Strong verbs outside set phrases, in which they ask for nothing."""
    phrases = _spans(_HARMLESS, text)
    return [a for a in actions if not any(start <= a.start and a.end <= end for start, end in phrases)]


def _loud(mentions: list[Mention], quiet: tuple[Span, ...]) -> list[Mention]:
    """Mentions but for the unknown names of what is quiet ('Kind regards, Maria'), and the numbers of a list ('2)')."""
    numbers = [span for span in quiet if span[1] - span[0] <= _LIST_NUMBER_MAX]
    named = [m for m in mentions if not (within(m.span, quiet) and (m.unknown or m.senses[0].kind == "endpoint_name"))]
    return [m for m in named if not (m.sense("number") and within(m.span, numbers))]


def _opening(text: str, quiet: tuple[Span, ...]) -> int:
    """Where the text begins after its salutation."""
    greeting = terms(tuple(LANGUAGES), "greeting")
    return next((end for start, end in quiet if start == 0 and greeting.match(text)), 0)


def _mark(kind: MarkKind, text: str, span: tuple[int, int]) -> Mark:
    return Mark(kind=kind, start=span[0], end=span[1], text=text[span[0] : span[1]])


def _is_verb(mention: Mention, actions: list[Action]) -> bool:
    """A dataset whose alias is a strong verb here is the verb."""
    return any(action.start == mention.start and action.end == mention.end for action in actions) and all(
        s.kind == "dataset" for s in mention.senses
    )


def _drop_late(text: str, mentions: list[Mention]) -> list[Mention]:
    """'in two hours' is a time to start, not a length: it is kept as an amount that no playbook takes."""
    kept = []
    for mention in mentions:
        late = mention.sense("duration") and _LATE.search(text[: mention.start])
        senses = tuple(s.model_copy(update={"kind": "delay"}) for s in mention.senses) if late else mention.senses
        kept.append(mention.model_copy(update={"senses": senses}))
    return kept


def _is_comparison(text: str, codes: tuple[str, ...], span: tuple[int, int]) -> bool:
    """'no worse than', 'nicht unter': a negation that is part of a comparison."""
    return any(
        overlaps(span, m) or 0 <= m[0] - span[1] <= 2 for m in _spans(terms(codes, "above"), text) + _spans(terms(codes, "below"), text)
    )


def _compares(text: str, codes: tuple[str, ...], span: tuple[int, int], mentions: list[Mention]) -> bool:
    """'not below 95 %': a comparison with a share right behind it denies no verb."""
    near = any(0 <= m.start - span[1] < _SHARE_NEAR for m in mentions if m.sense("threshold"))
    return near and any(
        overlaps(span, m) or 0 <= m[0] - span[1] <= 1 for m in _spans(terms(codes, "above"), text) + _spans(terms(codes, "below"), text)
    )


def _denied_after(text: str, codes: tuple[str, ...], actions: list[Action], mentions: list[Mention]) -> set[int]:
    """Verbs that what follows them denies: 'the deployment can wait'. No name and no comma stands between."""
    found = set()
    for start, _ in _spans(terms(codes, "denied_after"), text):
        before = [i for i, a in enumerate(actions) if a.end <= start]
        gap = (actions[before[-1]].end, start) if before else (start, start)
        plain_gap = re.fullmatch(r"(?:\s+[^\s.,;:!?]+){0,2}\s*", text[slice(*gap)])
        if before and plain_gap and free_of(gap, [m.span for m in mentions]):
            found.add(before[-1])
    return found


def _negate(
    text: str, codes: tuple[str, ...], said: tuple[list[Action], list[Mention]], negations: list[tuple[int, int]]
) -> tuple[list[Action], list[tuple[int, int]]]:
    """Attach each negation to the strong verbs in its reach; return what could not be attached."""
    actions, mentions = said
    negated = _denied_after(text, codes, actions, mentions)
    left = []
    for span in negations:
        hits = _reached(text, codes, actions, span)
        if hits:
            negated.update(hits)
        else:
            left.append(span)
    attached = [actions[i].start for i in negated]
    left = [span for span in left if not any(_clause(text, span[0])[0] <= start <= span[0] for start in attached)]
    return [a.model_copy(update={"negated": i in negated}) for i, a in enumerate(actions)], left


def _reached(text: str, codes: tuple[str, ...], actions: list[Action], span: tuple[int, int]) -> list[int]:
    """The places of the verbs that a negation denies: the one that it stands in, the one before it, or those after it."""
    inside = [i for i, a in enumerate(actions) if a.start <= span[0] and span[1] <= a.end]
    inside = inside or [i for i, a in enumerate(actions) if span[0] <= a.start and a.end <= span[1]]
    if inside:
        return inside
    start, end = _clause(text, span[0])
    ahead = _ahead(actions, span[1], _turn(text, span[1], end))
    behind = _behind(actions, start, span[0])
    right_after = bool(ahead) and actions[ahead[0]].start - span[1] <= 2
    if behind and not right_after and _denies_backwards(text, codes, span[0]):
        return behind[-1:]
    return _coordinated(text, actions, ahead)


def _turn(text: str, place: int, end: int) -> int:
    """Where the reach of a negation ends: at a 'but', else with the clause."""
    turn = re.search(r"(?<![\w])(?:but|aber|sondern|mais|pero|sino|ma|mas|maar|но|而是)(?![\w])", text[place:end])
    return place + turn.start() if turn else end


def _ahead(actions: list[Action], place: int, end: int) -> list[int]:
    return [i for i, a in enumerate(actions) if place <= a.start < end and a.start - place <= _NEAR_AHEAD]


def _behind(actions: list[Action], start: int, place: int) -> list[int]:
    return [i for i, a in enumerate(actions) if start <= a.start and a.end <= place and place - a.end <= _NEAR_BEHIND]


def _denies_backwards(text: str, codes: tuple[str, ...], place: int) -> bool:
    """Whether a negation may follow its verb: in languages that put it there, and 'nothing' in every language."""
    return bool(_AFTER_VERB & set(codes)) or re.match(r"(?:nothing|rien|nada|niente)", text[place:]) is not None


def _coordinated(text: str, actions: list[Action], ahead: list[int]) -> list[int]:
    """The first verb ahead, and those that an 'or' joins to it: 'never retire or roll back'."""
    reached = ahead[:1]
    for previous, current in pairwise(ahead):
        between = text[actions[previous].end : actions[current].start]
        if not re.search(r"(?<!\w)(?:or|nor|oder|ou|ni|o|ne|of|noch|или|ни)(?!\w)", between):
            break
        reached.append(current)
    return reached


def _ungate(text: str, codes: tuple[str, ...], action: Action, mentions: list[Mention]) -> Action:
    """'do not deploy unless it beats 95 %', '... if it is below 95 %': a gate, not a prohibition."""
    if not action.negated:
        return action
    rest = text[action.start : action.start + 120]
    share = next((m for m in mentions if m.sense("threshold") and action.start < m.start < action.start + 120), None)
    opposite = terms(codes, "unless").search(rest) or (share and terms(codes, "below").search(text[action.start : share.end + 12]))
    return action.model_copy(update={"negated": False}) if share and opposite else action


def _below(text: str, codes: tuple[str, ...], mentions: list[Mention]) -> list[Mark]:
    """A share that must not be reached: 'live if it is below 95 %' has no place in a gate."""
    found = []
    for mention in mentions:
        if not mention.sense("threshold") or mention.note:
            continue
        place = max(0, mention.start - _NEAR_MENTION)
        match = terms(codes, "below").search(text[place : mention.end + 10])
        negation = negation_terms(codes).search(text[: mention.end]) or terms(codes, "unless").search(text[: mention.end])
        if match and not negation:
            found.append(_mark("below", text, (place + match.start(), place + match.end())))
    return found


def _slot_word(text: str, codes: tuple[str, ...]) -> Literal["gpu", "core", "slot"] | None:
    if terms(codes, "gpu").search(text):
        return "gpu"
    if terms(codes, "core").search(text):
        return "core"
    return "slot" if terms(codes, "slot").search(text) else None


def without_courtesy(text: str, codes: tuple[str, ...]) -> tuple[str, bool]:
    """The text after its opening courtesies, and whether there were any."""
    polite = re.compile(rf"^[^\w]*(?:(?:{terms(codes, 'polite').pattern}|{terms(codes, 'greeting').pattern})[\s,!.:]*)+")
    match = polite.match(text)
    return (text[match.end() :], True) if match else (text, False)


def _mood(text: str, codes: tuple[str, ...]) -> dict[str, bool]:
    rest, polite = without_courtesy(text, codes)
    starts = (opener := terms(codes, "question").match(rest)) is not None and not _has_done(text, rest, opener)
    asks = text.rstrip(" \"')").endswith(("?", "？")) or "か。" in text or text.endswith(("吗", "か"))
    asks = asks and not _REQUESTS.search(text)
    wonder = any(_wonders(text, m) for m in terms(codes, "hypothetical").finditer(text) if not _MAY_HAVE.match(text, m.start()))
    past = [
        m
        for m in terms(codes, "past").finditer(text)
        if (" " in m.group() or len(m.group()) > 3) and not _SUBJUNCTIVE.search(text[: m.start()])
    ]
    return {"question": starts or (asks and not polite), "hypothetical": wonder, "past": bool(past)}


def _has_done(text: str, rest: str, opener: re.Match[str]) -> bool:
    """'Have iris trained on two slots': an order to see to it, where nobody who could have done it follows, and no question mark."""
    return opener.group() == "have" and "?" not in text and re.match(r"\s+(?:we|i|you|they|any|there)\b", rest[opener.end() :]) is None


def _wonders(text: str, match: re.Match[str]) -> bool:
    """A short single word makes a text hypothetical only at its beginning."""
    long = " " in match.group() or match.end() - match.start() > 7 or _CJK_LONG(match)
    return long or text[: match.start()].strip(" ,") == ""


def _CJK_LONG(match: re.Match[str]) -> bool:  # noqa: N802
    return ord(match.group()[0]) > 0x3000 and len(match.group()) > 1
