"""The order in which genmoon writes roots and endpoints.

A node takes them in any order and keeps it. But two tools that write the same World must agree on
one, or its bytes differ and with them its signature.
"""

from collections.abc import Iterable
from dataclasses import replace

from orrery.wire.endpoint import Endpoint
from orrery.wire.world import Root


def sort_endpoints(endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    """Endpoints in genmoon's order (see `Endpoint`); repeated ones stay."""
    return tuple(sorted(endpoints))


def sort_roots(roots: Iterable[Root]) -> tuple[Root, ...]:
    """Roots by address and key, each with sorted endpoints; repeated ones stay."""
    ordered = sorted(roots, key=lambda root: root.identity)
    return tuple(replace(root, endpoints=sort_endpoints(root.endpoints)) for root in ordered)
