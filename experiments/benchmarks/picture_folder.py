"""Pictures of a folder by the second, from the cache of decoded pictures, beside tf.data and PyTorch's DataLoader.

    python -m experiments.benchmarks.picture_folder [--pictures 100000] [--seconds 6] [--rounds 3] [--folder DIR]

JPEGs of 178x218, crops of photographs that come with scikit-image and scikit-learn, are made in a temporary folder (below
`--folder`; 100,000 take 4 GB with the cache and the array). Everybody hands out shuffled batches of 64 pictures 64x64, uint8.
PyTorch comes with the extra `peers`. The peers read the JPEGs, and an array of the same decoded pictures, a memory map: picture
by picture, and by batch, which is what a user writes who knows that it is faster.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import require
from experiments.benchmarks.interleaved import interleave, parser, per_second, protocol
from experiments.benchmarks.peers import need
from experiments.benchmarks.report import Part, Report, Table

__all__ = ["layout", "main"]

WIDTH, HEIGHT, SIDE, BATCH, WORKERS = 178, 218, 64, 64, 2
QUALITY = 90
OURS = {
    "ours": "`folder:`, from the cache, an epoch after the first",
    "ours-first": "`folder:`, from the cache, first epoch of a process: each picture compared with its checksum",
}
PEERS = {
    "tf-jpeg": "tf.data, the JPEGs",
    "torch-jpeg": "DataLoader, the JPEGs",
    "tf-array": "tf.data, the array, picture by picture",
    "tf-array-batches": "tf.data, the array, by batch",
    "torch-array": "DataLoader, the array, picture by picture",
    "torch-array-batches": "DataLoader, the array, by batch",
}
TARGETS = {"opening": 5.0, "rate": 20_000.0, "memory": 300.0}


# --- data ---------------------------------------------------------------------------------------------------------------


def make_pictures(folder: Path, count: int) -> None:
    """Write JPEGs: windows of photographs, drawn at random."""
    from PIL import Image

    from generative.srgan.data import open_photos

    _, photos, _ = open_photos("photos", "", 3, print)
    pictures = [photo.read() for photo in photos if photo.size[0] >= HEIGHT and photo.size[1] >= WIDTH]
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(count):
        picture = pictures[number % len(pictures)]
        top, left = (int(rng.integers(n - m + 1)) for n, m in zip(picture.shape[:2], (HEIGHT, WIDTH), strict=True))
        window = picture[top : top + HEIGHT, left : left + WIDTH]
        Image.fromarray(window).save(folder / f"{number:06d}.jpg", quality=QUALITY)


def data_in(root: Path, say: Callable[[str], None] = lambda line: None) -> Any:
    """Return the pictures as a model's data."""
    from generative.data.settings import DataConfig
    from generative.data.sources import open_data

    config = DataConfig(f"folder:{root / 'pictures'}", size=SIDE, cache=str(root / "cache"))
    return open_data(config, say, root / "record")


def make_array(root: Path) -> float:
    """Read every picture once, which fills the cache, and write all as one array; returns pictures by the second."""
    from generative.data.sources import Stream

    data = data_in(root, partial(print, file=sys.stderr))
    stream = Stream(data, BATCH, seed=0)
    begun, batches = time.perf_counter(), -(-len(data) // BATCH)
    for _ in range(batches):
        stream.next()
    rate = batches * BATCH / (time.perf_counter() - begun)
    stream.close()
    array = np.lib.format.open_memmap(root / "array.npy", "w+", np.uint8, (len(data), *data.shape))
    for begin in range(0, len(data), 1000):
        rows = np.arange(begin, min(begin + 1000, len(data)))
        array[rows] = data.rows_at(rows)
    array.flush()
    return rate


# --- contenders: functions that return a turn, which hands out a batch and returns its number of pictures ------------------


def ours(root: Path) -> Callable[[], int]:
    """Return a turn of the stream that a model trains on."""
    from generative.data.sources import Stream

    stream = Stream(data_in(root), BATCH, seed=1)
    return lambda: len(stream.take()[0])


def tf_jpeg(root: Path) -> Callable[[], int]:
    """Return a turn of tf.data over the files: read, decode, crop, shrink with antialiasing, in parallel."""
    import tensorflow as tf

    files = sorted(str(path) for path in (root / "pictures").iterdir())

    def read(path: Any) -> Any:
        x = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        x = tf.image.crop_to_bounding_box(x, (HEIGHT - WIDTH) // 2, 0, WIDTH, WIDTH)
        x = tf.image.resize(x, (SIDE, SIDE), "bicubic", antialias=True)
        return tf.cast(tf.clip_by_value(tf.round(x), 0, 255), tf.uint8)

    data = tf.data.Dataset.from_tensor_slices(files).shuffle(len(files)).repeat()
    return _tf(data.map(read, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH))


def tf_array(root: Path) -> Callable[[], int]:
    """Return a turn of tf.data over the array as its guide has it: slices, shuffled, in batches."""
    import tensorflow as tf

    x = np.load(root / "array.npy", mmap_mode="r")
    with tf.device("cpu"):
        return _tf(tf.data.Dataset.from_tensor_slices(x).shuffle(10_000).repeat().batch(BATCH))


def tf_array_batches(root: Path) -> Callable[[], int]:
    """Return a turn of tf.data over shuffled positions, whose pictures numpy takes from the memory map."""
    import tensorflow as tf

    x = np.load(root / "array.npy", mmap_mode="r")

    def taken(rows: Any) -> Any:
        batch = tf.numpy_function(lambda i: np.take(x, i, axis=0), [rows], tf.uint8, stateful=False)
        return tf.ensure_shape(batch, (None, *x.shape[1:]))

    rows = tf.data.Dataset.range(len(x)).shuffle(len(x)).repeat().batch(BATCH)
    return _tf(rows.map(taken, num_parallel_calls=tf.data.AUTOTUNE))


def _tf(data: Any) -> Callable[[], int]:
    import tensorflow as tf

    batches = iter(data.prefetch(tf.data.AUTOTUNE))
    return lambda: int(next(batches).shape[0])


def torch_jpeg(root: Path) -> Callable[[], int]:
    """Return a turn of DataLoader over the files, decoded as here, in worker processes."""
    import torch
    from PIL import Image

    from generative.data.pictures import prepare

    paths = sorted((root / "pictures").iterdir())

    class Files(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, i: int) -> Any:
            with Image.open(paths[i]) as picture:
                return torch.from_numpy(prepare(picture, SIDE, 3, crop=True).copy())

    return _torch(
        torch.utils.data.DataLoader(Files(), BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True)
    )


def torch_array(root: Path) -> Callable[[], int]:
    """Return a turn of DataLoader over the array as its guide has it: items, shuffled and collated, in worker processes."""
    import torch

    x = np.load(root / "array.npy", mmap_mode="r")

    class Items(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(x)

        def __getitem__(self, i: int) -> Any:
            return torch.from_numpy(x[i].copy())

    return _torch(
        torch.utils.data.DataLoader(Items(), BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True)
    )


def torch_array_batches(root: Path) -> Callable[[], int]:
    """Return a turn of DataLoader whose sampler asks for whole batches, in its own process: no collating, nothing sent."""
    import torch
    from torch.utils.data import BatchSampler, RandomSampler

    x = np.load(root / "array.npy", mmap_mode="r")

    class Batches(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(x)

        def __getitem__(self, rows: Any) -> Any:
            return torch.from_numpy(np.take(x, rows, axis=0))

    sampler = BatchSampler(RandomSampler(range(len(x))), BATCH, drop_last=False)
    return _torch(torch.utils.data.DataLoader(Batches(), batch_size=None, sampler=sampler))


def _torch(loader: Any) -> Callable[[], int]:
    def batches() -> Any:
        while True:
            yield from loader

    following = batches()
    return lambda: len(next(following))


# --- measurements -------------------------------------------------------------------------------------------------------


def rate(name: str, root: Path, seconds: float) -> float:
    """Return pictures by the second. All but `ours-first` begin after an epoch, or after `seconds` of one."""
    made = {
        "tf-jpeg": tf_jpeg,
        "torch-jpeg": torch_jpeg,
        "tf-array": tf_array,
        "tf-array-batches": tf_array_batches,
        "torch-array": torch_array,
        "torch-array-batches": torch_array_batches,
    }
    turn = made.get(name, ours)(root)
    count = len(np.load(root / "array.npy", mmap_mode="r"))
    if name == "ours-first":
        turn()  # which opens the cache
        begun, done = time.perf_counter(), 0
        while done < count - BATCH:
            done += turn()
        return done / (time.perf_counter() - begun)
    begun, done = time.perf_counter(), 0
    while done < count and time.perf_counter() - begun < seconds:
        done += turn()
    return per_second(turn, seconds)


def opening(root: Path) -> dict[str, float]:
    """Open the folder with its cache in this process, read an epoch, and return seconds and growth of memory in MB."""
    import tensorflow  # noqa: F401 - before the first look at the memory, as in a training

    from generative.data.sources import Stream

    before, begun = _anonymous(), time.perf_counter()
    data = data_in(root)
    stream = Stream(data, BATCH, seed=1)
    stream.take()
    seconds = time.perf_counter() - begun
    most = _anonymous()
    for _ in range(len(data) // BATCH):
        stream.take()
        most = max(most, _anonymous())
    stream.close()
    return {"seconds": seconds, "megabytes": most - before}


def _anonymous() -> float:
    """Return this process's anonymous memory in MB: what no file stands behind."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024 / 1e6


def _apart(*words: str) -> Any:
    """Return what a worker of this module prints last, as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, "--worker", *words], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def layout(measured: dict[str, Any]) -> list[Part]:
    """Return what opening takes, and the table of medians; ratios are to `ours-first`, round by round."""
    about = measured["about"]
    seconds, memory = (statistics.median(about[key]) for key in ("opening_seconds", "megabytes"))
    rates = {name: measured[name]["rates"] for name in (*OURS, *PEERS)}
    first = statistics.median(rates["ours-first"])
    facts = [
        ["opening with the cache, to the first batch", f"{seconds:.1f} s", f"<= {TARGETS['opening']:g} s"],
        ["pictures/s from the cache, first epoch", f"{first:,.0f}", f">= {TARGETS['rate']:,.0f}"],
        ["growth of anonymous memory over opening and an epoch", f"{memory:.0f} MB", f"< {TARGETS['memory']:g} MB"],
        ["opening for the first time, to the first batch", f"{about['first_opening_seconds']:.1f} s", ""],
        ["decoding into the cache, pictures/s", f"{about['decoding']:,.0f}", ""],
    ]
    rows = []
    for name, title in {**OURS, **PEERS}.items():
        ratios = [
            [mine / rate for mine, rate in zip(rates[own], rates[name], strict=True)] for own in ("ours", "ours-first")
        ]
        cells = ["" if name in OURS else f"{statistics.median(ratio):.2f}" for ratio in ratios]
        rows.append([title, f"{statistics.median(rates[name]):,.0f}", *cells])
    behind = [
        title
        for name, title in PEERS.items()
        if statistics.median(a / b for a, b in zip(rates["ours"], rates[name], strict=True)) < 1
    ]
    note = (
        f"{about['pictures']:,} JPEGs of {WIDTH}x{HEIGHT}, quality {QUALITY}, {about['jpeg_bytes'] / 1e9:.2f} GB; batches of "
        f"{BATCH} pictures {SIDE}x{SIDE}, shuffled, uint8; {protocol({name: measured[name] for name in rates})}. Opening and "
        "memory: medians "
        f"of {len(about['opening_seconds'])} processes. tf.data as tensors, in parallel and ahead (AUTOTUNE); DataLoader with "
        f"{WORKERS} workers, by batch without. Target: ahead of each peer"
        f"{'; missed beside ' + ', '.join(behind) if behind else ', met'}."
    )
    columns = ["what", "pictures/s, median", "ours beside it", "our first epoch beside it"]
    return [Table(["what", "measured", "target"], facts), Table(columns, rows), note]


def main() -> None:
    """Make the pictures, measure everybody in turn and write the table."""
    words = parser(__doc__, seconds=6, rounds=3)
    words.add_argument("--pictures", type=int, default=100_000, help="JPEGs to make")
    words.add_argument("--folder", default=None, help="where the temporary folder is made")
    arguments = words.parse_args()
    if arguments.worker:
        name, root = arguments.worker[0], Path(arguments.worker[1])
        if name == "opening":
            print(json.dumps(opening(root)))
        elif name == "array":
            print(json.dumps(make_array(root)))
        else:
            print(rate(name, root, arguments.seconds))
        return
    require(arguments.pictures >= 10 * BATCH, f"--pictures is {arguments.pictures}; it must be at least {10 * BATCH}")
    need("torch")
    report = Report(__spec__.name, "picture_folder", layout, packages=("tensorflow", "torch", "numpy", "pillow"))
    with tempfile.TemporaryDirectory(prefix="pictures-", dir=arguments.folder) as folder:
        root = Path(folder)
        print(f"making {arguments.pictures:,} JPEGs in {root}", flush=True)
        make_pictures(root / "pictures", arguments.pictures)
        about: dict[str, Any] = {
            "pictures": arguments.pictures,
            "jpeg_bytes": sum(path.stat().st_size for path in (root / "pictures").iterdir()),
        }
        print("decoding each once", flush=True)
        begun = time.perf_counter()
        data_in(root).draw(0, 0, BATCH)
        about["first_opening_seconds"] = time.perf_counter() - begun
        about["decoding"] = _apart("array", str(root))
        opened = []
        for _ in range(arguments.rounds):
            (root / "record" / "data.json").unlink(missing_ok=True)  # a new run, not one that goes on
            opened.append(_apart("opening", str(root)))
            print(f"opened in {opened[-1]['seconds']:.2f} s, {opened[-1]['megabytes']:.0f} MB", flush=True)
        about["opening_seconds"] = [row["seconds"] for row in opened]
        about["megabytes"] = [row["megabytes"] for row in opened]
        contenders = {name: (name, str(root)) for name in (*OURS, *PEERS)}
        rows = interleave(__spec__.name, contenders, arguments.rounds, arguments.seconds)
    report.keep({"about": about} | rows)
    report.write()


if __name__ == "__main__":
    from experiments.launcher.console import exit_with

    exit_with(main)
