"""One group, several ranks: the same training."""

import json

import pytest


@pytest.fixture(scope="module")
def figures():
    return {}


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_training_does_not_depend_on_the_number_of_ranks(mpi, figures, ranks):
    answer = json.loads(mpi("training/trainer_program.py", ranks).splitlines()[-1])
    reference = figures.setdefault("reference", answer)
    assert answer["first"]["accuracy"] == pytest.approx(reference["first"]["accuracy"], abs=0.01)
    # Floating-point noise alone: one rank sums six micro-batches in another order than three ranks do.
    assert answer["first"]["loss"] == pytest.approx(reference["first"]["loss"], rel=1e-3)
    assert answer["second"]["loss"] == pytest.approx(reference["second"]["loss"], rel=1e-2)
    for name, loss in reference["recipes"].items():
        # What is rounded to 16 bits before it is summed differs by more than the order of a sum.
        assert answer["recipes"][name] == pytest.approx(loss, rel=1e-3 if name == "16 bits" else 1e-5), name
    assert answer["statistics"] == pytest.approx(reference["statistics"], rel=1e-3)
