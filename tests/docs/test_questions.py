"""A session that asks a run questions. The test runs every command of docs/questions.md for real, as test_tutorial.py does."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from experiments.differences import compared
from experiments.launcher.folder import RunFolder
from tests.conftest import ROOT
from tests.docs.session import Session, only, without_dates

PAGE = ROOT / "docs" / "questions.md"
INTRODUCTION = """# Question a run

A run can be gone on with from any clock of its past, trained again to the last bit, and compared with another one number by
number. Every command below was run by `tests/docs/test_questions.py`, and the page shows what it printed.
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_page_is_what_happens(tmp_path: Path) -> None:
    folder = Path(os.environ.get("PONGAN_KEEP", tmp_path / "session"))
    folder.mkdir(parents=True, exist_ok=True)
    do = Session(folder, INTRODUCTION)
    do.text("A run to ask, deterministic, so that it can be answered to the last bit:")
    do.run(
        "python -m experiments.run actor-critic-cartpole --run.until 30000 --run.eval-every 5000 --run.save-every 5000 "
        "--run.deterministic",
        last=4,
    )
    run = only(folder, "runs/actor-critic-cartpole/*/*").relative_to(folder)

    do.text(
        "## Fork\n\n"
        "What would have come of another step size from clock 8,000 on? `fork` makes runs that are the old one "
        "up to a clock and differ after it by what the flags change. Here two step sizes, the run's own among "
        "them, go on with three other streams of random numbers each:"
    )
    said = do.run(f"pongan fork {run} --at 8000 --grid agent.optimizer.lr=1e-3,1e-4 --reseed --times 3", last=6)
    assert said.count("forked runs/") == 6
    do.text(
        "No checkpoint from before clock 8,000 is kept any more, so these steps were "
        "replayed from the start. Runs with the same random numbers are pairs; `compare` shows their differences too:"
    )
    said = do.run("pongan compare runs")
    assert "branch at" in said and "┃     3 ┃" in said.replace("│", "┃")
    do.text(
        "The curves in `compare.png` begin at the fork. Without `--reseed` a fork keeps the random numbers of the "
        "run, and one that changes nothing is the run to the last bit:"
    )
    do.run(f"pongan fork {run} --at 25000 --run.tag same", last=1)
    same = only(folder, "runs/actor-critic-cartpole/*/*-same").relative_to(folder)
    assert compared(folder / run, folder / same).same

    do.text("## Diff\n\n`diff` says where two runs begin to differ. Of the copy:")
    do.run(f"pongan diff {run} {same}")
    do.text("A fork with another step size and the same random numbers shows what that does first:")
    do.run(f"pongan fork {run} --at 25000 --agent.optimizer.lr 1e-4 --run.tag slower", last=1)
    slower = only(folder, "runs/actor-critic-cartpole/*/*-slower").relative_to(folder)
    do.text(
        "`--step` takes steps with both from the newest checkpoint that is equal in both, until they differ, and "
        "names the first cause: the batch (all that was drawn or played), the scalars, the gradients as the "
        "optimiser's moments show them, the step size, the weights:"
    )
    said = do.run(f"pongan diff {run} {slower} --step 300 --lines 4", code=1)
    assert "steps: from the checkpoint at clock 25,088" in said

    do.text("## Reproduce\n\n`reproduce` trains a run again, in a folder that is gone afterwards, and compares:")
    said = do.run(f"pongan reproduce {run}", last=4)
    assert "reproduced: equal to the last bit" in said
    do.text(
        "A run keeps what it takes: its configuration, the commit, in `code/` the changes that were not "
        "committed, as a patch for `git apply`, and the sources of a plugin of another package, in `meta.json` "
        "versions, processor and threads. `diff` and `reproduce` name what of these differs. Where the run was "
        "not deterministic, they say from where on it differs and by how much."
    )
    do.text(
        "## Plan\n\nAre three seeds of each enough to tell the two step sizes apart? `plan` takes the spread of the runs that "
        "are there:"
    )
    said = do.run("pongan plan runs --effect 10%")
    assert "seeds needed" in said
    do.text(
        "`pongan sweep --until-sure 10%` trains no more seeds than that, and ends sooner where the answer is clear sooner "
        "([Sweep](workflow.md#sweep))."
    )

    do.text(
        "## Zoo\n\nA run worth keeping becomes an entry of a zoo: its weights, its card, its film. `PONGAN_ZOO` names folders of "
        "one's own; [the package's](zoo.md) has Pong, CartPole and others."
    )
    do.variables["PONGAN_ZOO"] = str(folder / "mine")
    do.run(f"pongan zoo add {run} --name balance --folder mine --episodes 5")
    do.run("pongan zoo balance")
    do.run("pongan play zoo:balance --episodes 2 --render none")
    do.text("Its weights are a beginning too. Of a pole that is to stay up under another discount:")
    do.run("pongan fork zoo:balance --agent.gamma 0.99 --run.until 5000 --run.tag balance", last=4)
    assert RunFolder.meta(only(folder, "runs/actor-critic-cartpole/*/*-balance"))["forked"]["run"] == "zoo:balance"
    if os.environ.get("PONGAN_WRITE_TUTORIAL"):
        PAGE.write_text(do.page)
    assert without_dates(do.commands()) == without_dates(re.findall(r"^\$ (.*)$", PAGE.read_text(), re.MULTILINE))
