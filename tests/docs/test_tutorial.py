"""A new user's first session, from two agents and two GANs to an exported model and a plugin of one's own.

The test runs every command of docs/tutorial.md for real. `PONGAN_WRITE_TUTORIAL=1` writes the page with what the commands
printed; without it the page must have these very commands. `PONGAN_KEEP=FOLDER` leaves the session's files there.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from experiments.sweeps.plan import read_record
from tests.conftest import ROOT
from tests.docs.session import Session, only, without_dates, words

PAGE = ROOT / "docs" / "tutorial.md"
INTRODUCTION = """# Tutorial

A session on a laptop: two agents and two GANs are trained for seconds, compared, swept, profiled and exported, and a plugin of
your own joins them. After the [installation](index.md#install), `source .venv/bin/activate` puts `python` and `pongan` on the
path. The sweep needs the extra `ray`.

The test `tests/docs/test_tutorial.py` runs every command, and the page shows the output. Runs this short show the tools, not what
the algorithms can do.
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_tutorial_is_what_happens(tmp_path: Path) -> None:
    folder = Path(os.environ.get("PONGAN_KEEP", tmp_path / "session"))
    folder.mkdir(parents=True, exist_ok=True)
    do = Session(folder, INTRODUCTION)

    do.text("## Train two agents and two GANs")
    do.run("python -m experiments.run actor-critic-cartpole --run.until 40000 --run.eval-every 10000")
    do.run("python -m experiments.run policy-gradient-cartpole --run.until 40000 --run.eval-every 10000", last=12)
    do.run("python -m experiments.run dcgan-ring --run.until 1000 --run.eval-every 500", last=14)
    do.run("python -m experiments.run wgan-ring --run.until 1000 --run.eval-every 500", last=14)
    agent = only(folder, "runs/actor-critic-cartpole/*/*").relative_to(folder)
    model = only(folder, "runs/dcgan-ring/*/*").relative_to(folder)
    do.text("Each run is a folder of its own. An agent plays, a model draws:")
    do.run(f"pongan play {agent}", last=14)
    do.run(f"pongan sample {model} --n 500 --out ring.png")
    assert (folder / "ring.png").stat().st_size > 5_000
    do.text("Go on where a run ended:")
    do.run(f"pongan resume {agent} --run.until 60000", last=16)

    do.text("## Compare")
    said = do.run("pongan compare runs/actor-critic-cartpole runs/policy-gradient-cartpole")
    assert "eval/return_mean of 2 runs" in said and (folder / "compare.png").is_file()
    do.run("pongan compare runs/dcgan-ring runs/wgan-ring --csv gans.csv", last=4)

    do.text("## Sweep")
    do.text("Two step sizes with two seeds each, two trials at a time. Another terminal kills one of them on its way:")
    command = (
        "pongan sweep actor-critic-cartpole --seeds 2 --grid agent.optimizer.lr=3e-3,1e-4 --workers 2 "
        "--run.until 60000 --run.eval-every 20000 --run.save-every 20000"
    )
    process = subprocess.Popen(
        words(command), cwd=folder, env=do.environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    kill_trial(folder, "t001")
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 1 and "Traceback" not in output, output
    assert "finished, killed" in output  # the state of the runs with the killed one's settings
    do.show(command, output)
    sweep = only(folder, "sweeps/actor-critic-cartpole/*").relative_to(folder)
    states = {trial: read_record(folder / sweep, trial)["state"] for trial in ("t001", "t002", "t003", "t004")}
    assert states == {"t001": "failed", "t002": "finished", "t003": "finished", "t004": "finished"}
    do.text("The other trials were trained all the same. The killed trial goes on from its last checkpoint:")
    do.run(f"pongan sweep --resume {sweep} --retry")
    assert read_record(folder / sweep, "t001")["state"] == "finished"

    do.text("## Look where the time goes")
    do.run("pongan profile actor-critic-cartpole --seconds 5 --warm-up 3", last=22)
    assert only(folder, "runs/actor-critic-cartpole/*/*-profile/plugins/profile/*/*.xplane.pb").stat().st_size > 1_000

    do.text("## Export")
    do.run(f"pongan export {agent} -o exported")
    (folder / "use.py").write_text(
        "import sys\n\nimport tensorflow as tf\n\n"
        'act = tf.saved_model.load("exported").signatures["act"]\n'
        "outputs = act(observation=tf.constant([[0.0, 0.0, 0.1, 0.5], [0.0, 0.0, -0.1, -0.5]]))\n"
        'print("action", outputs["action"].numpy().tolist())\n'
        'print("ours imported:", [name for name in sys.modules if name.split(".")[0] in ("core", "agents", "experiments")])\n'
    )
    do.text("A program that knows TensorFlow and nothing of this package:")
    do.page += f'\n```python title="use.py"\n{(folder / "use.py").read_text()}```\n'
    said = do.run("python -I use.py")
    assert re.search(r"action \[[01], [01]\]", said) and "ours imported: []" in said
    card = (folder / "exported" / "README.md").read_text()
    do.text("The model card begins:")
    do.page += "\n````markdown\n" + do.plain(card[: card.index("\n## Training")]).rstrip() + "\n````\n"

    do.text("## Write a plugin")
    do.run("pongan new agent bright-idea --package bright-idea")
    do.text(
        "The package is installed like any other (here into a folder of its own, so that the session leaves nothing behind):"
    )
    do.run("python -m pip install --quiet --no-deps --no-build-isolation --target site bright-idea/")
    do.run("python -m experiments.run bright-idea --run.until 20000 --run.eval-every 10000", last=18)
    do.run("python -m pytest -q bright-idea/test_bright_idea.py", last=1)
    idea = only(folder, "runs/bright-idea/*/*").relative_to(folder)
    do.run(f"pongan export {idea} -o exported-idea")
    do.text(
        "## Look at it all\n\n    pongan tensorboard runs\n\n"
        "![Scalars](tensorboard-scalars.png)\n\n![Images](tensorboard-images.png)\n\n![HParams](tensorboard-hparams.png)\n\n"
        "[Write a plugin](write-a-plugin.md) explains what `new` has written; "
        "[research workflow](workflow.md) has the flags of every verb."
    )
    if os.environ.get("PONGAN_WRITE_TUTORIAL"):
        PAGE.write_text(do.page)
    assert without_dates(do.commands()) == without_dates(re.findall(r"^\$ (.*)$", PAGE.read_text(), re.MULTILINE))


def kill_trial(folder: Path, trial: str) -> None:
    """Send SIGKILL to a trial's process once it has a checkpoint to go on from."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        for run in folder.glob(f"sweeps/*/*/runs/*/*/*-{trial}"):
            if [path for path in run.glob("checkpoints/0*") if int(path.name[:12]) > 0]:
                for process in Path("/proc").glob("[0-9]*"):
                    line = (process / "cmdline").read_bytes().split(b"\0") if (process / "cmdline").is_file() else []
                    if (
                        b"experiments.sweeps.trial" in line
                        and trial.encode() in line
                        and str(folder).encode() in b" ".join(line)
                    ):
                        os.kill(int(process.name), signal.SIGKILL)
                        return
        time.sleep(0.05)
    raise AssertionError(f"{trial} never saved")
