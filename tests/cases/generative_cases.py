"""Reported troubles of users of generative models, data folders and upscaling, tried on this product: each case builds its inputs in a
temporary folder, runs the product, and prints what comes, what is wanted, and `ok` or `FALLS SHORT`.

From the project's root: PYTHONPATH=. python generative_cases.py [beginnings of case names]
"""

import base64
import collections
import contextlib
import glob
import gzip
import io
import os
import random
import re
import shutil
import signal
import struct
import sys
import tarfile
import tempfile
import time
import traceback
import unicodedata
import zipfile
from pathlib import Path

os.environ.update({"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "COLUMNS": "300", "NO_COLOR": "1"})

import numpy as np
from PIL import Image, ImageCms

from core.errors import UsageError

ROOT = Path.cwd()
T = Path(tempfile.mkdtemp(prefix="cases-"))
WORDS = [a for a in sys.argv[1:] if not a.startswith("--")]
COUNT = {"ok": 0, "FALLS SHORT": 0}
LIMIT = 60  # seconds a case may take
rng = np.random.default_rng(0)


class TooSlow(BaseException):
    pass


def _too_slow(number, frame):
    raise TooSlow


signal.signal(signal.SIGALRM, _too_slow)


def where(error):
    """Return an error as one line with the place in the product that let it through."""
    own = [x for x in traceback.extract_tb(error.__traceback__) if x.filename.startswith(str(ROOT))]
    place = f" at {os.path.relpath(own[-1].filename, ROOT)}:{own[-1].lineno}" if own else ""
    return f"{type(error).__name__}: {str(error)[:120]}{place}"


def case(name, wanted, check):
    """Run one case: `check()` returns (whether it is right, what came). UsageError: see `sentence`; any other error is wrong."""
    if WORDS and not any(name.startswith(word) for word in WORDS):
        return
    began = time.monotonic()
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what native libraries say
    signal.alarm(LIMIT)
    try:
        right, got = check()
    except TooSlow:
        right, got = False, f"not done after {LIMIT} s"
    except UsageError as error:
        right, got = False, f"sentence: {error}"
    except Exception as error:  # noqa: BLE001
        right, got = False, where(error)
    finally:
        signal.alarm(0)
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
    verdict = "ok" if right else "FALLS SHORT"
    COUNT[verdict] += 1
    print(f"\n{name}  ({time.monotonic() - began:.1f} s)\n   got     {str(got)[:900]}\n   wanted  {wanted}\n   {verdict}", flush=True)


def finish():
    shutil.rmtree(T, ignore_errors=True)
    print(f"\n{COUNT['ok']} ok, {COUNT['FALLS SHORT']} fall short")
    sys.exit(1 if COUNT["FALLS SHORT"] else 0)


def sentence(do, *words):
    """Return `do()` as (True, sentence) where it raises a UsageError of one line with one of the words, else its own (right, got)."""
    try:
        return do()
    except UsageError as error:
        text = str(error)
        return "\n" not in text.strip() and (not words or any(word in text for word in words)), f"sentence: {text}"


class Ended:
    def __init__(self, rc, text):
        self.rc, self.text = rc, text

    @property
    def last(self):
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("error")]
        return (errors or lines or ["nothing was printed"])[-1]

    @property
    def sentence(self):
        return self.rc == 2 and "error" in self.text

    def __str__(self):
        return f"rc {self.rc}, {self.last[:260]!r}"


def cli(*argv):
    """Run a command of the product in this process."""
    from experiments.__main__ import main

    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            rc = main([str(a) for a in argv])
    except SystemExit as error:
        rc = error.code
    except Exception as error:  # noqa: BLE001
        rc = f"1, a traceback ({where(error)})"
    return Ended(rc, out.getvalue())


def pixels(h=64, w=64, channels=3):
    return rng.integers(0, 256, (h, w, channels) if channels else (h, w), np.uint8)


def pic(path, h=64, w=64):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(h, w)).save(path)
    return path


def opened(source, **more):
    """Open a data source and draw a batch; return (data, lines that were said)."""
    from generative.data.settings import DataConfig
    from generative.data.sources import open_data

    said = []
    data = open_data(DataConfig(source=str(source), **more), said.append)
    data.draw(0, 0, min(4, len(data)))
    return data, said


def told(said, *words):
    return any(word in line for line in said for word in words)


def encoded(kind, image=None, **more):
    out = io.BytesIO()
    (image or Image.fromarray(pixels(40, 56))).save(out, kind, **more)
    return out.getvalue()


def train(name, *flags):
    """Train a tiny model and return its run folder."""
    folder = T / "runs" / f"{len(os.listdir(T))}-{time.monotonic_ns()}"
    ended = cli("run", name, *flags, "--run.device", "cpu", "--run.folder", folder)
    found = glob.glob(str(folder / "*/*/*/"))
    assert ended.rc == 0 and found, f"the run could not be made: {ended}"
    return Path(found[0])


VAE = ("--model.likelihood gaussian --model.binarise no --model.hidden 8 --model.latent 2 --model.nll-samples 5 --model.batch 8 --model.turn 1 "
       "--model.held-out 10 --run.until 4 --run.eval-every 2 --run.save-every 2").split()
SRGAN = ("--model.held-out 2 --model.blocks 1 --model.width 4 --model.ends 3 --model.d-width 1 --model.crop 32 --model.batch 2 --model.stage-one 4 "
         "--model.stage-two 2 --model.eval-side 48 --run.until 2").split()
_RUNS = {}


def vae():
    """The run folder of a vae trained on 40 pictures in T/grow."""
    if "vae" not in _RUNS:
        for i in range(40):
            pic(T / "grow" / f"p{i:02d}.png", 16, 16)
        _RUNS["vae"] = train("vae", "--model.data.source", f"folder:{T / 'grow'}", "--model.data.size", 16, *VAE)
    return _RUNS["vae"]


def srgan():
    """The run folder of a srgan trained on six pictures."""
    if "srgan" not in _RUNS:
        for i in range(6):
            pic(T / "photos" / f"p{i}.png", 160, 160)
        _RUNS["srgan"] = train("srgan", "--model.source", f"folder:{T / 'photos'}", *SRGAN)
    return _RUNS["srgan"]


def restored(run):
    from experiments.launcher.experiment import StoredRun
    from experiments.launcher.restore import restored as restore

    with contextlib.redirect_stdout(io.StringIO()):
        return restore(StoredRun.of([str(run)]))[0]


def split(run):
    """Names of the pictures that a vae run learns from, and of those held out."""
    plugin = restored(run)
    return tuple({part.images.paths[i].name for i in part.rows} for part in (plugin.train, plugin.test))


CHANGED = ("changed", "other pictures", "other data", "added", "removed", "missing", "differ", "no longer", "not the")
"""What a sentence about data that is not what it was would say."""


def upscaled(picture, target, *more):
    """Enlarge with the tiny srgan; the answer says whether the network was asked (`worked`)."""
    from generative.srgan import upscale

    run, asked = srgan(), []
    parts = upscale.Upscaler.parts

    def counted(self, *a, **k):
        asked.append(1)
        return parts(self, *a, **k)

    upscale.Upscaler.parts = counted
    try:
        ended = cli("upscale", run, picture, "-o", target, "--device", "cpu", *more)
    finally:
        upscale.Upscaler.parts = parts
    ended.worked = bool(asked)
    return ended


def size(path):
    with Image.open(path) as picture:
        return picture.size, picture.mode, getattr(picture, "n_frames", 1)


def archive(texts, name):
    """Pack texts {path: bytes} as .tar.gz, .tar or .zip and return the bytes."""
    out = io.BytesIO()
    if name.endswith(".zip"):
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
            for path, raw in texts.items():
                file.writestr(path, raw)
    else:
        with tarfile.open(fileobj=out, mode="w:gz" if name.endswith("gz") else "w") as file:
            for path, raw in texts.items():
                member = tarfile.TarInfo(path)
                member.size = len(raw)
                file.addfile(member, io.BytesIO(raw))
    return out.getvalue()


FLOWERS = 60
CAPTIONS = {i: [f"cap {i} {k * 7919 % 997} lorem {k}" for k in range(40)] for i in range(1, FLOWERS + 1)}
TEXTS = {f"text_c10/class_{i // 4 + 1:05d}/image_{i:05d}.txt": "\n".join(lines).encode() for i, lines in CAPTIONS.items()}


def flowers(name, raw):
    """Open flowers whose captions lie in one archive; return "right", "sentence" or what is wrong."""
    from generative.data.captions import open_captions
    from generative.data.settings import CaptionConfig

    folder = T / "flowers"
    if not folder.is_dir():
        for i in CAPTIONS:
            pic(folder / "jpg" / f"image_{i:05d}.png", 8, 8)
    for old in folder.iterdir():
        if old.is_file():
            old.unlink()
    (folder / name).write_bytes(raw)
    said = []
    try:
        train_part, test_part, *_ = open_captions(CaptionConfig(source=f"flowers:{folder}"), said.append)
    except UsageError as error:
        return "sentence" if name in str(error) else f"sentence without the archive: {error}"
    except TooSlow:
        raise
    except Exception as error:  # noqa: BLE001
        return type(error).__name__
    if told(said, name):
        return "sentence"
    texts = {int(path.stem[-5:]): list(lines) for path, lines in zip(train_part.images.paths, train_part.captions)}
    if texts == CAPTIONS and len(train_part.rows) + len(test_part.rows) == FLOWERS:
        return "right"
    lost = sum(not lines for lines in texts.values())
    return "fewer captions, not a word about the archive" if lost else "wrong captions, not a word"


def tally(name, damaged):
    """Open flowers with each of the damaged archives; right if each is told or has no effect."""
    found = collections.Counter(flowers(name, raw) for raw in damaged)
    return set(found) <= {"sentence", "right"}, dict(found)


def flips(raw, n, seed=0):
    """Yield `n` copies of `raw` with one bit flipped each."""
    draw = random.Random(seed)
    for _ in range(n):
        copy = bytearray(raw)
        copy[draw.randrange(20, len(copy) - 200)] ^= 1 << draw.randrange(8)
        yield bytes(copy)


def overwritten(raw, n, width=8, seed=0):
    """Yield `n` copies of `raw` with `width` bytes overwritten."""
    draw = random.Random(seed)
    for _ in range(n):
        copy = bytearray(raw)
        at = draw.randrange(20, len(copy) - 200)
        copy[at : at + width] = bytes(draw.randrange(256) for _ in range(width))
        yield bytes(copy)

# A picture of 56x40, damaged in the middle
AVIF = base64.b64decode("AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUIAAAE2bWV0YQAAAAAAAAAhaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAAAAAAAAAOzml0bQAAAAAAAQAAACxpbG9jAAAAAEQAAAIAAQAAAAEAAAGoAAAGewACAAAAAQAAAV4AAABKAAAAQWlpbmYAAAAAAAIAAAAaaW5mZQIAAAAAAQAAYXYwMUNvbG9yAAAAABlpbmZlAgAAAAACAABFeGlmRXhpZgAAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEAAQAAAHRpcHJwAAAAVGlwY28AAAAUaXNwZQAAAAAAAAA4AAAAKAAAABBwaXhpAAAAAAMICAgAAAAMYXYxQ4EADAAAAAATY29scm5jbHgAAQANAAaAAAAACWlyb3QDAAAAGGlwbWEAAAAAAAAAAQABBQECgwSFAAAGzW1kYXQAAAAGRXhpZgAATU0AKgAAAAgAAwEOAAIAAAADaGkAAAEaAAUAAAABAAAAMpADAAIAAAAFAAAAOgAAAAAAAABIAAAAATIwMjAAABIACgkYFXedogIaDQgy6wwUx4eGZBBBBPKAAAAAv/0kmrqvWVr4JelcmN3uAcCYB+yoJlrUw80H0lgvxbKz/sZzzL8ZQD8shQuOuqubGCCiBdWxy6VERJXCZqL/l7fLvwzs3hykvUYwOmsKHd/ehlG4/vOixRAxmCSU3v5/mfcl+9UmuIxMV8j/5CadOrVPzvgOZJox1o2khnDqisV9PRK+lZ1Y/dO6gfT2q9Uy3syzVCE+I6+Q43P7HoAwwa8JxRyyHGoOSVq6Su58YqdVlOR2YpABW3Me2J/Sq9Nyuj5ENUqmLE8VqO40wT7AUeVGUh0p2pqzGvLDIOzihKk1q9Z5P/fwzjSyNmwf6h4x9pX1V4L1HZznbfhHnCU1FrvKSO+w5nADwqOeczK84FTXx3Lu3BKCjYfe0UyzFQ5XmfmnK90IfrULIC354Ryk8Sa4yDSFe09nbqT/UI6BF6sbuMky5pRJbKxBgv2Nt1tyV7xG+MgPC2INrAQt/LkxTcgdMjOGQcMw/rmgePj/mgol2ocdOHeJiDU9fCGDgymoNxSGb5iE/Ir9gEt72VQWPenLa4oUm57OywWxejY6DBALKfnYaSl/RizRhnWxpCj+bl3cy7X9XPP0DFHOvo+g1oOH9WwzKZ+BRkkGepO1u3zXRgGmzmyi7AGlzOflOSj5bTBPgmGcZmLUbZ2kyIlp/BSXI3K8K/IaxYXYz7p07s7r6w2VJ0b4evG+1ZI3TwjdFb2WrCyv87h2GaOYIBmKjUH6s9Etu0aRCF8cuQwRBkm//Hh7uBpTH+5TP2ecwqF3+I7JCzmHbR6pgkU32MEgl0ScxgDcvUDYrDePIiw8Q6U0zbwuuTbTgbPproosXGNmsstPVxeVFASwHPFKz4Qp+zZEGBCdyHU7HJ1MjkSO+ckIXnkfiOMivDEFvWwSqzLqk6lL7+adc20uN6+XkPH8+pR2PKIZ1uy7O53frVwkgCPmM6BrM2sPK/5JcIYQBUk87rrcgNzs6OJmNQsG9e/cCQCd5+z5+S2vcCdK1I69gc9oyokiO7d4d4dtJWN1vEz5CKV5G9ErZefB9Wat/K3feYvk82K32DfeAKFGl1pj1Qy3iSotFlm+7hLh4Xo2PVPSX7Jj1dkA8sZH525QZswa6xU08S28MQy/IF+WymWHrpINKxf1mYXCqeqpEB5C3FVlGPd3Hot4wUYP37hKfGTAqrSpkBeidG52n3tsoEN1stJ92IpSKOhvgxDlGuQqmZ48/M5RujZDS/p4HUrVfj5U1sIUyAhdVrI6nYpZ9CPgxT8eS6EXevU1iNuD3xU0G0FVvuunPMdQ/5X3QjMFxXflrIV3VQz+mndPnUo2m1mAQ4KhHzruKpUi1ujc7Xy/5m2cGAk5K7cm4WT1cWLNBrtZM1uq93UCkPQo8oCn1aiSYzfyeW2ZuXDKT9o8jjgfAZudGZAnZH7vJi3Zquw6FA8rzqmo43zei2ywNVuZ8331gh1/1yv276gVmpsV2HCp7wZL9yn+5tnS6eVIrzEolV8uaM6JH9s2WDYUVM+Tzn3Vxcte9LqrbEfadOiGZ/uFGpvMA2gdFwa1q0cYttSGdtgeybfCCc9p2Wjc/VgoEcKtP3n02/Hx7D3cEX/9I6EpgKu+0BCvF+LlpRWM53l7cKRoqmAfGx/6ljut3p2V6P0pQYPjCQWRsD2YpNj8LXMY4Ikbelck7LTmvdtqsnwt0/sTp8ojtC35sROlURZ3Yis6oQF42+HCYDCRF7hKYFVnzYAPIX9M2PAp9mJpPUZCsJuMAatijzRtw3CW+Kqoa5Q/KcfPyGkSdFua2aPs7UuZ+YCKmIIesyCOp9GoHLLSPuRTPNRk6fIBt2j/9cQ/CzHhI/nLZ17yntaIDnyTkXdDozzRDjKBtc7nd5F0wINQIwwWY8slCdTgO7DzJ43VKPXBtLBoXg9su/2UF9H7db0Xs8TaPR7LRr3Rp75MRgRshhpNFR4vz6hx7skJsduXaZvKxvpfmWl6qrNF8ie7Qn/0S8CrIqA7F7NVAxgHLHPOsUMTLOOChtn+cRN5ZOwetUFO4elrFW6P3APMIw3zX9mt4F1jy+qwDuqkabfJeneCrKMiWQQvZjdNdyH2pFKAhycvGd/VIMT9nvZiRjbCT5WZSrb9jzWwqd9flRo+6npVKmnVNAaL9Ww1Ev1StTxerwjbOWotKb4wvR3WV9jxrrY4jA==")

# --- F1: data that changed under a resumed run ---------------------------------------------------------------------------


def grown():
    run = vae()
    learned, _ = split(run)
    pic(T / "grow" / "a_new.png", 16, 16)
    ended = cli("resume", run, "--run.until", 8)
    if ended.rc == 2 or told([ended.text], *CHANGED):
        (T / "grow" / "a_new.png").unlink()
        return ended.rc in (0, 2) and told([ended.text], *CHANGED), ended
    _, held_out = split(run)
    (T / "grow" / "a_new.png").unlink()
    return not held_out & learned, f"{ended}; {len(held_out & learned)} of {len(held_out)} held-out pictures had been trained on"


def grown_photos():
    run = srgan()
    before = restored(run)
    learned = {photo.name for photo in before.crops.photos}
    pic(T / "photos" / "a_new.png", 160, 160)
    ended = cli("resume", run, "--run.until", 3)
    try:
        if ended.rc == 2 or told([ended.text], *CHANGED):
            return ended.rc in (0, 2) and told([ended.text], *CHANGED), ended
        held_out = {photo.name for photo in restored(run).tests}
    finally:
        (T / "photos" / "a_new.png").unlink()
    return not held_out & learned, f"{ended}; {len(held_out & learned)} of {len(held_out)} held-out pictures had been trained on"


def shrunk():
    for i in range(24):
        pic(T / "shrink" / f"p{i:02d}.png", 16, 16)
    run = train("vae", "--model.data.source", f"folder:{T / 'shrink'}", "--model.data.size", 16, *VAE)
    for i in range(12, 20):
        (T / "shrink" / f"p{i:02d}.png").unlink()
    ended = cli("resume", run, "--run.until", 8)
    return told([ended.text], *CHANGED) and ended.rc in (0, 2), ended


SPLIT = "a sentence or a line that the data changed, or no held-out picture that was trained on"
case("F1a vae resumed after one picture was added to its folder", SPLIT, grown)
case("F1b srgan resumed after one picture was added to its folder", SPLIT, grown_photos)
case("F1c vae resumed after 8 of 24 pictures were removed", "a sentence or a line that the data changed", shrunk)

# --- F2: a damaged picture whose decoder raises RuntimeError ----------------------------------------------------------------


def avif():
    folder = T / "avif"
    for i in range(4):
        pic(folder / f"{i}.png")
    (folder / "a.avif").write_bytes(AVIF)
    data, said = opened(f"folder:{folder}")
    data.reference(len(data))
    return told(said, "a.avif"), f"{len(data)} pictures, said {said}"


def avif_photos():
    from generative.srgan.data import Crops, pictures_in

    folder, said = T / "avif2", []
    for i in range(4):
        pic(folder / f"{i}.png", 160, 160)
    (folder / "a.avif").write_bytes(AVIF)
    photos = pictures_in(folder, said.append)
    Crops("pictures", photos, 16, True, said.append).draw(0, 0, 6)
    return told(said, "a.avif"), f"{len(photos)} pictures, said {said}"


case("F2a a damaged .avif among the pictures", "named and left out, or replaced", avif)
case("F2b a damaged .avif among the photographs of srgan", "named and left out, or replaced", avif_photos)

# --- F3: damaged archives -------------------------------------------------------------------------------------------------


def deflate64():
    raw = bytearray(archive(TEXTS, "c.zip"))
    for mark, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):  # say method 9, as Windows writes for large archives
        i = 0
        while (i := raw.find(mark, i)) >= 0:
            raw[i + offset : i + offset + 2] = struct.pack("<H", 9)
            i += 4
    return tally("d64.zip", [bytes(raw)])


def npz():
    path = T / "c.npz"
    np.savez_compressed(path, images=((np.arange(200 * 784) % 97 < 9) * 200).astype(np.uint8).reshape(200, 28, 28))
    raw = bytearray(path.read_bytes())
    raw[60:72] = b"\xff" * 12
    path.write_bytes(raw)
    return sentence(lambda: (False, opened(f"npz:{path}")), "c.npz")


def idx():
    path, n = T / "train-images-idx3-ubyte.gz", np.arange(200 * 784)
    body = ((n * 7919 % 251) * (n % 5 == 0)).astype(np.uint8).tobytes()
    raw = bytearray(gzip.compress(bytes([0, 0, 8, 3]) + struct.pack(">III", 200, 28, 28) + body, mtime=0))
    raw[30:42] = b"\xff" * 12
    path.write_bytes(raw)
    return sentence(lambda: (False, opened(f"mnist:{path}")), path.name)


EACH = "each time a sentence or a line that names the archive, or no effect"
case("F3a captions.tar.gz with one bit flipped, 40 times", EACH, lambda: tally("c.tar.gz", flips(archive(TEXTS, "c.tar.gz"), 40)))
case("F3b captions.zip with 8 bytes overwritten, 40 times", EACH, lambda: tally("c.zip", overwritten(archive(TEXTS, "c.zip"), 40)))
case("F3c captions.zip compressed with Deflate64", "a sentence that names the archive", deflate64)
case("F3d a damaged npz file", "a sentence that names the file", npz)
case("F3e a damaged .gz of MNIST", "a sentence that names the file", idx)

# --- F4: folders that are links ---------------------------------------------------------------------------------------------


def linked():
    folder = T / "links"
    for i in range(6):
        pic(T / "real/classA" / f"{i}.png")
    pic(folder / "own/x.png")
    os.symlink(T / "real/classA", folder / "classA")
    return folder


def links():
    folder = linked()
    data, said = opened(f"folder:{folder}")
    from generative.srgan.data import pictures_in

    photos = pictures_in(folder, said.append)
    return (len(data) == 7 and len(photos) == 7) or told(said, "link", "classA"), f"{len(data)} pictures, {len(photos)} photographs, said {said}"


case("F4 a class folder that is a symbolic link", "7 pictures, or a line that the link is not followed", links)

# --- F5: _HR ------------------------------------------------------------------------------------------------------------------


def high():
    from generative.srgan.data import pictures_in

    folder, said = T / "hr", []
    for i in range(9):
        pic(folder / f"photo{i}.png")
    pic(folder / "scan_HR.png")
    found = pictures_in(folder, said.append)
    return len(found) == 10 or told(said, "_HR"), f"{len(found)} pictures, said {said}"


case("F5 srgan: one of ten pictures is named *_HR", "10, or a line that nine are left out and why", high)

# --- F6: words ------------------------------------------------------------------------------------------------------------------


def words():
    import tensorflow as tf

    from generative.data.captions import Words, words_of

    texts = ["लाल फूल", "लीला फूल", "สีแดง", "சிவப்பு மலர்", "cafe\u0301 red"]
    cut = {word: words_of(word) for text in texts for word in text.split()}
    whole = all(len(found) == 1 for found in cut.values()) and words_of(texts[0]) != words_of(texts[1])
    Words.learn([texts], T / "words.txt")
    known = Words(T / "words.txt")
    rows = known.traced(tf.constant(texts)).numpy()
    same = all(row[row > 0].tolist() == known.encode(text) for row, text in zip(rows, texts))
    return whole and same, f"{cut}; the exported model reads {'the same' if same else 'otherwise'}"


case("F6 words of Hindi, Thai, Tamil, and with a combining accent", "one word each, different words differ, the exported model reads the same", words)

# --- F7: labels -------------------------------------------------------------------------------------------------------------------


def labels(values, right):
    def check():
        path = T / "labels.npz"
        np.savez(path, images=pixels(20, 28 * 28, 0).reshape(20, 28, 28), labels=values)

        def use():
            data, said = opened(f"npz:{path}")
            found = None if data.labels is None else data.labels.tolist()
            return right(found) or told(said, "label"), f"labels {found if found is None else found[:4]}, said {said}"

        return sentence(use, "label")

    return check


case("F7a npz with labels that are words", "numbered, left out with a line, or a sentence about the labels", labels(np.array(["cat", "dog"] * 10), lambda found: found and len(set(found)) == 2))
case("F7b npz with labels that are nan", "left out with a line, or a sentence about the labels", labels(np.full(20, np.nan), lambda found: False))

# --- F8: MNIST and files under other names ------------------------------------------------------------------------------------------


def kaggle():
    folder = T / "kaggle"
    (folder / "train-images-idx3-ubyte").mkdir(parents=True)
    raw = bytes([0, 0, 8, 3]) + struct.pack(">III", 20, 28, 28) + bytes(20 * 784)
    (folder / "train-images-idx3-ubyte/train-images-idx3-ubyte").write_bytes(raw)
    (folder / "train-images.idx3-ubyte").write_bytes(raw)
    data, said = opened(f"mnist:{folder}")
    return len(data) == 20, f"{len(data)} pictures, said {said}"


def no_folder():
    path = pic(T / "single.png")

    def use():
        data, said = opened(f"folder:{path}")
        return len(data) == 1, f"{len(data)} pictures"

    right, got = sentence(use)
    return right and "not there" not in str(got), got


case("F8a MNIST as it is unpacked from Kaggle, a folder and a file of nearly one name", "20 pictures", kaggle)
case("F8b folder: and a file's name", "a sentence that it is no folder (it is there), or the picture", no_folder)

# --- F9: integer pictures -----------------------------------------------------------------------------------------------------------


def integers():
    folder = T / "int32"
    for i in range(3):
        pic(folder / f"{i}.png", 16, 16)
    Image.fromarray(np.arange(256, dtype=np.int32).reshape(16, 16)).save(folder / "whole.tif")
    data, said = opened(f"folder:{folder}", size=16)
    rows = [i for i, path in enumerate(data.images.paths) if path.name == "whole.tif"]
    highest = int(data.images[np.array(rows)].max()) if rows else -1
    return told(said, "whole.tif") or highest >= 250, f"brightest value {highest}, said {said}"


case("F9 a TIFF of 32-bit integers, 0 to 255", "255, or named and left out", integers)

# --- F10: extractors ----------------------------------------------------------------------------------------------------------------


def two_alike():
    import keras

    from core.metrics.features import Extractor

    x = keras.Input((8, 8, 3))
    keras.Model(x, [keras.layers.GlobalAveragePooling2D()(x), keras.layers.GlobalMaxPooling2D()(x)]).save(T / "two.keras")

    def use():
        extractor = Extractor(str(T / "two.keras"))
        a = pixels(4 * 8, 8).reshape(4, 8, 8, 3)
        b = a.copy()
        b[3] = 0
        changed = np.flatnonzero((extractor(a) != extractor(b)).any(axis=1)).tolist()
        return changed == [3], f"picture 3 changed; features changed in rows {changed}"

    return sentence(use, "two.keras")


def two_sizes():
    import keras

    from core.metrics.features import Extractor

    x = keras.Input((8, 8, 3))
    keras.Model(x, [keras.layers.GlobalAveragePooling2D()(x), x]).save(T / "sizes.keras")

    def use():
        got = Extractor(str(T / "sizes.keras"))(np.zeros((6, 8, 8, 3), np.uint8))
        return len(got) == 6, f"features {got.shape}"

    return sentence(use, "sizes.keras")


def other_zip():
    from core.metrics.features import Extractor

    with zipfile.ZipFile(T / "plain.keras", "w") as file:
        file.writestr("a.txt", "x")
    return sentence(lambda: (False, Extractor(str(T / "plain.keras"))), "plain.keras")


case("F10a an extractor with two outputs of one size", "a sentence, or changed features in row [3] only", two_alike)
case("F10b an extractor with two outputs of different sizes", "a sentence when it is opened, or 6 rows of features", two_sizes)
case("F10c a .keras that is another zip", "a sentence that names it", other_zip)

# --- F11: files that are no data, and data that are not read --------------------------------------------------------------------------


def hidden():
    from generative.srgan.data import pictures_in

    folder = T / "hidden"
    for i in range(5):
        pic(folder / f"{i}.png")
    pic(folder / ".ipynb_checkpoints" / "0-checkpoint.png")
    data, said = opened(f"folder:{folder}")
    photos = pictures_in(folder, said.append)
    return (len(data) == 5 and len(photos) == 5) or told(said, ".ipynb"), f"{len(data)} pictures, {len(photos)} photographs, said {said}"


def unknown():
    folder = T / "heic"
    for i in range(5):
        pic(folder / f"{i}.png")
    (folder / "IMG_0001.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(200))
    data, said = opened(f"folder:{folder}")
    return told(said, "HEIC", "heic"), f"{len(data)} pictures, said {said}"


case("F11a .ipynb_checkpoints in a folder of pictures", "left out, or a line about it", hidden)
case("F11b .HEIC in a folder of pictures", "a line that it is not read", unknown)

# --- F12: one long caption ---------------------------------------------------------------------------------------------------------------


def captioned(folder, captions):
    for i, text in enumerate(captions):
        pic(folder / f"{i:02d}.png")
        (folder / f"{i:02d}.txt").write_text(text, encoding="utf-8")


def padded(folder, captions):
    """Return words a row of the widest of ten batches, and what was said."""
    from generative.data.captions import Examples, Words, open_captions
    from generative.data.settings import CaptionConfig

    captioned(folder, captions)
    said = []
    part = open_captions(CaptionConfig(source=f"folder:{folder}"), said.append).train
    Words.learn([part.captions[i] for i in part.rows], folder / "words")
    examples = Examples(part, Words(folder / "words"))
    return max(examples.draw(0, i, 4).text.shape[1] for i in range(10)), said


def long():
    texts = [f"flower number {i} is {colour}" for i, colour in enumerate(["red", "blue", "white", "pink"] * 5)]
    texts[7] = " ".join(["word"] * 5_000)
    widest, said = padded(T / "long", texts)
    return widest <= 1_000 or told(said, "word", "long"), f"{widest:,} words a row, said {said}"


case("F12 one caption of 5,000 words among 20 short ones", "batches of at most 1,000 words a row, or a sentence or line about it", lambda: sentence(long, "word"))

# --- U: what upscale writes -----------------------------------------------------------------------------------------------------------------


def refused(picture, target, *limits):
    """Refused before the work with the limit, or written in the right size."""
    ended = upscaled(picture, target)
    with Image.open(picture) as file:
        wanted = tuple(4 * n for n in file.size)
    if ended.rc == 0 and Path(target).is_file():
        return size(target)[0] == wanted, f"{ended}; file: {size(target)}"
    return ended.sentence and not ended.worked and any(limit in ended.text for limit in limits), f"{ended}; the network {'worked' if ended.worked else 'was not asked'}"


def animated(kind):
    def check():
        frames = [Image.fromarray(pixels(24, 24)) for _ in range(4)]
        more = {"duration": 80} if kind == "gif" else {}
        frames[0].save(T / f"a.{kind}", save_all=True, append_images=frames[1:], **more)
        ended = upscaled(T / f"a.{kind}", T / f"o.{kind}")
        return (ended.rc == 0 and size(T / f"o.{kind}")[2] == 4) or told([ended.text], "first", "frames", "pages"), f"{ended}; frames {size(T / f'o.{kind}')[2] if (T / f'o.{kind}').is_file() else 'none'}"

    return check


def quality():
    tables = {}
    for ending in ("jpg", "jfif", "jpe"):
        ended = upscaled(pic(T / "in/mid.png", 100, 100) if ending == "jpg" else T / "in/mid.png", T / f"q.{ending}")
        with Image.open(T / f"q.{ending}") as file:
            tables[ending] = (ended.rc, tuple(file.quantization[0][:3]), (T / f"q.{ending}").stat().st_size)
    return len(set(tables.values())) == 1, tables


def alpha(ending):
    def check():
        image = Image.fromarray(pixels(24, 24))
        image.putalpha(Image.linear_gradient("L").resize((24, 24)))
        image.save(T / "rgba.png")
        ended = upscaled(T / "rgba.png", T / f"al.{ending}")
        if ended.rc == 0:
            return "A" in size(T / f"al.{ending}")[1], f"{ended}; file: {size(T / f'al.{ending}')}"
        return ended.sentence and "alpha" in ended.text, ended

    return check


def profile():
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(pixels(24, 24)).convert("P").save(T / "pal.png", icc_profile=icc)
    ended = upscaled(T / "pal.png", T / "pal_o.png")
    with Image.open(T / "pal_o.png") as file:
        return file.info.get("icc_profile") == icc, f"{ended}; profile {'kept' if 'icc_profile' in file.info else 'lost'}"


def mixed():
    pic(T / "mix/z.png", 24, 24)
    (T / "mix/a.avif").write_bytes(AVIF)
    ended = upscaled(T / "mix", T / "mix_o")
    found = sorted(os.listdir(T / "mix_o"))
    return ended.rc == 0 and "z.png" in found and "a.avif" in ended.text, f"{ended}; written {found}"


def sampled():
    ended = cli("sample", srgan(), "--n", 1, "--out", T / "s.jpg")
    if ended.rc == 0:
        start = (T / "s.jpg").read_bytes()[:3]
        return start == b"\xff\xd8\xff", f"{ended}; the file begins with {start}"
    return ended.sentence and ".jpg" in ended.text, ended


BEFORE = "refused before the work, with the limit, or the right size"
case("U1 100x100 -> .ico", BEFORE, lambda: refused(pic(T / "in/mid.png", 100, 100), T / "big.ico", "256"))
case("U2a an animated GIF of 4 frames -> .gif", "4 frames, or a line that only the first is enlarged", animated("gif"))
case("U2b a TIFF of 4 pages -> .tif", "4 pages, or a line that only the first is enlarged", animated("tif"))
case("U3a 4200 wide -> .webp (16800 of at most 16383)", BEFORE, lambda: refused(pic(T / "in/wide.png", 2, 4200), T / "w.webp", "16383", "16,383"))
case("U3b 16500 wide -> .jpg (66000 of at most 65500)", BEFORE, lambda: refused(pic(T / "in/wider.png", 2, 16500), T / "w.jpg", "65500", "65,500", "65535", "65,535"))
case("U4 the same JPEG by other endings: .jpg, .jfif, .jpe", "one quality", quality)
case("U5a alpha -> .ppm", "kept, or refused as .bmp is", alpha("ppm"))
case("U5b alpha -> .dib", "kept, or refused as .bmp is", alpha("dib"))
case("U6 a palette PNG with a colour profile", "the profile is kept", profile)
case("U7 a folder with a damaged .avif", "z.png is enlarged, a.avif is named", mixed)
case("U8 sample --out s.jpg", "a JPEG, or refused", sampled)

# --- M: what is missing --------------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def away(path):
    other = path.with_name(path.name + ".away")
    os.rename(path, other)
    try:
        yield other
    finally:
        os.rename(other, path)


def without(verb, *flags):
    def check():
        run = vae()
        with away(T / "grow"):
            ended = cli(verb, run, *flags)
        return ended.rc == 0, ended

    return check


def moved():
    run = vae()
    tried = []
    with away(T / "grow") as place:
        listed = re.findall(r"--[\w.-]*(?:data|source|folder)[\w.-]*", cli("resume", run, "--help").text)
        for flag in dict.fromkeys(["--model.data.source", "--data.source", "--data", "--run.data", "--source", *(x for x in listed if x != "--run.folder")]):
            ended = cli("resume", run, "--run.until", 20, flag, f"folder:{place}")
            tried.append(f"{flag}: rc {ended.rc}")
            if ended.rc == 0:
                return True, tried[-1]
    return False, f"{'; '.join(tried)}; {ended.last[:150]!r}"


def elsewhere():
    for i in range(24):
        pic(T / "here" / "own" / f"p{i:02d}.png", 16, 16)
    before = os.getcwd()
    try:
        os.chdir(T / "here")
        run = train("vae", "--model.data.source", "folder:own", "--model.data.size", 16, *VAE)
        os.chdir(T)
        ended = cli("resume", run, "--run.until", 6)
    finally:
        os.chdir(before)
    return ended.rc == 0, ended


def singles():
    run = vae()
    folder = T / "singles"
    folder.mkdir()
    listed = [flag for flag in re.findall(r"--[a-z][\w-]*", cli("sample", run, "--help").text) if flag not in ("--n", "--seed", "--weights", "--out", "--text", "--help")]
    tried = [("--out", folder), ("--out", f"{folder}/"), *((flag, folder) for flag in listed), *((flag, "--out", folder) for flag in listed), *((flag, folder) for flag in ("--folder", "--singles", "--single", "--separate", "--each", "--files", "--to", "--pictures")),
             *((flag, "--out", folder) for flag in ("--single", "--singles", "--separate", "--each", "--files"))]
    for words in tried:
        ended = cli("sample", run, "--n", 4, *words)
        found = [p for p in folder.rglob("*.png") if size(p)[0] == (16, 16)]
        if len(found) >= 4:
            return True, f"sample {' '.join(map(str, words))}: {len(found)} pictures"
    return False, f"{len(tried)} ways were tried; --out FOLDER: {cli('sample', run, '--n', 4, '--out', folder)}"


def oblong():
    path = T / "oblong.npz"
    np.savez(path, images=pixels(20, 28 * 50, 0).reshape(20, 28, 50))
    tried = []
    for more in ({}, {"crop": False}, {"size": (28, 50)}, {"height": 28, "width": 50}, {"square": False}):
        try:
            data, said = opened(f"npz:{path}", **more)
        except (TypeError, ValueError, UsageError) as error:
            tried.append(f"{more}: {type(error).__name__}")
            continue
        tried.append(f"{more}: {data.shape}")
        if tuple(data.shape[:2]) == (28, 50) or told([*said, data.protocol], "28x50", "square", "cut", "crop"):
            return True, tried[-1]
    return False, "; ".join(tried)


def cub():
    from generative.data.captions import open_captions
    from generative.data.settings import CaptionConfig

    folder = T / "cub"
    for i in range(24):
        bird = f"{i // 4 + 1:03d}.Black_footed_Albatross/Bird_{i:04d}_{796000 + i}"
        pic(folder / "images" / f"{bird}.png", 16, 16)
        text = folder / "text_c10" / f"{bird}.txt"
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text(f"bird {i} has a red beak\nbird {i} has white wings\n")
    found = []
    for source in (f"folder:{folder}", f"flowers:{folder}", f"cub:{folder}", f"birds:{folder}"):
        try:
            train_part, test_part, *_ = open_captions(CaptionConfig(source=source), lambda line: None)
            found.append(len(train_part.rows) + len(test_part.rows))
            if found[-1] == 24:
                return True, f"{source.partition(':')[0]}: 24 pictures with captions"
        except UsageError as error:
            found.append(f"{source.partition(':')[0]}: {str(error)[:90]}")
    return False, found


def below():
    pic(T / "deep/z.png", 24, 24)
    pic(T / "deep/sub/y.png", 24, 24)
    ended = upscaled(T / "deep", T / "deep_o")
    found = sorted(str(p.relative_to(T / "deep_o")) for p in (T / "deep_o").rglob("*.png"))
    return any("y" in Path(p).name for p in found) or told([ended.text], "sub-folder", "subfolder", "sub/", "'sub'", "deep/sub"), f"{ended}; written {found}"


def large():
    folder = T / "large"
    for i in range(3):
        pic(folder / f"{i}.png")
    Image.new("1", (13_400, 13_400), 1).save(folder / "map.png")
    data, said = opened(f"folder:{folder}", size=16)
    used = any(path.name == "map.png" for path in data.images.paths) and not told(said, "map.png")
    way = any("map.png" in line and any(word in line for word in ("--", "set ", "make it smaller", "at most", "shrink", "resize", "largest")) for line in said)
    return used or way, f"{len(data)} pictures, said {said}"


def no_spaces():
    from generative.data.captions import words_of

    a, b = words_of("红色的花"), words_of("红色的鸟")
    shared = "".join(a) == "红色的花" and len(a) > 1 and a != b and set(a) & set(b)
    if shared:
        return True, f"{a}, {b}"
    captioned(T / "chinese", [f"{c}色的{n}" for c in "红蓝白黑" for n in "花鸟山河"])
    from generative.data.captions import open_captions
    from generative.data.settings import CaptionConfig

    said = []
    open_captions(CaptionConfig(source=f"folder:{T / 'chinese'}"), said.append)
    return told(said, "space"), f"{a}, {b}, said {said}"


def home(source, path):
    def check():
        before = os.environ.get("HOME")
        os.environ["HOME"] = str(T)
        try:
            data, said = opened(source)
        finally:
            if before is None:
                del os.environ["HOME"]
            else:
                os.environ["HOME"] = before
        return len(data) == 5, f"{len(data)} pictures"

    for i in range(5):
        pic(T / path / f"{i}.png")
    return check


case("M1a sample without the training data", "works", without("sample", "--n", "4"))
case("M1b export without the training data", "works", without("export", "-o", T / "exported"))
case("M1c resume with data that moved", "there is a flag for it", moved)
case("M1d resume from another working directory, relative folder:", "works", elsewhere)
case("M2 sample as single pictures", "a way to get 4 files", singles)
case("M3 an npz of pictures 28x50", "28x50, or a line that they are cut to squares", oblong)
case("M4 captions in CUB's layout, images/CLASS/NAME and text/CLASS/NAME.txt", "24 pictures with captions", cub)
case("M5 upscale: a folder with a sub-folder", "its pictures are enlarged too, or a line that they are not", below)
case("M6 a picture of 179.56 megapixels in a folder", "used, or a line that names it with a way out", large)
case("M7 Chinese captions", "more than one word each, with common words, or a sentence about spaces", lambda: sentence(no_spaces, "space"))
case("M8 folder:~/pictures", "5 pictures", home("folder:~/pictures", "pictures"))

finish()
