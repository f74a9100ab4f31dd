"""The task of docs/extending.md runs as it stands there."""

import json
import re

from tests.conftest import REPOSITORY, run_command


def blocks(title):
    """Files by name, and the commands, of one chapter."""
    text = (REPOSITORY / "docs" / "extending.md").read_text()
    chapter = text.split(f"\n## {title}\n")[1].split("\n## ")[0]
    files = {
        re.search(r"# file: (\S+)", body).group(1): body
        for kind, body in re.findall(r"```(\w+)\n(.*?)```", chapter, re.DOTALL)
        if kind != "bash"
    }
    return files, "".join(re.findall(r"```bash\n(.*?)```", chapter, re.DOTALL))


def test_the_task_runs_and_learns(tmp_path):
    files, commands = blocks("A task")
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    answer = run_command(["bash", "-ec", f"{commands.rstrip()} run.dir=run"], tmp_path, 120)
    assert answer.returncode == 0, answer.stderr
    best = json.loads((tmp_path / "run" / "summary.json").read_text())["best"]
    assert best["genotype"].keys() >= {"model.hidden", "task.power"}
    assert 0.0 < best["test"]["distance"] < 0.5, "a wave between -1 and 1 is known better than by its mean"
