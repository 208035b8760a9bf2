"""Files of pipelines: what is wrong is told with file, line and remedy, whatever is sent."""

import pytest

from factory_infra.errors import InvalidInput
from factory_infra.paas.training.pipelines.reading import attached, define, parsed, read
from factory_infra.paas.training.pipelines.spec import GateStep, RunStep, needs_of

GOOD = """pipeline: flowers
parameters:
  least: 0.9
  commit: {type: text}
  mode: {type: text, default: fast, one_of: [fast, slow]}
steps:
  - id: data
    kind: data
    dataset: flowers@1
  - id: prep
    argv: [python3, prep.py, "${commit}", "--mode=${mode}", "$${HOME}"]
    files: {prep.py: "print('${HOME}')"}
    inputs: {rows.csv: data/rows.csv}
    outputs: [clean.csv]
  - id: train
    kind: train
    model_name: m
    rows: prep/clean.csv
    label: x
  - id: gate
    kind: gate
    value: {from: train, field: accuracy}
    above: ${least}
"""


def refused(text: str, code: str = "pipeline_invalid") -> str:
    """What a file is refused with."""
    with pytest.raises(InvalidInput) as raised:
        read(text, "flowers.yaml")
    assert raised.value.error_code == code
    assert raised.value.remedy
    return raised.value.reason


class TestFaults:
    @pytest.mark.parametrize(
        ("old", "new", "code", "told"),
        [
            (
                "data/rows.csv",
                "train/result.json",
                "pipeline_cyclic",
                "line 10: the steps wait for each other: prep needs train needs prep",
            ),
            ("label: x", "label: x\n    after: [train]", "pipeline_cyclic", "line 15: the steps wait for each other: train needs train"),
            ("data/rows.csv", "dta/rows.csv", "step_unknown", "line 13: step 'prep' reads from 'dta'"),
            ("label: x", "label: x\n    after: [prap]", "step_unknown", "line 20: step 'train' comes after 'prap'"),
            ("from: train", "from: trein", "step_unknown", "line 22: step 'gate' refers to 'trein'"),
            ("data/rows.csv", "data/row.csv", "output_unknown", "line 13: step 'data' leaves no row.csv"),
            ("${commit}", "${comit}", "parameter_unknown", "line 11: there is no parameter 'comit'"),
            ("argv:", "agv:", "pipeline_invalid", "line 11: at steps.1.agv: Extra inputs"),
            ("kind: gate", "kind: gat", "pipeline_invalid", "line 20: at steps.3: Input tag 'gat'"),
            ("    above: ${least}\n", "", "pipeline_invalid", "line 20: at steps.3: a value needs 'above'"),
            ("id: prep", "id: data", "pipeline_invalid", "line 10: two steps are called 'data'"),
            ("label: x", "label: x\n    label: y", "pipeline_invalid", "line 20: 'label' is given twice"),
            ("least: 0.9", "least: &a 0.9\n  more: *a", "pipeline_invalid", "line 3: 'a' stands for something else"),
            (
                "mode: {type: text, default: fast",
                "mode: {type: text, default: other",
                "parameter_invalid",
                "line 5: parameter 'mode' must be",
            ),
            ("outputs: [clean.csv]", "outputs: [spec.json, clean.csv]", "pipeline_invalid", "keeps for itself"),
            ("pipeline: flowers", "pipeline: ../flowers", "pipeline_invalid", "line 1: at pipeline"),
            ("dataset: flowers@1", "dataset: 2026-01-01", "pipeline_invalid", "none that JSON has"),
        ],
    )
    def test_each_names_its_line(self, old: str, new: str, code: str, told: str) -> None:
        assert old in GOOD
        assert told in refused(GOOD.replace(old, new), code)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "- 1",
            "a: [",
            "[" * 5000,
            "{" * 200_000,
            "[" * 399_999,
            "a: [" + "1, " * 100_000 + "]",
            "pipeline: x",
            "\t",
            "a: !!python/object:os.system x",
            "x" * 500_000,
        ],
    )
    def test_what_is_no_pipeline_is_refused_and_nothing_worse(self, text: str) -> None:
        assert refused(text).startswith("flowers.yaml")

    def test_a_long_ring_is_told_from_its_first_step(self) -> None:
        steps = "".join(f"  - id: s{n}\n    argv: [/bin/true]\n    after: [s{(n + 1) % 40}]\n" for n in range(40))
        assert "line 3: the steps wait for each other: s0 needs s1 needs" in refused(f"pipeline: ring\nsteps:\n{steps}", "pipeline_cyclic")


class TestParameters:
    def test_they_are_filled_in_as_what_they_are_and_never_into_programs(self) -> None:
        made = define(parsed(GOOD, "f.yaml"), {"commit": "abc1234", "least": 0.5})
        prep, gate = made.spec.step("prep"), made.spec.step("gate")
        assert isinstance(prep, RunStep)
        assert isinstance(gate, GateStep)
        assert prep.argv == ("python3", "prep.py", "abc1234", "--mode=fast", "${HOME}")
        assert prep.files == {"prep.py": "print('${HOME}')"}
        assert gate.above == 0.5

    @pytest.mark.parametrize(
        ("given", "code"),
        [
            ({}, "parameter_missing"),
            ({"commit": "a", "other": 1}, "parameter_unknown"),
            ({"commit": "$(reboot)"}, "parameter_invalid"),
            ({"commit": "a; b"}, "parameter_invalid"),
            ({"commit": "a", "mode": "middling"}, "parameter_invalid"),
            ({"commit": "a", "least": "0.5"}, "parameter_invalid"),
            ({"commit": 7}, "parameter_invalid"),
        ],
    )
    def test_what_cannot_be_is_refused(self, given: dict[str, str | int | float], code: str) -> None:
        with pytest.raises(InvalidInput) as raised:
            define(parsed(GOOD, "f.yaml"), given)
        assert raised.value.error_code == code

    def test_a_value_is_not_looked_into_again(self) -> None:
        text = GOOD.replace("mode: {type: text, default: fast, one_of: [fast, slow]}", "mode: slow")
        with pytest.raises(InvalidInput):  # '$' and braces are none of the characters that a value may have
            define(parsed(text, "f.yaml"), {"commit": "a", "mode": "${commit}"})


def test_programs_are_put_in_the_place_of_their_paths() -> None:
    source = attached(parsed(GOOD.replace("\"print('${HOME}')\"", "{path: src/prep.py}"), "f.yaml"), {"src/prep.py": "print(1)"})
    prep = define(source, {"commit": "a"}).spec.step("prep")
    assert isinstance(prep, RunStep)
    assert prep.files == {"prep.py": "print(1)"}
    with pytest.raises(InvalidInput, match=r"f.yaml, line 12: file src/prep.py was not sent along"):
        attached(parsed(GOOD.replace("\"print('${HOME}')\"", "{path: src/prep.py}"), "f.yaml"), {})


def test_what_a_step_reads_orders_it() -> None:
    made = read(GOOD, "f.yaml").spec
    assert {step.id: needs_of(step) for step in made.steps} == {"data": set(), "prep": {"data"}, "train": {"prep"}, "gate": {"train"}}


def test_numbers_in_an_argument_vector_are_its_texts() -> None:
    text = "pipeline: p\nparameters: {least: 0.5}\nsteps:\n  - {id: a, argv: [/bin/sleep, 3, true, '${least}'], environment: {N: 2}}\n"
    step = read(text).spec.step("a")
    assert isinstance(step, RunStep)
    assert (step.argv, step.environment) == (("/bin/sleep", "3", "true", "0.5"), {"N": "2"})
