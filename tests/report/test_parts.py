"""The summaries of several parts, put together."""

from nestedga.report.parts import join

OBJECTIVE = {"name": ["accuracy", "parameters"], "mode": ["max", "min"]}


def part(number, points, **more):
    """A part whose front has these points; the first is the best."""
    front = [
        {"member_id": i, "objectives": {"accuracy": accuracy, "parameters": parameters}}
        for i, (accuracy, parameters) in enumerate(points)
    ]
    best = {"member_id": 0, "fitness_fom": points[0][0], "test": None} if points else None
    usual = {
        "status": "complete" if points else "failed",
        "experiment": "synthetic",
        "objective": OBJECTIVE,
        "evaluations": {"ok": len(points), "failed": 1},
        "immigrants": number,
        "seconds": 10.0 + number,
        "group_seconds": 20.0,
        "ledger": {"train": 15.0, "wait": 5.0},
        "layout": "2 ranks = 2 groups x 1",
        "versions": {},
    }
    return {**usual, "part": number, "best": best, "pareto_front": front, **more}


def test_sums_the_longest_time_and_the_best_of_all():
    joined = join([part(0, [(0.8, 100.0), (0.5, 10.0)]), part(1, [(0.9, 200.0), (0.5, 20.0)]), part(2, [])])
    assert joined["status"] == "complete" and joined["best"]["part"] == 1 and joined["best"]["fitness_fom"] == 0.9
    assert joined["evaluations"] == {"ok": 4, "failed": 3} and joined["immigrants"] == 3
    assert joined["seconds"] == 12.0 and joined["group_seconds"] == 60.0
    assert joined["ledger"] == {"train": 45.0, "wait": 15.0}
    front = [(point["part"], point["member_id"]) for point in joined["pareto_front"]]
    assert front == [(1, 0), (0, 0), (0, 1)], "(0.5, 20) of part 1 is dominated by (0.5, 10) of part 0"
    assert [entry["best"] and entry["best"]["member_id"] for entry in joined["parts"]] == [0, 0, None]


def test_a_run_is_done_when_all_its_parts_are_and_failed_when_all_have():
    assert join([part(0, [(0.8, 1.0)]), part(1, [(0.8, 1.0)], status="max_seconds")])["status"] == "max_seconds"
    assert join([part(0, []), part(1, [])])["status"] == "failed"
