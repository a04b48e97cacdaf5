"""The adoption curve as data and as a picture."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from orrery.lab.curve import Curve, draw_svg, first_time, format_time, measure

NEVER = np.inf
SVG = "{http://www.w3.org/2000/svg}"


def test_when_a_share_is_reached() -> None:
    adopted = np.array([40.0, 10.0, 30.0, 20.0])
    assert first_time(adopted, None, 0.25) == 10
    assert first_time(adopted, None, 0.26) == 20
    assert first_time(adopted, None, 1.0) == 40
    assert first_time(adopted, None, 0.5, since_ms=25.0) == 25
    assert first_time(np.array([1.0, NEVER]), None, 1.0) == NEVER
    assert first_time(np.zeros(0), None, 1.0, since_ms=7.0) == 7


def test_who_is_lost_counts_no_more_until_it_adopts() -> None:
    adopted = np.array([10.0, 20.0, 90.0, 100.0])
    lost = np.array([NEVER, NEVER, 50.0, 60.0])
    assert first_time(adopted, lost, 0.5) == 20
    # 2 of 4, then at 50 ms 2 of 3, at 60 ms 2 of 2.
    assert first_time(adopted, lost, 0.6) == 50
    assert first_time(adopted, lost, 1.0) == 60
    assert first_time(adopted, lost, 0.6, since_ms=70.0) == 70
    curve = measure("one", adopted, lost)
    assert curve.times_ms == (10, 20, 50, 60, 90, 100)
    assert curve.shares == pytest.approx((0.25, 0.5, 2 / 3, 1.0, 1.0, 1.0))


def test_few_points_say_exactly_when_it_counts() -> None:
    adopted = np.random.default_rng(1).exponential(1_000, 50_000)
    curve = measure("one", adopted, points=50)
    assert len(curve.times_ms) <= 53
    assert list(curve.times_ms) == sorted(curve.times_ms)
    for share in (0.5, 0.99, 1.0):
        assert curve.reached_ms(share) == first_time(adopted, None, share)
    for time_ms, share in zip(curve.times_ms, curve.shares, strict=True):
        assert share == pytest.approx((adopted <= time_ms).mean())


def test_a_curve_of_nobody() -> None:
    assert measure("one", np.full(3, NEVER)) == Curve("one", (0.0,), (0.0,))
    assert measure("one", np.array([5.0, NEVER])).reached_ms(1.0) is None


@pytest.mark.parametrize(
    ("time_ms", "told"),
    [
        (0, "0 ms"),
        (41.6, "42 ms"),
        (999.4, "999 ms"),
        (999.6, "1.0 s"),
        (9_960, "10 s"),
        (119_000, "119 s"),
        (150_000, "2.5 min"),
        (7_200_000, "2.0 h"),
        (86_400_000 * 3.21, "3.2 d"),
        (NEVER, "never"),
    ],
)
def test_times_as_people_read_them(time_ms: float, told: str) -> None:
    assert format_time(time_ms) == told


def drawn(*curves: Curve, title: str = "Adoption", **options: object) -> ElementTree.Element:
    return ElementTree.fromstring(draw_svg(curves, title=title, **options))  # type: ignore[arg-type]


def texts(picture: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in picture.iter(f"{SVG}text")]


SLOW = Curve("slow", (0.0, 1_000.0, 2_000.0, 4_000.0), (0.1, 0.5, 0.99, 1.0))
LONG = Curve("long", (20.0, 50.0, 3_600_000.0, 86_400_000.0), (0.1, 0.5, 0.99, 1.0))


def test_a_picture_tells_when_half_of_them_and_all_had_it() -> None:
    picture = drawn(SLOW, title="Adoption by <3> & more", subtitle="3 nodes")
    told = texts(picture)
    assert "Adoption by <3> & more" in told
    assert "3 nodes" in told
    assert {"50% after 1.0 s", "99% after 2.0 s", "100% after 4.0 s"} <= set(told)
    assert len(list(picture.iter(f"{SVG}circle"))) == 3
    assert {"0%", "25%", "50%", "75%", "100%"} <= set(told)
    assert {"0", "1 s", "2 s", "3 s", "4 s"} <= set(told)


def test_a_long_tail_makes_the_axis_logarithmic() -> None:
    assert "time since the rollout began" in texts(drawn(SLOW))
    told = texts(drawn(LONG))
    assert "time since the rollout began, logarithmic" in told
    assert {"10 ms", "1 s", "1 min", "1 h", "1 d"} <= set(told)
    assert "time since the rollout began" in texts(drawn(LONG, scale="linear"))


def test_everything_stays_inside_and_the_curve_never_falls() -> None:
    for curve in (SLOW, LONG, Curve("at once", (0.0,), (1.0,)), Curve("none", (0.0,), (0.0,))):
        picture = drawn(curve, openings_ms=[0.0, curve.times_ms[-1], 1e12])
        for path in picture.iter(f"{SVG}path"):
            for x in re.findall(r"[MH]([0-9.]+)", path.get("d", "")):
                assert 0 <= float(x) <= 960
        line = list(picture.iter(f"{SVG}path"))
        (main,) = [path for path in line if path.get("stroke-width") == "2.6"]
        heights = [float(y) for y in re.findall(r"V([0-9.]+)", main.get("d", ""))]
        assert heights == sorted(heights, reverse=True)
        for text in picture.iter(f"{SVG}text"):
            assert 0 < float(text.get("x", "")) < 960
            assert 0 < float(text.get("y", "")) < 480


def test_labels_keep_clear_of_each_other() -> None:
    close = Curve("close", (0.0, 990.0, 995.0, 1_000.0), (0.1, 0.98, 0.99, 1.0))
    places = [
        (float(text.get("x", "")), float(text.get("y", "")), len(text.text or ""))
        for text in drawn(close).iter(f"{SVG}text")
        if "after" in (text.text or "")
    ]
    assert len(places) == 3
    for number, (x, y, _) in enumerate(places):
        for other_x, other_y, _ in places[:number]:
            assert abs(y - other_y) >= 18 or abs(x - other_x) >= 110


def test_the_legend_names_the_curves() -> None:
    assert "slow" in texts(drawn(SLOW))
    assert {"slow", "long"} <= set(texts(drawn(SLOW, LONG)))
    assert {"slow to b", "long"} <= set(texts(drawn(SLOW, Curve("b", (1.0,), (1.0,)), LONG)))
