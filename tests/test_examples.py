"""The examples run, and the loss curves of the tour are what their script makes."""

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_loss_curves_can_be_made_again(tmp_path):
    script = tmp_path / "make_loss_curves.py"
    shutil.copy(EXAMPLES / script.name, script)
    load(script).main()
    made, kept = (sorted((folder / "loss_curves").glob("*.csv")) for folder in (tmp_path, EXAMPLES))
    assert [path.name for path in made] == [path.name for path in kept] and len(kept) == 4
    for new, old in zip(made, kept):
        np.testing.assert_allclose(np.loadtxt(new, delimiter=",", skiprows=1),
                                   np.loadtxt(old, delimiter=",", skiprows=1), atol=2e-5)


@pytest.mark.filterwarnings("error")
def test_the_comparison_prints_theory_beside_sgd(capsys):
    load(EXAMPLES / "compare_schedules.py").main()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    exact, measured, error = (np.array([float(row[place]) for row in rows]) for place in (1, 4, 6))
    assert len(rows) == 5 and np.all(np.abs(measured - exact) < 6 * error)
