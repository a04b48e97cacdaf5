"""Builds the kernel with AddressSanitizer and UndefinedBehaviorSanitizer and exercises all of it.

    python -m tests.kernel.sanitize

Needs no Python around the C: `exercise.c` is a program of its own. Every warning is an error here.
"""

import os
import random
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from orrery.kernel import reference
from tests.kernel import answers

ROOT = Path(__file__).parents[2]
CSRC = ROOT / "src" / "orrery" / "kernel" / "csrc"

WARNINGS = [
    *("-Werror", "-Wall", "-Wextra", "-Wshadow", "-Wconversion"),
    *("-Wstrict-prototypes", "-Wvla", "-Wundef"),
]
SANITIZERS = [
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    "-fno-omit-frame-pointer",
]

VARIANTS = {"128-bit integers": [], "64-bit integers only": ["-DORRERY_NO_INT128"]}
"""What the same source is built as: the second is what 32-bit machines run."""


def compiler() -> list[str]:
    """The C compiler that the environment names, with its arguments."""
    return shlex.split(os.environ.get("CC", "cc"))


def why_not(directory: Path) -> str | None:
    """Why the compiler cannot build and run with sanitizers; None when it can."""
    source = directory / "empty.c"
    source.write_text("int main(void) { return 0; }\n", encoding="utf-8")
    program = directory / "empty"
    for command in ([*compiler(), *SANITIZERS, str(source), "-o", str(program)], [str(program)]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            return str(error)
        if done.returncode != 0:
            return f"{shlex.join(command)}: {done.stderr.strip()}"
    return None


def known_answers() -> Iterator[str]:
    """The lines that `exercise.c` reads."""
    for digest in answers.digests():
        yield f"digest {digest.start.hex()} {digest.digest.hex()}"
    for packet in answers.armored():
        fields = (packet.key, packet.plaintext, packet.wire)
        yield f"armor {packet.cipher:02x} " + " ".join(field.hex() for field in fields)
    for packet_in in answers.received():
        word = "take" if packet_in.taken else "refuse"
        yield f"{word} {packet_in.key.hex()} {packet_in.wire.hex()}"
    for tag in [*answers.tags(), *_tags_of_reference()]:
        yield f"tag {tag.key.hex()} {tag.message.hex()} {tag.tag.hex()}"


def _tags_of_reference() -> Iterator[answers.Tag]:
    """Random messages, and ones of nothing but set bits, where carries run far."""
    draw = random.Random(8439)
    for size in range(200):
        message = b"\xff" * size if size % 2 else draw.randbytes(size)
        key = b"\xff" * 32 if size % 3 == 0 else draw.randbytes(32)
        yield answers.Tag(str(size), key, message, reference.poly1305(message, key))


def build(directory: Path, extra: list[str]) -> Path:
    """Compiles the kernel and `exercise.c` into a program in a directory.

    Raises:
        subprocess.CalledProcessError: The compiler refused, or warned.
    """
    program = directory / "exercise"
    subprocess.run(
        [
            *compiler(),
            *("-std=gnu11", "-O1", "-g", "-pthread", "-I", str(CSRC)),
            *WARNINGS,
            *SANITIZERS,
            *extra,
            *sorted(str(source) for source in CSRC.glob("*.c")),
            str(Path(__file__).with_name("exercise.c")),
            *("-o", str(program)),
        ],
        check=True,
    )
    return program


def exercise(program: Path) -> str:
    """Runs it over all known answers, and returns what it says it did.

    Raises:
        subprocess.CalledProcessError: A sanitizer or the program itself found a fault; it has said
            which on standard error.
    """
    lines = "".join(line + "\n" for line in known_answers())
    done = subprocess.run(
        [str(program)], input=lines, text=True, stdout=subprocess.PIPE, check=True
    )
    return done.stdout


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        if reason := why_not(directory):
            print(f"the compiler cannot build with sanitizers: {reason}", file=sys.stderr)
            return 2
        for variant, extra in VARIANTS.items():
            print(f"== kernel with {variant}, address and undefined-behaviour sanitizers")
            try:
                print(exercise(build(directory, extra)), end="")
            except subprocess.CalledProcessError as error:
                print(f"failed: {error}", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
