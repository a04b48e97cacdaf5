"""Builds `orrery.kernel._kernel` from the C in `csrc/`; run by setuptools, never at run time.

`ORRERY_WERROR=1` in the environment makes compiler warnings errors. It is off by default, so that
a compiler newer than this release does not keep anyone from installing it.
"""

import os
from pathlib import Path

from cffi import FFI

# setuptools runs this file from the root of the source tree and wants paths relative to it.
_CSRC = Path("src", "orrery", "kernel", "csrc")

_WARNINGS = ["-Wall", "-Wextra"]
if os.environ.get("ORRERY_WERROR") == "1":
    _WARNINGS.append("-Werror")


def _declarations(header: str) -> str:
    """Returns a C header without the lines meant for the preprocessor, as cffi wants it."""
    return "\n".join(line for line in header.splitlines() if not line.startswith("#"))


ffi = FFI()
ffi.cdef(_declarations((_CSRC / "orrery_kernel.h").read_text(encoding="utf-8")))
ffi.set_source(
    "orrery.kernel._kernel",
    '#include "orrery_kernel.h"',
    sources=sorted(str(path) for path in _CSRC.glob("*.c")),
    include_dirs=[str(_CSRC)],
    depends=sorted(str(path) for path in _CSRC.glob("*.h")),
    extra_compile_args=["-std=gnu11", "-O3", "-fvisibility=hidden", *_WARNINGS],
    extra_link_args=["-pthread"],
)
