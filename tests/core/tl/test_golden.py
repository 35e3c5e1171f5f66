"""The reference vectors that real TensorLayer produced: what must match matches, and every difference has a reason."""

from __future__ import annotations

import argparse
import collections
import functools
import json
import pathlib
import warnings

import numpy as np
import pytest

from tests.golden import run_golden

GOLDEN = pathlib.Path(run_golden.__file__).parent
README = pathlib.Path(__file__).parents[3] / "core" / "tl" / "README.md"
CASES = json.loads((GOLDEN / "public" / "cases.json").read_text())["cases"]
PROFILES = ("tl153", "tl1111", "tl225", "tl225m")

BY_DOCUMENTATION = "the generations differ, and the documentation is followed"
OTHER_GENERATION = "a keyword or input that only another generation knows is accepted"
FIXED = "a bug of the original is fixed"
LIBRARY = "scikit-image or scipy computes something else today"

DELIBERATE = {
    "iterate.mb.positional4": BY_DOCUMENTATION,
    "prepro.pad.doc": BY_DOCUMENTATION,
    "prepro.pad.maxlen4_trunc_post": BY_DOCUMENTATION,
    "prepro.pad.maxlen_long": BY_DOCUMENTATION,
    "prepro.pad.value_neg": BY_DOCUMENTATION,
    "prepro.pad.all_empty": BY_DOCUMENTATION,
    "prepro.crop.random_s2": BY_DOCUMENTATION,
    "prepro.rot.default": BY_DOCUMENTATION,
    "prepro.rot.square90_u8": BY_DOCUMENTATION,
    "prepro.rot.u8": BY_DOCUMENTATION,
    "prepro.shift.default": BY_DOCUMENTATION,
    "prepro.shift.random": BY_DOCUMENTATION,
    "prepro.shear.default": BY_DOCUMENTATION,
    "prepro.shear.random": BY_DOCUMENTATION,
    "prepro.zoom.default": BY_DOCUMENTATION,
    "prepro.zoom.float_big": BY_DOCUMENTATION,
    "prepro.imresize.u8": BY_DOCUMENTATION,
    "cost.dice.default": BY_DOCUMENTATION,
    "vis.si.float01_missing": BY_DOCUMENTATION,
    "iterate.mb.batch_gt_len_dyn": OTHER_GENERATION,
    "prepro.rot.order0": OTHER_GENERATION,
    "prepro.zoom.one": OTHER_GENERATION,
    "prepro.thread.count3_lin": OTHER_GENERATION,
    "prepro.crop.equal": OTHER_GENERATION,
    "prepro.imresize.channels4": OTHER_GENERATION,
    "cost.mse.3d_mean": OTHER_GENERATION,
    "cost.mse.4d_axis123": OTHER_GENERATION,
    "cost.dice.axis123_list": OTHER_GENERATION,
    "files.lfl.prefix": OTHER_GENERATION,
    "vis.si.gray3d": OTHER_GENERATION,
    "prepro.rmpad.only_first": FIXED,
    "prepro.cropm.even": FIXED,
    "prepro.fwn.array": FIXED,
    "prepro.cshift.u8": FIXED,
    "prepro.thread.exception": FIXED,
    "prepro.swirl.default": LIBRARY,
    "prepro.swirl.random": LIBRARY,
    "prepro.imresize.u8_bicubic": LIBRARY,
}


def runner(profile: str) -> run_golden.Runner:
    options = argparse.Namespace(
        impl="core.tl", profile=profile, map=None, loose=False, strict_exc=False, no_mutation=False, skip_tf=False
    )
    return run_golden.Runner(options)


@functools.cache
def outcomes(profile: str) -> dict[str, tuple[str, str]]:
    """Status of every case, and why."""
    run = runner(profile).run
    with np.load(GOLDEN / "public" / "arrays.npz") as stored, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        arrays = dict(stored)
        return {case["id"]: run(case, arrays) for case in CASES}


def test_the_version_independent_contract_holds_whole() -> None:
    contract = [c["id"] for c in CASES if c["consensus"] and c["level"] in "AB" and not c["lib_sensitive"]]
    assert len(contract) == 74
    failures = {case: outcomes("tl225")[case] for case in contract if outcomes("tl225")[case] != ("PASS", "")}
    assert not failures, "\n".join(f"{case}: {status} {why}" for case, (status, why) in failures.items())


def test_weight_files_of_both_generations_load_and_the_canary_is_refused() -> None:
    results = list(runner("tl225").fixtures())
    assert len(results) == 19
    assert [result for result in results if result[1] != "PASS"] == []


@pytest.mark.parametrize("profile", PROFILES)
def test_every_difference_is_deliberate_and_the_readme_has_the_figures(profile: str) -> None:
    tally: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    unexplained = []
    for case in CASES:
        status, why = outcomes(profile)[case["id"]]
        tally[case["level"]][status] += 1
        if status not in ("PASS", "SKIP") and case["id"] not in DELIBERATE:
            unexplained.append(f"{case['id']}: {why}")
    assert not unexplained, "\n".join(unexplained)
    total = sum(tally.values(), collections.Counter())
    cells = [f"{tally[level]['PASS']} / {tally[level]['FAIL']} / {tally[level]['SKIP']}" for level in "ABCD"]
    row = f"| `{profile}` | {' | '.join(cells)} | {total['PASS']} / {total['FAIL']} / {total['SKIP']} |"
    assert row in README.read_text(), f"the README should say\n{row}"


def test_every_deliberate_difference_is_in_the_readme() -> None:
    text = README.read_text()
    assert [name for name in DELIBERATE if f"`{name}`" not in text] == []
