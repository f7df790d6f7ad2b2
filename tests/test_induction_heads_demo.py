"""The classroom notebook of induction heads: what it copies, what it refuses, and what it says of the learning."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from theorycheck.theory.induction_heads import joint_flow
from theorycheck.theory.induction_heads.population_loss import Task

pytest.importorskip("marimo", reason="marimo is not installed: the demos are not tested (extra 'demo')")

NOTEBOOK = Path(__file__).parent.parent / "demos" / "induction_heads.py"


class Fixed:
    """Stands for a control that has been moved."""

    def __init__(self, value):
        self.value = value


def application():
    spec = importlib.util.spec_from_file_location("demo_induction_heads", NOTEBOOK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(text="abracadabra, ab", order=3, heads=6, slope=1.4, sharpness=6.0, weight=1.0, teacher=0.3, length=102,
        scale=-2.0, together=False, moment=200, place=None):
    values = {"text": text, "order": order, "heads": heads, "slope": slope, "sharpness": sharpness, "weight": weight,
              "teacher": teacher, "length": length, "scale": scale, "together": together, "moment": moment,
              "place": place or max(1, len(text))}
    return application().app.run(defs={name: Fixed(value) for name, value in values.items()})[1]


def test_it_copies_what_followed_and_plays_the_phases():
    names = run()
    assert names["best"] == "r" and names["error"] < 1e-3 and names["refusal"] == ""
    assert names["trace"].second_weights.shape == (1, 15) and len(names["attention_drawing"].axes) == 3
    early, late = run(moment=0), run(moment=299)
    assert (early["now"], late["now"]) == ("partial learning", "convergence") and names["found"].separated
    task = Task(1.0, 0.3, 102)
    np.testing.assert_allclose(names["path"].induction, joint_flow.stage_two_flow(task, 0.01, names["times"]).induction)
    assert len(names["learning_drawing"].axes) == 2


def test_heads_help_where_the_slope_is_small_and_slope_where_they_do_not():
    text = "the cat sat on the mat and the c"
    few, many = (run(text, heads=heads, slope=0.2) for heads in (2, 10))
    assert few["error"] > 0.2 and many["error"] < 0.02 and many["best"] == "a"
    flat, steep = (run(text, order=4, heads=5, slope=slope) for slope in (0.2, 0.7))
    assert flat["best"] == " " and steep["best"] == "a" and steep["error"] < 1e-3


def test_both_layers_attend_from_any_position():
    text = "abracadabra, ab"
    whole, part = run(text), run(text, place=10)
    assert part["seen"] == "abracadabr" and part["best"] == "a"             # "br" was followed by "a"
    assert part["trace"].second_weights.shape == (1, 10)
    assert "position 10" in part["attention_drawing"].axes[0].get_title()
    np.testing.assert_allclose(part["trace"].first_weights[:, 9, :10], whole["trace"].first_weights[:, 9, :10])
    assert "at least" in run(text, place=2)["refusal"]


def test_the_dynamics_play_from_the_first_moment_to_the_last_and_again():
    following, moved = run()["following"], []
    assert [following(moment) for moment in (0, 200, 295, 299)] == [5, 205, 0, 4]
    play = application().app.run(defs={"tick": Fixed("0.5s (1)"), "set_moment": moved.append, "playing": Fixed(True),
                                       "get_moment": lambda: 7})[1]
    assert moved[0](5) == 10 and play["moment"].value == 7
    assert run()["tick"] is None                            # a clock that stands still does not tick


@pytest.mark.parametrize("controls, message", [({"order": 4, "heads": 2}, "at least 3 heads"),
                                               ({"text": ""}, "none of them 0"), ({"text": "ab"}, "at least")])
def test_what_cannot_be_built_is_refused_in_words(controls, message):
    names = run(**controls)
    assert message in names["refusal"] and names["trace"] is None and names["attention_drawing"] is None


def test_six_scalars_are_learned_together():
    names = run(together=True)
    assert names["sigma"] == 0.1 and np.isfinite(names["path"].parameters).all()
    assert names["found"].emerged < names["times"][-1]
