from orrery.rollout.fleet import Fleet, Group, Node, Standing, count_nodes
from orrery.rollout.places import Reach
from orrery.wire.address import Address

DAY_MS = 86_400_000
ANNE, BERT, CARL, DORA, EMIL = (Address(number) for number in range(1, 6))


def sort(*nodes: Node, exempt: tuple[Address, ...] = ()) -> Fleet:
    return Fleet.of(nodes, now_ms=100 * DAY_MS, horizon_ms=30 * DAY_MS, exempt=exempt)


def test_nodes_of_one_standing_make_a_group() -> None:
    fleet = sort(
        Node(CARL, 20, 99 * DAY_MS),
        Node(ANNE, 10, 99 * DAY_MS),
        Node(BERT, 20, 98 * DAY_MS),
        Node(DORA, 20, 98 * DAY_MS, Reach.IPV4),
        Node(EMIL, 20, 98 * DAY_MS, beside=(7,)),
    )
    assert fleet.counted == (
        Group(Standing(10), (ANNE,)),
        Group(Standing(20, Reach.IPV4), (DORA,)),
        Group(Standing(20), (BERT, CARL)),
        Group(Standing(20, beside=(7,)), (EMIL,)),
    )
    assert count_nodes(fleet.counted) == 5


def test_who_was_not_seen_for_long_or_is_exempt_does_not_count() -> None:
    fleet = sort(
        Node(ANNE, 10, 70 * DAY_MS),
        Node(BERT, 10, 70 * DAY_MS - 1),
        Node(CARL, 10, 99 * DAY_MS),
        Node(DORA, 10, 1),
        exempt=(CARL, DORA),
    )
    assert fleet.counted == (Group(Standing(10), (ANNE,)),)
    assert fleet.unseen == (Group(Standing(10), (BERT,)),)
    assert fleet.exempt == (Group(Standing(10), (CARL, DORA)),)


def test_more_nodes_are_made_exempt() -> None:
    fleet = sort(Node(ANNE, 10, 99 * DAY_MS), Node(BERT, 10, 99 * DAY_MS), Node(CARL, 20, 1))
    without = fleet.exempting([BERT])
    assert without.counted == (Group(Standing(10), (ANNE,)),)
    assert without.exempt == (Group(Standing(10), (BERT,)),)
    assert without.unseen == fleet.unseen
    assert without.exempting([BERT, Address(99)]) == without
