"""Statuses, versions and profiles: nothing HiGHS says is left without a meaning."""

from __future__ import annotations

import highspy
import pytest

from mipnet.errors import SolverError
from mipnet.solver import (
    EXPLORE,
    IMPROVE,
    KNOWN_BAD,
    PROVE,
    Status,
    choose_profile,
    highs_version,
    refuse_known_bad,
)
from mipnet.solver.status import FROM_HIGHS

HIGHS = sorted(highspy.HighsModelStatus.__members__)


@pytest.mark.parametrize("name", HIGHS)
def test_every_status_of_highs_has_a_meaning(name: str) -> None:
    assert isinstance(FROM_HIGHS[name], Status)


def test_no_status_is_invented() -> None:
    assert set(FROM_HIGHS) <= set(HIGHS)


def test_only_exhausted_searches_are_proofs() -> None:
    proofs = {name for name in HIGHS if FROM_HIGHS[name].proven}
    assert proofs == {"kOptimal", "kModelEmpty", "kInfeasible", "kUnbounded", "kObjectiveBound"}
    assert {s for s in Status if s.proven} == {
        Status.OPTIMAL, Status.INFEASIBLE, Status.CUTOFF, Status.UNBOUNDED
    }  # fmt: skip


@pytest.mark.parametrize("name", [n for n in HIGHS if "Error" in n or n in {"kNotset", "kUnknown"}])
def test_failures_are_errors(name: str) -> None:
    assert FROM_HIGHS[name] is Status.ERROR


def test_known_bad_releases_are_refused() -> None:
    assert "1.14.0" in KNOWN_BAD
    for version, reason in KNOWN_BAD.items():
        with pytest.raises(SolverError, match=f"{version}.*{reason}.*another highspy"):
            refuse_known_bad(version)
    assert refuse_known_bad("1.15.1") == "1.15.1"


def test_a_known_bad_installation_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = highspy.Highs().version()
    assert highs_version() == installed
    monkeypatch.setitem(KNOWN_BAD, installed, "is bad for this test")
    highs_version.cache_clear()
    try:
        with pytest.raises(SolverError, match="is bad for this test"):
            highs_version()
    finally:
        monkeypatch.undo()
        highs_version.cache_clear()
    assert highs_version() == installed


def test_profiles_follow_what_is_known() -> None:
    assert choose_profile(start=False, cutoff=False) is EXPLORE
    assert choose_profile(start=True, cutoff=False) is IMPROVE
    assert (
        choose_profile(start=False, cutoff=True) is choose_profile(start=True, cutoff=True) is PROVE
    )


@pytest.mark.parametrize("profile", [EXPLORE, IMPROVE, PROVE])
def test_profiles_ask_for_exact_answers(profile) -> None:
    assert profile.options["mip_rel_gap"] == 0.0
    assert profile.options["mip_feasibility_tolerance"] <= 1e-9
    model = highspy.Highs()
    model.setOptionValue("output_flag", False)
    for name, value in profile.options.items():
        assert model.setOptionValue(name, value) == highspy.HighsStatus.kOk


def test_with_options_leaves_the_original() -> None:
    changed = EXPLORE.with_options(mip_rel_gap=0.5)
    assert changed.options["mip_rel_gap"] == 0.5
    assert EXPLORE.options["mip_rel_gap"] == 0.0
    assert changed.name == EXPLORE.name
