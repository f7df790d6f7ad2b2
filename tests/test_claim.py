"""What a claim is: registration, verdicts, records; and that the real claims are well formed."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theorycheck import checks
from theorycheck.checks import claim as claims
from theorycheck.checks import runner
from theorycheck.checks.claim import Claim, Control, Effort, Evidence, Paper, Verdict, claim, describe, judge
from theorycheck.cli.record import to_json

PAPER = Paper("key", "Title", "A. Uthor", 2020, arxiv="2001.00001")
DECISIONS = st.sampled_from([True, False, None])


def evidence(accepted):
    return Evidence(accepted, 1.0, 1.0, 0.1, "equal")


def made(accepted, *controls):
    def run(decision):
        return lambda effort: evidence(decision)
    return Claim("x", "t", PAPER, "Sec. 1", "1 = 1", "stated", run(accepted),
                 [Control(f"control {i}", run(decision)) for i, decision in enumerate(controls)])


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(claims, "REGISTRY", {})
    return claims.REGISTRY


@given(DECISIONS, st.lists(DECISIONS, max_size=4))
def test_verdict_follows_from_the_decisions(accepted, controls):
    verdict = judge(made(accepted, *controls), Effort()).verdict
    if accepted is False:
        assert verdict is Verdict.FAILS
    elif accepted is None:
        assert verdict is Verdict.INCONCLUSIVE
    elif not controls or True in controls:
        assert verdict is Verdict.TOOTHLESS
    elif None in controls:
        assert verdict is Verdict.INCONCLUSIVE
    else:
        assert verdict is Verdict.HOLDS


@given(DECISIONS, st.lists(DECISIONS, min_size=1, max_size=4))
def test_holds_needs_every_control_rejected(accepted, controls):
    holds = judge(made(accepted, *controls), Effort()).verdict is Verdict.HOLDS
    assert holds == (accepted is True and controls == [False] * len(controls))


def test_accepted_is_a_python_bool_whatever_the_judge_computed():
    assert evidence(np.bool_(True)).accepted is True
    assert evidence(np.bool_(False)).accepted is False


@pytest.mark.parametrize("accepted", ["yes", 2, float("nan")])
def test_an_undefined_decision_is_refused(accepted):
    with pytest.raises(ValueError, match="accepted is .* must be True, False or None"):
        evidence(accepted)


def test_registration_and_record(registry):
    @claim("unit", topic="t", paper=PAPER, where="Eq. 1", statement="1 = 1", stance="amended")
    def unit(effort):
        return Evidence(True, np.float64(1.0), np.arange(2), 0.1, "equal", 1e-6, note="at x=1")

    @unit.printed("1 = 2")
    def _(effort):
        return evidence(False)

    @unit.control("1 = 3")
    def _(effort):
        return evidence(False)

    assert registry == {"t.unit": unit}
    record = judge(unit, Effort()).record()
    assert set(describe(unit)) <= set(record)
    assert {"id", "topic", "paper", "where", "stance", "verdict", "measured", "expected", "tolerance", "controls",
            "seconds"} <= set(record)
    assert (record["verdict"], record["measured"], record["expected"]) == ("HOLDS", 1.0, [0, 1])
    assert [(c["printed"], c["rejected"]) for c in record["controls"]] == [(True, True), (False, True)]
    assert json.loads(to_json(record))["id"] == "t.unit"


def test_an_id_is_taken_once(registry):
    def register(function):
        return claim("unit", topic="t", paper=PAPER, where="Eq. 1", statement="1 = 1", stance="stated")(function)

    def one(effort):
        return evidence(True)

    register(one)
    register(one)   # a module imported again is no clash
    with pytest.raises(ValueError, match="'t.unit' is taken already"):
        register(lambda effort: evidence(True))


@pytest.mark.parametrize(("change", "message"), [
    ({"stance": "guessed"}, "stance is 'guessed'; it must be one of stated, reconstructed, amended, derived"),
    ({"where": " "}, "where must be one non-empty line"),
    ({"statement": "two\nlines"}, "statement must be one non-empty line"),
])
def test_bad_claims_are_refused(registry, change, message):
    good = {"topic": "t", "paper": PAPER, "where": "Eq. 1", "statement": "1 = 1", "stance": "stated"}
    with pytest.raises(ValueError, match=message):
        claim("unit", **{**good, **change})
    assert not registry


def test_only_an_amended_claim_has_a_printed_form(registry):
    with pytest.raises(ValueError, match="stance is 'stated'; only an amended claim has a printed form"):
        made(True).printed("1 = 2")


@pytest.mark.parametrize(("arguments", "message"), [
    ({"level": "huge"}, "effort is 'huge'"), ({"jobs": 0}, "jobs is 0"), ({"jobs": 1.5}, "jobs is 1.5"),
    ({"device": "tpu"}, "device is 'tpu'")])
def test_bad_efforts_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Effort(**arguments)


def test_effort_chooses_by_level():
    assert (Effort("quick").choose(1, 2), Effort("full").choose(1, 2)) == (1, 2)


def test_bibtex_has_every_field():
    text = Paper("k", "T", "A and B", 2020, arxiv="2001.1", venue="V").bibtex
    assert text.startswith("@inproceedings{k,") and text.endswith("}")
    for part in ("{{T}}", "{A and B}", "{2020}", "{V}", "{2001.1}", "https://arxiv.org/abs/2001.1"):
        assert part in text
    assert PAPER.bibtex.startswith("@misc{key,")


def test_a_missing_machine_is_not_a_failure(invented):
    outcomes = {each.claim.name: each for each in runner.run(checks.load("good").values(), Effort())}
    for name in ("heavy_machine", "no_device"):
        assert outcomes[name].verdict is Verdict.NOT_RUN and outcomes[name].evidence is None
        assert outcomes[name].message


def test_broken_computations_fail_and_say_why(invented):
    outcomes = {each.claim.name: each for each in runner.run(checks.load("bad").values(), Effort())}
    assert outcomes["broken"].verdict is Verdict.FAILS
    assert outcomes["broken"].message == "ZeroDivisionError: division by zero"
    assert outcomes["surprising"].verdict is Verdict.FAILS
    assert outcomes["surprising"].message == "AssertionError: deep in the code"
    assert outcomes["shaky_control"].verdict is Verdict.INCONCLUSIVE


def test_the_same_records_for_any_number_of_jobs(invented):
    def records(jobs):
        chosen = [*checks.load("good").values(), *checks.load("bad").values()]
        found = sorted((each.record() for each in runner.run(chosen, Effort(), jobs)), key=lambda each: each["id"])
        return [{**each, "seconds": None} for each in found]
    assert len(records(1)) == 11
    assert records(1) == records(2)


def test_a_claim_whose_source_changed_meanwhile_does_not_hold(invented, monkeypatch):
    chosen = list(checks.load("good").values())
    parallels = next(each for each in chosen if each.name == "parallels")
    stale = [replace(each, statement="parallels never meet") if each is parallels else each for each in chosen]
    found = {each.claim.name: each for each in runner.run(stale, Effort())}
    assert found["parallels"].verdict is Verdict.FAILS
    assert found["parallels"].message == "its source changed during the run"
    assert found["two_is_two"].verdict is Verdict.HOLDS


def test_a_claim_whose_module_no_longer_imports_fails_alone(invented, monkeypatch):
    def import_module(name):
        raise ImportError("half\nedited")
    monkeypatch.setattr(runner, "import_module", import_module)
    found = list(runner.run(checks.load("good").values(), Effort()))
    assert {(each.verdict, each.message) for each in found} == {(Verdict.FAILS, "ImportError: half edited")}
    assert len(found) == 5


def test_the_longest_claims_start_first(invented):
    chosen = checks.load("good").values()
    seconds = {"good.two_is_two": 3.0, "good.parallels": 5.0, "good.no_device": 1.0, "good.open_question": 0.1}
    order = [each.claim.name for each in runner.run(chosen, Effort(), 1, seconds)]
    assert order == ["heavy_machine", "parallels", "two_is_two", "no_device", "open_question"]


@pytest.mark.parametrize("jobs", [0, -1, 1.5, "2"])
def test_bad_jobs_are_refused(invented, jobs):
    with pytest.raises(ValueError, match="jobs is"):
        list(runner.run(checks.load("good").values(), Effort(), jobs))


def test_an_unknown_topic_is_refused_with_those_that_exist():
    with pytest.raises(ValueError, match="topic is 'nope'; it must be one of .*fsl"):
        checks.load("nope")


@pytest.mark.parametrize("topic", checks.TOPICS)
def test_the_claims_of_a_topic_are_well_formed(topic):
    known = checks.load(topic)
    assert known
    for key, each in known.items():
        assert key == each.id == f"{topic}.{each.name}"
        assert each.name.isidentifier() and each.name == each.name.lower(), key
        assert any(not control.printed for control in each.controls) or each.stance == "amended", key
        assert each.controls, f"{key} has no control"
        assert (each.stance == "amended") == any(control.printed for control in each.controls), key
        descriptions = [control.description for control in each.controls]
        assert len(set(descriptions)) == len(descriptions), key
        assert all(text.strip() and "\n" not in text for text in descriptions), key
