"""Whatever keys a chain goes through: every node that ever held a revision comes to the newest."""

from hypothesis import given
from hypothesis import strategies as st

from orrery.errors import UpdateRefused
from orrery.wire.address import Address
from orrery.wire.world import World, WorldType
from orrery.worlds.acceptance import check_update
from orrery.worlds.chain import Chain
from orrery.worlds.handover import HandoverTable
from orrery.worlds.stage import Membership, Stage
from tests.unit.worlds.making import root, world

WORLD_ID = 0xABC
ANYBODY = Address(0x2C3E8F527A)
SOMEBODY_ELSE = Address(0xDD87C5DC2D)


@st.composite
def chains(draw: st.DrawFn, world_type: WorldType = WorldType.PLANET) -> Chain:
    names = draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=12))
    gaps = draw(st.lists(st.integers(1, 5), min_size=len(names), max_size=len(names)))
    first_signer = draw(st.sampled_from("abcdx"))
    listed = draw(
        st.lists(
            st.lists(st.integers(1, 5), min_size=1, max_size=3, unique=True),
            min_size=len(names),
            max_size=len(names),
        )
    )
    worlds = []
    time, signer = 0, first_signer
    for name, gap, numbers in zip(names, gaps, listed, strict=True):
        time += gap
        worlds.append(
            world(
                time,
                signer=signer,
                names=name,
                roots=[root(number) for number in numbers],
                world_type=world_type,
            )
        )
        signer = name
    return Chain(worlds)


def taken(held: World, links: tuple[World, ...]) -> tuple[World, int]:
    """What a node holds after one answer, and how many of its Worlds it took."""
    count = 0
    for link in links:
        try:
            check_update(held, link)
        except UpdateRefused:
            continue
        held, count = link, count + 1
    return held, count


@given(chains())
def test_from_every_revision_each_link_is_taken_and_the_last_is_the_newest(chain: Chain) -> None:
    for revision in chain:
        links = chain.links_from(revision.timestamp_ms)
        held, count = taken(revision, links)
        assert held == chain.newest
        assert count == len(links)


@given(chains())
def test_each_link_is_the_furthest_that_a_node_there_would_take(chain: Chain) -> None:
    held = chain.revisions[0]
    for link in chain.links_from(held.timestamp_ms):
        accepted = [later for later in chain if taken(held, (later,))[1]]
        assert link == accepted[-1]
        held = link


@given(chains(), st.data())
def test_who_holds_a_forgotten_revision_is_led_on_if_a_key_allows(
    chain: Chain, data: st.DataObject
) -> None:
    # A chain that was adopted late does not know the revisions before. Their holders can follow if
    # the key that they want signed one of those which it knows.
    start = data.draw(st.integers(0, len(chain) - 1))
    remembered = Chain(chain.revisions[start:])
    signers = {before.updates_must_be_signed_by for before in chain.revisions[start - 1 : -1]}
    for forgotten in chain.revisions[:start]:
        held, _ = taken(forgotten, remembered.links_from(forgotten.timestamp_ms))
        can_follow = forgotten.updates_must_be_signed_by in signers
        assert held == (chain.newest if can_follow else forgotten)


@given(chains(WorldType.MOON), st.integers(1, 5))
def test_who_waits_for_a_moon_gets_there_with_any_seed_that_ever_was_a_root(
    chain: Chain, seed: int
) -> None:
    address = root(seed).identity.address
    held: World | None = None
    for link in chain.links_from(0):
        if held is None:
            if any(each.identity.address == address for each in link.roots):
                held = link
        else:
            held, _ = taken(held, (link,))
    was_a_root = any(
        each.identity.address == address for revision in chain for each in revision.roots
    )
    assert held == (chain.newest if was_a_root else None)


@given(chains(), st.integers(0, 3000), st.integers(0, 70))
def test_the_table_gives_what_fits_of_what_the_chain_says(
    chain: Chain, room_bytes: int, time: int
) -> None:
    answer = HandoverTable([chain], room_bytes).lookup(WORLD_ID, time, ANYBODY)
    links = [link.encode() for link in chain.links_from(time)]
    assert list(answer) == links[: len(answer)]
    assert sum(map(len, answer)) <= room_bytes
    if len(answer) < len(links):
        assert sum(map(len, links[: len(answer) + 1])) > room_bytes


@given(chains(), st.integers(1, 3))
def test_with_room_for_few_links_a_node_gets_there_in_few_answers(chain: Chain, few: int) -> None:
    largest = max(len(revision.encode()) for revision in chain)
    table = HandoverTable([chain], few * largest)
    for revision in chain:
        held = revision
        answers = 0
        while answer := table.lookup(WORLD_ID, held.timestamp_ms, ANYBODY):
            further, count = taken(held, tuple(map(World.decode, answer)))
            assert count == len(answer)
            held, answers = further, answers + 1
        assert held == chain.newest
        assert answers <= -(-len(chain.links_from(revision.timestamp_ms)) // few)


@given(chains())
def test_extending_one_by_one_makes_the_same_chain(chain: Chain) -> None:
    grown = Chain(chain.revisions[:1])
    for revision in chain.revisions[1:]:
        grown = grown.extend(revision)
    for time in range(chain.newest.timestamp_ms + 2):
        assert grown.links_from(time) == chain.links_from(time)


@given(chains(), st.data())
def test_whoever_is_held_back_comes_to_where_it_is_held_and_no_further(
    chain: Chain, data: st.DataObject
) -> None:
    held_back = data.draw(st.sampled_from(chain.revisions))
    few = data.draw(st.integers(1, 3))
    stage = Stage(held_back.timestamp_ms, Membership(named=frozenset({ANYBODY})))
    largest = max(len(revision.encode()) for revision in chain)
    table = HandoverTable([chain], few * largest, {WORLD_ID: stage})
    for address, target in ((ANYBODY, chain.newest), (SOMEBODY_ELSE, held_back)):
        assert table.newest_for(WORLD_ID, address) == target
        for revision in chain:
            held = revision
            while answer := table.lookup(WORLD_ID, held.timestamp_ms, address):
                held, count = taken(held, tuple(map(World.decode, answer)))
                assert count == len(answer)
            assert held == max(revision, target, key=lambda world: world.timestamp_ms)


@given(chains(), st.sampled_from("abcdz"), st.integers(0, 70))
def test_who_holds_a_fork_takes_each_link_and_gets_as_far_as_its_key_allows(
    chain: Chain, names: str, time: int
) -> None:
    fork = world(time, signer="z", names=names)
    links = tuple(chain.iter_links_for(time, fork.updates_must_be_signed_by))
    held, count = taken(fork, links)
    assert count == len(links)
    accepted = [revision for revision in chain if taken(fork, (revision,))[1]]
    assert held == (chain.newest if accepted else fork)
    assert links[:1] == tuple(accepted[-1:])


@given(chains(), st.integers(0, 11))
def test_a_chain_until_a_revision_is_the_chain_as_it_was(chain: Chain, number: int) -> None:
    revision = chain.revisions[number % len(chain)]
    until = chain.until(revision.timestamp_ms)
    as_it_was = Chain(chain.revisions[: chain.revisions.index(revision) + 1])
    assert until.revisions == as_it_was.revisions
    for time in range(chain.newest.timestamp_ms + 2):
        assert until.links_from(time) == as_it_was.links_from(time)
