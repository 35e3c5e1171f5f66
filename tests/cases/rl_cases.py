"""Reported troubles of reinforcement-learning users, tried on this product: each case builds its inputs in a temporary folder, runs
the product, and prints what comes, what is wanted, and `ok` or `FALLS SHORT`.

From the project's root: PYTHONPATH=. python rl_cases.py [beginnings of case names] [--cold]
"""

import glob
import json
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path.cwd()
T = Path(tempfile.mkdtemp(prefix="cases-"))
WORDS = [a for a in sys.argv[1:] if not a.startswith("--")]
COLD = "--cold" in sys.argv
COUNT = {"ok": 0, "FALLS SHORT": 0}
os.environ.update({
    "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "SDL_VIDEODRIVER": "dummy",
    "COLUMNS": "300", "NO_COLOR": "1", "PYTHONWARNINGS": "ignore",
})
ENV = dict(os.environ)

SERVER = r"""
import json, os, sys
try:
    import tensorflow, keras, gymnasium, ale_py, tensorboard, rich, tyro, yaml
except ImportError: pass
print("ready", flush=True)
for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if child == 0: break
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else: sys.exit()
os.setsid()
os.dup2(os.open(job["out"], os.O_CREAT | os.O_WRONLY | os.O_TRUNC), 1); os.dup2(1, 2); os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
sys.stdin = open(0)
os.chdir(job["cwd"]); sys.path[0] = job["first"]; sys.argv = [job["name"], *job["argv"]]
exec(compile(job["code"], "<case>", "exec"), {"__name__": "__main__"})
"""
MAIN = "import sys\nfrom experiments.__main__ import main\nsys.exit(main())"


class Ended:
    """How a command ended: exit code (None: it was stopped at its time limit), everything it printed, its run folder."""

    def __init__(self, rc, out, runs):
        self.rc, self.out = rc, out
        found = sorted(glob.glob(f"{glob.escape(str(runs))}/*/*/*/")) if runs else []
        self.run = Path(found[0]) if found else None

    @property
    def error(self):
        """The sentence: what follows the last `error:`, or the last line."""
        lines = [line.strip() for line in self.out.splitlines() if line.strip()]
        last = [i for i, line in enumerate(lines) if line.startswith("error")]
        return " ".join(lines[last[-1]:]) if last else (lines[-1] if lines else "nothing was printed")

    @property
    def traceback(self):
        return "Traceback (most recent call last)" in self.out

    @property
    def sentence(self):
        """Whether it ended with exit code 2 and a sentence that says something, without a traceback."""
        said = self.error.removeprefix("error").strip(": ")
        reason = said.partition(" raised ")[2].partition(":")[2].partition("(traceback in")[0] if " raised " in said else said
        return self.rc == 2 and not self.traceback and bool(reason.strip())

    @property
    def status(self):
        file = self.run / "meta.json" if self.run else None
        return json.loads(file.read_text()).get("status", "") if file and file.is_file() else "no meta.json"

    @property
    def results(self):
        file = self.run / "results.json" if self.run else None
        return json.loads(file.read_text()) if file and file.is_file() else None

    @property
    def score(self):
        return self.results["headline"]["final"] if self.results else float("nan")

    @property
    def clocks(self):
        """Clocks of the whole checkpoints."""
        return sorted(int(p.name) for p in (self.run / "checkpoints").iterdir() if p.name.isdecimal()) if self.run else []

    def __str__(self):
        status = f"status {self.status!r}, " if self.run else ""
        return f"rc {self.rc}, {status}{self.error[:230]!r}"


class Product:
    """Runs commands, each in a process of its own. It is forked from one that has imported TensorFlow and nothing of the product,
    which saves seconds each time; with --cold every command gets a fresh interpreter."""

    def __init__(self):
        self.server, self.count = None, 0

    def command(self, *argv, code=MAIN, cwd=T, first="", limit=60.0, name="experiments", runs=None):
        self.count += 1
        out = T / "out" / f"{self.count}.txt"
        out.parent.mkdir(exist_ok=True)
        argv = [str(a) for a in argv]
        if COLD:
            code = f"import sys\nsys.path[0] = {first!r}\nsys.argv[0] = {name!r}\n" + code
            with open(out, "w") as file:
                process = subprocess.Popen([sys.executable, "-c", code, *argv], cwd=cwd, env=ENV, stdout=file, stderr=file,
                                           stdin=subprocess.DEVNULL, start_new_session=True)
                try:
                    rc = process.wait(limit + 20)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                    rc = None
            return Ended(rc, out.read_text(errors="replace"), runs)
        if self.server is None:
            self.server = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                           stderr=subprocess.DEVNULL, text=True, env=ENV, cwd=T)
            assert self.server.stdout.readline().strip() == "ready"
        job = {"argv": argv, "code": code, "cwd": str(cwd), "first": first, "name": name, "out": str(out)}
        self.server.stdin.write(json.dumps(job) + "\n")
        self.server.stdin.flush()
        child = int(self.server.stdout.readline())
        late = not select.select([self.server.stdout], [], [], limit)[0]
        if late:
            os.killpg(child, signal.SIGKILL)
        rc = int(self.server.stdout.readline())
        return Ended(None if late else rc, out.read_text(errors="replace"), runs)

    def train(self, agent, env, *more, until=40, folder=None, cwd=T, **options):
        """Train a tiny agent on an environment of the module `own_envs`, or on an id with a colon or a slash."""
        tiny = {
            "policy-gradient": "--agent.games 2 --agent.batch-episodes 2 --agent.hidden 8 --eval.episodes 2",
            "actor-critic": "--agent.envs 1 --agent.n-steps 8 --agent.hidden 8 --eval.episodes 2",
            "dqn": "--agent.envs 1 --agent.capacity 200 --agent.learning-starts 16 --agent.update-every 4 --agent.batch 4 --agent.hidden 8 --eval.episodes 2",
            "a3c": "--agent.workers 1 --agent.backend threads --agent.n-steps 4 --agent.hidden 8 --agent.turn 5 --eval.episodes 2",
        }[agent].split()
        env = env if "/" in env else f"own_envs:own/{env}-v0"
        folder = folder or T / "runs" / str(self.count)
        where = folder if Path(folder).is_absolute() else Path(cwd) / folder
        return self.command("run", agent, "--agent.env.id", env, *tiny, "--run.until", until, "--run.threads", 1, "--run.device", "cpu",
                            "--run.folder", folder, *more, cwd=cwd, runs=where, **options)

    def probe(self, code, **options):
        """Run Python code that ends with answer(...) in a process of its own and return what it answered."""
        head = "import json, warnings\nwarnings.simplefilter('ignore')\ndef answer(x): print('\\n@@' + json.dumps(x, default=str))\n"
        ended = self.command(code=head + code, **options)
        said = [line[2:] for line in ended.out.splitlines() if line.startswith("@@")]
        return json.loads(said[-1]) if said else f"no answer: rc {ended.rc}, {ended.error[:200]}"


product = Product()


def case(name, wanted, check):
    """Run one case: `check()` returns (whether it is right, what came)."""
    if WORDS and not any(name.startswith(word) for word in WORDS):
        return
    began = time.monotonic()
    try:
        right, got = check()
    except Exception as error:  # noqa: BLE001
        right, got = False, f"the case could not be judged: {type(error).__name__}: {error}"
    verdict = "ok" if right else "FALLS SHORT"
    COUNT[verdict] += 1
    print(f"\n{name}  ({time.monotonic() - began:.1f} s)\n   got     {got}\n   wanted  {wanted}\n   {verdict}", flush=True)


def finish():
    if product.server is not None:
        product.server.stdin.close()
        product.server.wait()
    shutil.rmtree(T, ignore_errors=True)
    print(f"\n{COUNT['ok']} ok, {COUNT['FALLS SHORT']} fall short")
    sys.exit(1 if COUNT["FALLS SHORT"] else 0)

(T / "own_envs.py").write_text(r'''
import os, sys
import gymnasium, numpy as np
from gymnasium.spaces import Box, Discrete

HERE = os.path.dirname(os.path.abspath(__file__))
U8 = np.uint8

class Base(gymnasium.Env):
    metadata = {"render_modes": []}
    observation_space, action_space, LENGTH = Box(-1, 1, (3,), np.float32), Discrete(2), 5
    def __init__(self, render_mode=None): self.render_mode = render_mode
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed); self.t = 0; return self.see(), {}
    def see(self): return self.np_random.uniform(-1, 1, 3).astype(np.float32)
    def reward(self, action): return float(action)
    def step(self, action):
        self.t += 1; return self.see(), self.reward(action), self.t >= self.LENGTH, False, {}

class Exits(Base):  # the usual loop of a game: the window was closed
    steps = 0
    def step(self, action):
        Exits.steps += 1
        if Exits.steps == 12: sys.exit()
        return super().step(action)

class OneAtATime(Base):  # a simulator on a fixed port
    busy = False
    def __init__(self, render_mode=None):
        super().__init__(render_mode)
        if OneAtATime.busy: raise OSError(98, "Address already in use")
        OneAtATime.busy = True
    def close(self): OneAtATime.busy = False

class Filmed(Base):
    metadata, SHAPE = {"render_modes": ["rgb_array"], "render_fps": 4}, (40, 60, 5)  # colour, depth and segmentation
    def render(self): return np.full(self.SHAPE, 200, U8)
class Cameras(Filmed): SHAPE = (4, 40, 60, 3)
class ChannelsFirst(Filmed): SHAPE = (3, 40, 60)
class OneRow(Filmed):  # a strip of lamps
    def render(self): return np.tile(np.array([220, 40, 10], U8), (1, 60, 1))
class FloatFilm(Filmed):
    def render(self): return np.full((40, 60, 3), 0.8, np.float32)

class Bits(Base):  # the right action is the bit that is seen
    HIGH = 1
    observation_space = Box(0, 1, (2,), U8)
    def see(self):
        self.bit = int(self.np_random.integers(2)); seen = np.zeros(self.observation_space.shape, self.observation_space.dtype)
        seen[self.bit] = self.HIGH; return seen
    def step(self, action):
        right = float(action == self.bit); return self.see(), right, True, False, {}
class PictureBits(Bits): observation_space = Box(0, 1, (2, 36, 36), U8)

class ForgotInfo(Base):
    def reset(self, *, seed=None, options=None): return super().reset(seed=seed)[0]
class ScalarForThree(Base):
    def see(self): return np.float32(self.np_random.uniform(-1, 1))
class OneForThree(Base):
    def see(self): return np.array([self.np_random.uniform(-1, 1)], np.float32)
class FloatForBytes(Base):
    observation_space = Box(0, 255, (3,), U8)
    def see(self): return self.np_random.uniform(0.1, 0.9, 3)
class FloatForInt(Base):
    observation_space = Box(0, 10, (3,), np.int64)
    def see(self): return self.np_random.uniform(0.1, 0.9, 3)
class LargeForBytes(Base):
    observation_space = Box(0, 255, (3,), U8)
    def see(self): return self.np_random.integers(256, 600, 3)
class NegativeState(Base):
    observation_space = Discrete(4)
    def see(self): return -1

class Closing(Base):  # close() fails when no window was ever opened
    viewer = None
    def close(self): self.viewer.close()
class ClosingInside(Base):  # close() fails in the middle of an episode: at the end of training
    LENGTH = 7
    def close(self):
        if 0 < self.t < self.LENGTH: raise ConnectionResetError("the simulator is gone")

class Item(Base):  # actions are numpy numbers, as Gymnasium's own samples are
    def step(self, action): return super().step(action.item())

class Flaky(Base):  # a simulator that may not run
    def __init__(self, render_mode=None):
        super().__init__(render_mode)
        if os.path.exists(os.path.join(HERE, "broken")): raise ConnectionError("the simulator does not answer")

class Chdir(Base):  # goes to the folder of its files
    def __init__(self, render_mode=None): super().__init__(render_mode); os.chdir(os.path.join(HERE, "elsewhere"))

class BlankLine(Base):
    def step(self, action): raise RuntimeError("\n        The simulator was started before it was set up.\n")

class FromMinusOne(Base): action_space = Discrete(3, start=-1)

class NanReward(Base):
    def reward(self, action): return float("nan") if self.t == 3 else 1.0
class NoReward(Base):
    def reward(self, action): return None
class NanSeen(Base):
    def see(self): return np.full(3, np.nan, np.float32)
class InfSeen(Base):
    def see(self): return np.full(3, np.inf, np.float32)

for kind in list(globals().values()):
    if isinstance(kind, type) and issubclass(kind, Base): gymnasium.register(f"own/{kind.__name__}-v0", f"own_envs:{kind.__name__}")
''')
(T / "elsewhere").mkdir()

# --- F1: an environment that calls sys.exit() -------------------------------------------------------------------------


def exits(agent, *more):
    def check():
        ended = product.train(agent, "Exits", *more, until=400)
        told = ended.sentence and ended.status.startswith("failed") and "zip()" not in ended.error
        return told, ended

    return check


ONE = "exit code 2, one sentence, status failed"
case("F1a policy-gradient: the environment calls sys.exit()", ONE, exits("policy-gradient"))
case("F1b dqn: the environment calls sys.exit()", ONE, exits("dqn"))
case("F1c a3c in threads: the environment calls sys.exit()", ONE + ", about the environment, not about zip()", exits("a3c"))

# --- F2: an error in the evaluation loses the training ------------------------------------------------------------------


def one_instance():
    ended = product.train("actor-critic", "OneAtATime")
    return ended.rc in (0, 2) and not ended.traceback and max(ended.clocks, default=0) >= 40, f"{ended}; checkpoints {ended.clocks}"


case("F2 only one instance can exist: the evaluation's is refused", "a checkpoint of the trained weights (clock 40), exit code 0 or 2", one_instance)

# --- F3: films that cannot be encoded -----------------------------------------------------------------------------------


def film(env):
    def check():
        ended = product.train("policy-gradient", env)
        return ended.rc == 0 and ended.results is not None, f"{ended}; results.json {'there' if ended.results else 'missing'}"

    return check


STANDS = "the run finishes, exit code 0, results.json there"
case("F3a render() returns five channels", STANDS, film("Filmed"))
case("F3b render() returns four pictures", STANDS, film("Cameras"))
case("F3c render() returns [3, H, W]", STANDS, film("ChannelsFirst"))

# --- F4: bytes that do not reach 255 ------------------------------------------------------------------------------------


def learns(agent, env, until, *flags):
    def check():
        ended = product.train(agent, env, *flags, until=until)
        refused = ended.sentence and any(word in ended.error for word in ("255", "high", "bound", "Box("))
        return refused or ended.score >= 0.9, f"return {ended.score:.2f} (0.5 is chance); {ended}"

    return check


LEARNED = "a return of 0.9 or more, or a sentence about the space's bounds"
FAST = "--agent.optimizer.name adam --eval.episodes 100".split()
PG = [*FAST, *"--agent.optimizer.epsilon 1e-8 --agent.optimizer.lr 1e-2 --agent.games 8 --agent.batch-episodes 64 --agent.hidden 32".split()]
AC = [*FAST, *"--agent.optimizer.lr 3e-4 --agent.envs 16 --agent.n-steps 4 --eval.greedy".split()]
case("F4a policy-gradient on Box(0, 1, (2,), uint8)", LEARNED, learns("policy-gradient", "Bits", 6000, *PG))
case("F4b actor-critic on Box(0, 1, (2, 36, 36), uint8)", LEARNED, learns("actor-critic", "PictureBits", 4000, *AC))

# --- F5: what the registration of an Atari id says ----------------------------------------------------------------------

ATARI = """
import ale_py, gymnasium, numpy as np
from core.errors import UsageError
from envs import EnvConfig, make
from gymnasium.wrappers import TransformReward
gymnasium.register_envs(ale_py)
def penalty(reward): return reward - 0.01
gymnasium.register("own/Penalty-v0", "ale_py.env:AtariEnv", max_episode_steps=50, kwargs=dict(game="pong", frameskip=4, repeat_action_probability=0.0),
                   additional_wrappers=(TransformReward.wrapper_spec(func=penalty),))
gymnasium.register("own/Short-v0", "ale_py.env:AtariEnv", max_episode_steps=20, kwargs=dict(game="pong", frameskip=4, repeat_action_probability=0.0))
gymnasium.register("own/Ram-v0", "ale_py.env:AtariEnv", kwargs=dict(game="pong", obs_type="ram", frameskip=4, repeat_action_probability=0.0))
gymnasium.register("own/Full-v0", "ale_py.env:AtariEnv", kwargs=dict(game="pong", mode=1, difficulty=1, full_action_space=True, frameskip=4, repeat_action_probability=0.0))
def play(name, steps=3, **more):
    try:
        env = make(EnvConfig(id=name, noop_max=0, **more), 1, 1); env.reset()
        taken = [env.step(np.array([0])) for _ in range(steps)]
    except UsageError as error: return {"sentence": str(error)}
    return {"rewards": [float(s.reward[0]) for s in taken], "ended": [bool(s.done[0]) for s in taken], "seen": list(env.observation_space.shape),
            "actions": int(env.action_space.n), "protocol": env.protocol}
"""


def atari(code, right):
    def check():
        got = product.probe(ATARI + f"answer({code})")
        return isinstance(got, dict) and ("sentence" in got or right(got)), got

    return check


OR = ", or a sentence that it is not supported"
case("F5a a wrapper of the registration takes 0.01 from every reward", "rewards -0.01" + OR,
     atari('play("own/Penalty-v0")', lambda got: abs(got["rewards"][0] + 0.01) < 1e-6))
case("F5b max_episode_steps=20 of the registration", "the episode ends after 20 steps" + OR,
     atari('play("own/Short-v0", 25)', lambda got: got["ended"][:20] == [False] * 19 + [True]))
case("F5c obs_type='ram'", "128 bytes are seen" + OR, atari('play("own/Ram-v0")', lambda got: got["seen"] == [128]))
case("F5d full_action_space, mode and difficulty", "18 actions" + OR, atari('play("own/Full-v0")', lambda got: got["actions"] == 18))

# --- F6: answers of the environment that do not fit what it declares ------------------------------------------------------

SEEN = """
import numpy as np
from core.errors import UsageError
from envs import EnvConfig, make
import own_envs
kind = own_envs.{name}
said, gained = [], []
reset, step = kind.reset, kind.step
def heard_reset(self, **more):
    result = reset(self, **more); said.append(np.array(result[0] if isinstance(result, tuple) else result)); return result
def heard_step(self, action):
    result = step(self, action); said.append(np.array(result[0])); gained.append(result[1]); return result
kind.reset, kind.step = heard_reset, heard_step
try:
    env = make(EnvConfig(id="own_envs:own/{name}-v0"), 1, 1)
    seen, got = [np.array(env.reset()[0])], []
    for _ in range(3): s = env.step(np.array([1])); seen.append(np.array(s.obs[0])); got.append(s.reward[0])
    same = all(a.shape == b.shape and np.array_equal(a, b) for a, b in zip(said, seen)) and [float(x) for x in np.ravel(gained)] == [float(x) for x in got]
    answer({{"same": same, "said": said[0].tolist(), "seen": seen[0].tolist(), "rewards": [str(gained[0]), float(got[0])]}})
except UsageError as error: answer({{"sentence": str(error)}})
except Exception as error: answer({{"raised": type(error).__name__ + ": " + str(error)}})
"""


def fits(name, possible=True):
    """`possible`: what the environment said can be taken as it is; otherwise only a sentence is right."""

    def check():
        got = product.probe(SEEN.format(name=name))
        if isinstance(got, dict) and ("sentence" in got or (possible and got.get("same"))):
            return True, got
        ended = product.train("policy-gradient", name)  # the sentence may come from the agent
        return ended.sentence, f"{got}; policy-gradient: {ended}"

    return check


SAID = "one sentence about it, or the agent sees what the environment said"
case("F6a reset() returns the observation without info", SAID, fits("ForgotInfo"))
case("F6b a number where three are declared", SAID, fits("ScalarForThree"))
case("F6c [1] where [3] is declared", SAID, fits("OneForThree"))
case("F6d fractions where bytes are declared", SAID, fits("FloatForBytes"))
case("F6e fractions where integers are declared", SAID, fits("FloatForInt"))
case("F6f 256 to 599 where bytes are declared", SAID, fits("LargeForBytes"))
case("F6g state -1 of Discrete(4)", "one sentence about it", fits("NegativeState", possible=False))

# --- F7: close() fails ------------------------------------------------------------------------------------------------


def closing(env):
    def check():
        ended = product.train("actor-critic", env, until=80)
        return ended.rc == 0 and ended.results is not None and ended.status == "finished" and not ended.traceback, ended

    return check


KEPT = "results.json, status finished, exit code 0, at most a warning"
case("F7a close() always raises", KEPT, closing("Closing"))
case("F7b close() raises at the end of training", KEPT, closing("ClosingInside"))

# --- F8: the type of an action ----------------------------------------------------------------------------------------


def item():
    ended = product.train("policy-gradient", "Item")
    return ended.rc == 0, ended


case("F8 the environment calls action.item()", "works", item)

# --- F9: play and export where the environment raises -----------------------------------------------------------------


def flaky():
    first = product.train("policy-gradient", "Flaky")
    (T / "broken").touch()
    played = product.command("play", first.run, "--out", T / "flaky.gif")
    exported = product.command("export", first.run, "-o", T / "flaky")
    (T / "broken").unlink()
    right = [ended.sentence or (ended.rc == 0 and not ended.traceback) for ended in (played, exported)]
    return all(right), f"play: rc {played.rc}, traceback {played.traceback}, {played.error[:110]!r}; export: rc {exported.rc}, traceback {exported.traceback}, {exported.error[:110]!r}"


case("F9 play and export while the simulator does not answer", "exit code 2 and one sentence, without a traceback", flaky)

# --- F10: an environment that changes the working directory -----------------------------------------------------------


def moves():
    ended = product.train("policy-gradient", "Chdir", folder="relative")
    return ended.rc == 0 and ended.results is not None and ended.status == "finished", ended


case("F10 os.chdir() in an environment, relative --run.folder", "the run finishes in the folder that was named", moves)

# --- F11: scripts without a guard; sentences that begin with a blank line ----------------------------------------------


def guarded():
    text = (ROOT / "docs" / "workflow.md").read_text()
    blocks = [part.partition("```")[0] for part in text.split("```python")[1:]]
    scripts = [block for block in blocks if "experiments.__main__" in block or "experiments import" in block]
    return all("__name__" in block for block in scripts), f"{sum('__name__' in block for block in scripts)} of {len(scripts)} scripts that train have a guard"


def blank():
    ended = product.train("policy-gradient", "BlankLine")
    return ended.sentence and "started before" in ended.error, ended


case("F11a the script in docs/workflow.md", "`if __name__ == '__main__':`, since a3c starts processes", guarded)
case("F11b an error whose text begins with a blank line", "a sentence with its first line of text", blank)

# --- F12: actions below 0 ---------------------------------------------------------------------------------------------


def below_zero():
    ended = product.train("policy-gradient", "FromMinusOne", "--agent.env.actions", -1, 1)
    return ended.rc == 0, ended


case("F12 --agent.env.actions -1 1 of Discrete(3, start=-1)", "works", below_zero)

# --- F13: numbers that are none -----------------------------------------------------------------------------------------


def blamed(env, words):
    def check():
        ended = product.train("policy-gradient", env, "--run.log-every", 20, until=400)
        return ended.sentence and "step size" not in ended.error and any(w in ended.error.lower() for w in words), ended

    return check


case("F13a the environment's reward is nan", "a sentence that blames the reward, not the step size", blamed("NanReward", ["reward"]))
case("F13b the environment's reward is None", "a sentence that blames the reward", blamed("NoReward", ["reward"]))
case("F13c the environment's observation is nan", "a sentence that blames the observation", blamed("NanSeen", ["observation"]))
case("F13d the environment's observation is infinite", "a sentence that blames the observation", blamed("InfSeen", ["observation"]))

# --- F14: printed commands ----------------------------------------------------------------------------------------------


def printed(folder):
    def check():
        ended = product.train("policy-gradient", "Flaky", folder=T / folder)
        lines = {key: next((x.strip() for x in ended.out.splitlines() if x.startswith(key)), "") for key in ("TensorBoard", "go on")}
        try:
            words = {key: shlex.split(line) for key, line in lines.items()}
            board = words["TensorBoard"][words["TensorBoard"].index("--logdir") + 1]
            run = words["go on"][words["go on"].index("resume") + 1]
        except ValueError as error:
            return False, f"{lines}: {error}"
        return (T / board).is_dir() and (T / run / "config.yaml").is_file(), f"a shell reads {board!r} and {run!r}"

    return check


case("F14 a run folder with a space in its name", "the printed commands work when they are pasted into a shell", printed("my runs"))

# --- F15: the command `pongan` -------------------------------------------------------------------------------------------


def entry_point():
    import tomllib

    target = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["pongan"]
    module, _, function = target.partition(":")
    return f"import sys\nfrom {module} import {function} as begin\nsys.exit(begin())"


def command():
    (T / "bin").mkdir(exist_ok=True)
    ended = product.train("policy-gradient", "Flaky", code=entry_point(), first=str(T / "bin"), name=str(T / "bin" / "pongan"))
    return ended.rc == 0, ended


case("F15 `pongan run` with a module of the current folder", "found, as with python -m experiments", command)

# --- F16: limits of the emulator ------------------------------------------------------------------------------------------


def limit(name, value, more="env.reset(); env.step(np.array([0])); "):
    def check():
        got = product.probe(ATARI + f"""
try:
    env = make(EnvConfig(id="ALE/Pong-v5", {name}={value}), 1, 1); {more}answer({{"protocol": env.protocol}})
except UsageError as error: answer({{"sentence": str(error)}})
except Exception as error: answer({{"raised": type(error).__name__ + ": " + str(error)[:120]}})
""", limit=20)
        said = got.get("sentence", "") if isinstance(got, dict) else ""
        works = isinstance(got, dict) and "protocol" in got and "time limit 0 " not in got["protocol"]
        return works or (name in said and "(self" not in said and "\n" not in said), got

    return check


case("F16a time_limit of 1,000,000,000 steps", "works, or a sentence that names time_limit and its highest value", limit("time_limit", 10**9))
case("F16b frame_skip of 200,000", "a sentence that names frame_skip and its highest value", limit("frame_skip", 200_000, more=""))

# --- F17: short runs --------------------------------------------------------------------------------------------------------


CURVES = """
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator({run!r}, size_guidance={{"tensors": 0}}); events.Reload()
tags = [tag for tag in events.Tags()["tensors"] if events.summary_metadata[tag].plugin_data.plugin_name == "scalars"]
answer({{tag: [event.step for event in events.Tensors(tag)] for tag in tags}})
"""


def short():
    ended = product.train("policy-gradient", "Flaky", until=400)
    found = {tag: steps for tag, steps in product.probe(CURVES.format(run=str(ended.run))).items() if not tag.startswith("eval/")}
    return any(steps for tag, steps in found.items() if not tag.startswith("time/")), f"points besides the evaluation: {found or 'none'}"


case("F17 a run of 400 steps, shorter than log_every", "its returns and losses have a point", short)

# --- F18: films that are written wrongly ----------------------------------------------------------------------------------


def shown(env, colour, size):
    def check():
        from PIL import Image

        ended = product.train("policy-gradient", env)
        played = product.command("play", ended.run, "--out", T / f"{env}.gif")
        if not (T / f"{env}.gif").is_file():
            return played.rc == 0 and "no film" in played.out, f"rc {played.rc}, no film; {played.out[-150:]!r}"
        with Image.open(T / f"{env}.gif") as film:
            first = film.convert("RGB")
        pixel = first.getpixel((0, 0))
        return first.size == size and max(abs(a - b) for a, b in zip(pixel, colour)) <= 12, f"{first.size[0]}x{first.size[1]}, pixels {pixel}"

    return check


case("F18a a picture of one row", "60x1 in its colour (220, 40, 10), or no film with the reason", shown("OneRow", (220, 40, 10), (60, 1)))
case("F18b a picture of fractions, 0.8", "60x40 of about (204, 204, 204), or no film with the reason", shown("FloatFilm", (204, 204, 204), (60, 40)))

finish()
