"""No root is restarted while it is the only one that nodes could turn to."""

import pytest

from orrery.errors import PlanError
from orrery.fleet.known import Known, KnownWorld
from orrery.fleet.last_root import check_others_answer, reliances
from orrery.rollout.places import places_of
from orrery.worlds.chain import Chain
from orrery.worlds.stage import NOBODY, Stage
from tests.unit.fleet.test_wanting import NODE, OTHER, PLANET_ID, ROOT, revision

ALONE, BOTH = revision(1000, roots=(ROOT,)), revision(2000, roots=(ROOT, OTHER))
NODE_OF_ROOT = ROOT.identity.address


def known(stage: Stage | None = None) -> Known:
    return Known((KnownWorld("home", Chain([ALONE, BOTH]), stage, frozenset()),))


def test_only_what_nodes_hold_or_are_led_to_counts() -> None:
    newest = [each.revision for each in reliances(known(), set(), NODE_OF_ROOT)]
    assert newest == [BOTH]
    both = [ALONE, BOTH]
    assert [each.revision for each in reliances(known(), {(PLANET_ID, 1000)}, NODE_OF_ROOT)] == both
    held = known(Stage(1000, NOBODY))
    assert [each.revision for each in reliances(held, set(), NODE_OF_ROOT)] == both


def test_a_node_is_relied_on_by_nobody() -> None:
    assert not list(reliances(known(), set(), NODE))


def test_a_root_may_be_restarted_while_another_one_answers() -> None:
    relied_on = tuple(reliances(known(), set(), NODE_OF_ROOT))
    check_others_answer(relied_on, places_of([OTHER]), NODE_OF_ROOT)
    with pytest.raises(PlanError, match="answers now; start another first"):
        check_others_answer(relied_on, places_of([ROOT]), NODE_OF_ROOT)


def test_and_not_while_somebody_knows_no_other() -> None:
    relied_on = tuple(reliances(known(), {(PLANET_ID, 1000)}, NODE_OF_ROOT))
    with pytest.raises(PlanError, match=r"revision 1 .* it is the only one there"):
        check_others_answer(relied_on, places_of([OTHER]), NODE_OF_ROOT)
