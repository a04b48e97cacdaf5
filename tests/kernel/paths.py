"""The kernel's code paths, one per kind of processor, each to be tested by itself."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from orrery.kernel._kernel import ffi, lib

_NAMES = ("scalar", "lanes4", "avx2", "avx512")

every_path = pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            number,
            id=name,
            marks=pytest.mark.skipif(
                lib.orrery_path_name(number) == ffi.NULL,
                reason=f"this machine cannot run the kernel's path {name}",
            ),
        )
        for number, name in enumerate(_NAMES)
    ],
)
"""Runs a test once for each path, which it gets as the argument `path`."""


@contextmanager
def forced(path: int) -> Iterator[None]:
    """Has the kernel use a path, whatever this machine's best is."""
    assert lib.orrery_force_path(path) == path
    assert ffi.string(lib.orrery_path_name(path)) == _NAMES[path].encode()
    try:
        yield
    finally:
        lib.orrery_force_path(-1)
