"""The kernel's C, built with sanitizers and exercised from C."""

import subprocess
from pathlib import Path

import pytest

from tests.kernel import sanitize


@pytest.mark.parametrize("variant", sanitize.VARIANTS)
def test_kernel_under_sanitizers(variant: str, tmp_path: Path) -> None:
    if reason := sanitize.why_not(tmp_path):
        pytest.skip(f"the C compiler cannot build with sanitizers: {reason}")
    program = sanitize.build(tmp_path, sanitize.VARIANTS[variant])
    said = sanitize.exercise(program)
    assert "path scalar" in said
    assert "threads" in said


def test_exercise_finds_what_it_should(tmp_path: Path) -> None:
    if reason := sanitize.why_not(tmp_path):
        pytest.skip(f"the C compiler cannot build with sanitizers: {reason}")
    program = sanitize.build(tmp_path, [])
    wrong = "tag " + "01" * 32 + " 0102 " + "00" * 16 + "\n"
    done = subprocess.run([str(program)], input=wrong, text=True, capture_output=True, check=False)
    assert done.returncode == 1
    assert "known tag fails" in done.stderr
