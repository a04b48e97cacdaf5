"""No root is restarted while it is the only one that nodes could turn to."""

from pathlib import Path

import pytest

from orrery.errors import PlanError
from orrery.fleet.known import Known, KnownWorld
from orrery.fleet.last_root import LastRootGuard, check_others_answer, reliances
from orrery.rollout.places import Place, places_of
from orrery.server.witnesses import Answers
from orrery.worlds.chain import Chain
from orrery.worlds.stage import NOBODY, Stage
from tests.unit.fleet.test_wanting import NODE, OTHER, PLANET_ID, ROOT, revision
from tests.unit.home.making import ONE, make_home

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


async def test_a_root_whose_own_machine_is_silent_may_be_one_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its service hangs, or has another token: only one that answers nobody is down."""
    answering: frozenset[Place] = frozenset()

    async def ask_roots(places: frozenset[Place], held: object, patience_s: float) -> Answers:
        return Answers(answering & places, ())

    monkeypatch.setattr("orrery.fleet.last_root.ask_roots", ask_roots)
    with make_home(tmp_path / "home", [ONE]) as home:
        (root,) = home.served_worlds()[0].roots
        node, guard = root.identity.address, LastRootGuard(home, home.clock, may_restart_last=False)
        assert await guard.check(node, is_silent=True) == frozenset()
        with pytest.raises(PlanError):
            await guard.check(node)
        answering = places_of([root])
        with pytest.raises(PlanError, match="it is the only one there"):
            await guard.check(node, is_silent=True)
