"""Lists as values of genes, from the command line to the run folder."""

from nestedga.job.configuration import Configuration
from nestedga.record import journal
from tests.report.test_report import scalars

BETAS = [[0.9, 0.999], [0.95, 0.98], [0.8, 0.9]]
OVERRIDES = (
    "search=genetic",
    "search.population_size=2",
    "search.initial=random",
    "optimizer=adamw",
    "model.width=2",
    "space=none",
    f"+space.optimizer.betas={{type: categorical, choices: {BETAS}}}",
    "+space.optimizer.lr={type: float, low: 1e-3, high: 1e-2}",
)


def test_betas_are_evolved_and_a_run_cut_short_goes_on(nestedga):
    whole = nestedga(1, *OVERRIDES, "search.generations=2")
    members = [record["member"] for record in whole.records if record["event"] == "ask"]
    assert len(members) == 4 and all(member["genotype"]["optimizer.betas"] in BETAS for member in members)
    best = whole.summary["best"]["genotype"]
    typed = Configuration(["optimizer=adamw", *(whole.folder / "best" / "overrides.txt").read_text().splitlines()])
    assert typed.plain()["optimizer"]["betas"] == best["optimizer.betas"]
    assert typed.plain()["optimizer"]["lr"] == best["optimizer.lr"]
    for slot in (whole.folder / "tensorboard").glob("slot_*"):
        assert "schedule/optimizer.lr" in scalars(slot) and "schedule/optimizer.betas" not in scalars(slot)
    assert str(best["optimizer.betas"]) in whole.out

    # Begun again from the records of its first generation.
    (cut := whole.folder.parent / "cut").mkdir()
    lines = (whole.folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    told = [number for number, record in enumerate(whole.records) if record["event"] == "tell"]
    (cut / "journal.jsonl").write_bytes(b"".join(lines[: told[1] + 1]))
    config = (whole.folder / "config.yaml").read_text()
    (cut / "config.yaml").write_text(config)
    resumed = nestedga(1, *OVERRIDES, "search.generations=2", "resume=true", folder="cut")
    assert resumed.outcome == whole.outcome
    assert sum(record["event"] == "repeat" for record in journal.read(cut / "journal.jsonl")) > 0
