from orrery.worlds.ordering import sort_endpoints, sort_roots
from tests.unit.worlds.making import root


def test_roots_are_sorted_with_their_endpoints_and_repeated_ones_stay() -> None:
    ports = ("198.51.100.1/443", "198.51.100.1/9993", "198.51.100.1/443")
    roots = [root(2, *ports), root(1), root(2)]
    ordered = sort_roots(roots)
    assert [each.identity.public_key[0] for each in ordered] == [1, 2, 2]
    assert [str(endpoint) for endpoint in ordered[1].endpoints] == [
        "198.51.100.1/9993",
        "198.51.100.1/443",
        "198.51.100.1/443",
    ]
    assert ordered[1].endpoints == sort_endpoints(roots[0].endpoints)
    assert sort_roots(ordered) == ordered
