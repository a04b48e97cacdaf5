"""The nodes that a zerotier-one knew whose place Orrery has taken, and where it heard them last.

Such a node says its next HELLO when that is due, minutes after. Greeted where it was heard, it
answers at once, and tells what it holds. What is known of it is hearsay: it counts as seen when it
has answered, not before.

In the home:

    peers.d/known    files of the other's `peers.d`, as they were at `orrery adopt`, one after
                     another; see `orrery.wire.cached_peer`
    peers.d/from     the path of that `peers.d`: a zerotier-one writes there as it is stopped, which
                     may be after `orrery adopt`

Files may be anybody's: they are bounded in number and size, each identity has to prove itself, and
endpoints at which nobody else's node can be are left out.
"""

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from orrery.custody.durable import make_directory, write_file
from orrery.custody.modes import DIRECTORY_MODE, FILE_MODE
from orrery.errors import DecodeError, VerifyError
from orrery.home.home import Home
from orrery.wire.address import Address
from orrery.wire.cached_peer import MAX_CACHED_PEER_BYTES, CachedPeer
from orrery.wire.cursor import Reader
from orrery.wire.endpoint import Endpoint, Scope

DIRECTORY_NAME = "peers.d"
KNOWN_NAME = "known"
FROM_NAME = "from"
MOST_PEERS = 20_000
"""Nodes that are taken, those heard last."""
MOST_ENTRIES = 200_000
"""Names in a `peers.d` that are looked at."""
MOST_AGE_MS = 30 * 86_400_000
"""Older files are left alone; a zerotier-one removes them."""
MOST_PLACES = 8
"""Endpoints of one node."""
_NAME = re.compile(r"[0-9a-f]{10}\.peer")
_PATH_BYTES = 4096
_PLACES = frozenset((Scope.GLOBAL, Scope.PRIVATE, Scope.PSEUDOPRIVATE))


def keep_acquaintances(home: Home, zerotier_home: Path, now_ms: int) -> int:
    """Take over what a zerotier-one knew; nothing is written there.

    Args:
        home: The home, open as a writer.
        zerotier_home: Where that zerotier-one has its `identity.secret`.
        now_ms: The clock.

    Returns:
        How many nodes there are as yet.

    Raises:
        UnreadableError: The home cannot be written.
    """
    source = zerotier_home.resolve() / DIRECTORY_NAME
    known = [peer.encode() for peer in _read_folder(source, now_ms)]
    place = home.path / DIRECTORY_NAME
    make_directory(place, DIRECTORY_MODE, home.owner)
    write_file(place / KNOWN_NAME, b"".join(known), FILE_MODE, home.owner)
    write_file(place / FROM_NAME, os.fsencode(source), FILE_MODE, home.owner)
    return len(known)


def acquaintances(home: Path, now_ms: int) -> Iterator[CachedPeer]:
    """Those that are known, heard last first, each once, with endpoints to greet them at.

    The identity of each has proven itself, which takes some milliseconds: not to be called where
    others wait.

    Args:
        home: The directory of the home.
        now_ms: The clock.
    """
    place = home / DIRECTORY_NAME
    source = _read_bounded(place / FROM_NAME, _PATH_BYTES)
    found = [] if source is None else list(_read_folder(Path(os.fsdecode(source[0])), now_ms))
    met: set[Address] = set()
    for peer in (*found, *_read_known(place / KNOWN_NAME, now_ms)):
        if peer.identity.address in met or len(met) == MOST_PEERS:
            continue
        met.add(peer.identity.address)
        places = tuple(dict.fromkeys(each for each in peer.endpoints if _is_place(each)))
        if not places:
            continue
        try:
            peer.identity.validate()
        except VerifyError:
            continue
        yield peer._replace(endpoints=places[:MOST_PLACES])


def _is_place(endpoint: Endpoint) -> bool:
    return endpoint.port > 0 and endpoint.scope in _PLACES


def _read_folder(folder: Path, now_ms: int) -> Iterator[CachedPeer]:
    """The files of a `peers.d`, the newest first; what cannot be read is passed over."""
    names: list[tuple[int, str]] = []
    with contextlib.suppress(OSError, ValueError), os.scandir(folder) as entries:
        for number, entry in enumerate(entries):
            if number == MOST_ENTRIES:
                break
            if _NAME.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    changed_ms = entry.stat(follow_symlinks=False).st_mtime_ns // 1_000_000
                    if now_ms - changed_ms < MOST_AGE_MS:
                        names.append((-changed_ms, entry.name))
    for _, name in sorted(names)[:MOST_PEERS]:
        read = _read_bounded(folder / name, MAX_CACHED_PEER_BYTES)
        if read is None:
            continue
        with contextlib.suppress(DecodeError):
            peer = CachedPeer.decode(read[0])
            if f"{peer.identity.address:010x}.peer" == name:
                yield peer


def _read_known(file: Path, now_ms: int) -> Iterator[CachedPeer]:
    read = _read_bounded(file, MOST_PEERS * MAX_CACHED_PEER_BYTES)
    if read is None or now_ms - read[1] >= MOST_AGE_MS:
        return
    reader = Reader(read[0])
    with contextlib.suppress(DecodeError):
        while reader.remaining:
            yield CachedPeer.read(reader)


def _read_bounded(path: Path, most_bytes: int) -> tuple[bytes, int] | None:
    """A regular file that is no longer than that, and when it was changed, in milliseconds."""
    try:
        # Without waiting or following: somebody may have put a pipe or a link there.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except (OSError, ValueError):
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > most_bytes:
            return None
        parts = []
        while part := os.read(descriptor, min(found.st_size + 1, 1 << 20)):
            parts.append(part)
            if sum(map(len, parts)) > most_bytes:
                return None
        return b"".join(parts), found.st_mtime_ns // 1_000_000
    except OSError:
        return None
    finally:
        os.close(descriptor)
