"""What is typed becomes jobs."""

from nestedga.job.overrides import jobs_of


def test_multirun_is_the_product_of_all_sweeps():
    jobs = jobs_of(["search=pbt,genetic", "seed=range(1,3)", "interval.epochs=1"], multirun=True)
    assert [(job[0], job[1]) for job in jobs] == [
        ("search=pbt", "seed=1"),
        ("search=pbt", "seed=2"),
        ("search=genetic", "seed=1"),
        ("search=genetic", "seed=2"),
    ]
