"""The closed forms of BMRS against the reference values of its card, and against quadrature."""

from math import log, pi, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize
from scipy.stats import norm

from mipnet.pruning.methods import bmrs_evidence as bmrs

#: mu, log sigma, KL, E, SNR, evidence N (paper), N (code), U-8, U-4, decisions (P prunes) by
#: SNR <= 1, E < 0.1, N paper, N code, U-8, U-4. Computed with 80 digits.
TABLE = """
0 -5 7.26994092 0.994646515 246.69921 -4405285.0 -4405284.08 -338652.105 -84667.2828 kkkkkk
-0.5 -1 2.78578415 0.596582177 3.3599915 -1401.67631 -1400.75737 -96.8371843 -21.3366317 kkkkkk
-1 -0.5 2.21655891 0.396083157 1.9377538 -488.02216 -487.103222 -30.3230124 -5.88740898 kkkkkk
-2 0 1.65505451 0.192099681 1.0681994 -159.900179 -158.98124 -7.85929844 -1.07384098 kkkkkk
-3 0.5 1.18360718 0.113976512 0.6797565 -51.546764 -50.6278254 -2.10232186 -0.136229488 Pkkkkk
-5 0.7 0.906185736 0.0350580282 0.38990572 -26.358825 -25.4398865 -0.272449782 0.280077898 PPkkkP
-8 1 0.586213902 0.00796009238 0.18745451 -8.66571391 -7.74677538 0.451281481 0.390033272 PPkkPP
-10 1.4 0.238239171 0.0095975571 0.16873704 -2.3499504 -1.43101187 0.435526279 0.316419778 PPkkPP
-12 1.6 0.159987159 0.00791900567 0.14699188 -0.764828919 0.154109614 0.346939506 0.200513538 PPkPPP
-15 1.6 0.299213654 0.00209342095 0.080060741 0.138767492 1.05770603 0.22295843 0.0248492132 PPPPPP
-14 1.1 0.555466769 7.37804163e-5 0.035446062 -0.994494387 -0.0755558534 0.374363316 0.141152086 PPkkPP
-18 0.7 1.19559752 1.37589138e-7 0.1449805 1.05832677 1.9772653 -1.04550969 -1.28189847 PPPPkk
-20 0.7 1.56994092 3.06229351e-8 0.18518178 2.06994092 2.98887945 -2.47142528 -2.70781406 PPPPkk
0 2.3 0.128113393 0.0829417404 0.44400272 -1.49444062 -0.575502085 -0.058505899 0.0649077848 PPkkkP
-10 2.3 0.0104648246 0.038860801 0.29749091 -0.345913647 0.573024886 0.109677277 0.0843257563 PPkPPP
-10 5 2.28951032e-7 0.0499447857 0.33316451 -0.00151355961 0.917424974 0.000539408014 0.000419017796 PPkPPP
"""  # noqa: E501
ROWS = [line.split() for line in TABLE.strip().splitlines()]

POSTERIORS = st.tuples(st.floats(-20.0, 0.0), st.floats(-5.0, 5.0))


def forms(mu, sigma):
    return [
        bmrs.divergence(mu, sigma),
        bmrs.expectation(mu, sigma),
        bmrs.signal_to_noise(mu, sigma),
        bmrs.normal_evidence(mu, sigma),
        bmrs.normal_evidence(mu, sigma, "code"),
        bmrs.uniform_evidence(mu, sigma, 8.0),
        bmrs.uniform_evidence(mu, sigma, 4.0),
    ]


def integral(function, mu, sigma, low=bmrs.LOW, high=bmrs.HIGH):
    """Of a function of x times the density of the untruncated normal."""
    peak = [p for p in (mu - 5 * sigma, mu, mu + 5 * sigma) if low < p < high]
    value, _ = integrate.quad(
        lambda x: function(x) * norm.pdf(x, mu, sigma), low, high, points=peak, limit=200
    )
    return value


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"mu{row[0]}-logsigma{row[1]}")
def test_reference_values(row):
    mu, sigma = float(row[0]), np.exp(float(row[1]))
    found, wanted = forms(mu, sigma), [float(v) for v in row[2:9]]
    # The card gives nine digits, eight of the signal-to-noise ratio.
    limits = [1e-8] * 7
    limits[2] = 5e-8
    for value, reference, limit in zip(found, wanted, limits, strict=True):
        assert float(value) == pytest.approx(reference, rel=limit)
    pruned = [found[2] <= 1, found[1] < 0.1, *(v >= 0 for v in found[3:])]
    assert "".join("P" if p else "k" for p in pruned) == row[9]


def test_vectors_give_what_numbers_give():
    mu = np.array([float(row[0]) for row in ROWS])
    sigma = np.exp([float(row[1]) for row in ROWS])
    for k, form in enumerate(forms(mu, sigma)):
        single = [float(forms(m, s)[k]) for m, s in zip(mu, sigma, strict=True)]
        np.testing.assert_allclose(form, single, rtol=1e-13)


@pytest.mark.parametrize(
    ("mu", "sigma", "centre", "width", "wanted"),
    [
        (-5, 2, -18, 1, -15.598683416277),
        (-15, 5, -20, 2, 0.390844387193),
        (-10, 4, -15, 0.5, -0.073986388205),
        (-1, 0.5, -10, 3, -3.395896898619),
    ],
)
def test_reduced_priors_away_from_the_spike(mu, sigma, centre, width, wanted):
    found = float(bmrs.normal_evidence(mu, sigma, spike=(centre, width**2)))
    assert found == pytest.approx(wanted, rel=1e-11)
    ends = [(end - centre) / width for end in (bmrs.LOW, bmrs.HIGH)]
    reduced = norm.cdf(ends[1]) - norm.cdf(ends[0])
    overlap = integral(lambda x: norm.pdf(x, centre, width) / reduced, mu, sigma)
    mass = integral(lambda x: 1.0, mu, sigma)
    assert found == pytest.approx(log(overlap / mass * 20.0), rel=1e-6)


def test_the_printed_form_loses_digits_and_the_stable_one_does_not():
    def printed(mu, sigma):
        spike, variance = -20.0, 1e-12
        joint = 1.0 / (1.0 / sigma**2 + 1.0 / variance)
        mean = joint * (mu / sigma**2 + spike / variance)
        masses = [
            norm.cdf(0.0, m, s) - norm.cdf(-20.0, m, s)
            for m, s in ((mean, sqrt(joint)), (spike, 1e-6), (mu, sigma))
        ]
        return (
            log(masses[0] * 20.0 / (masses[1] * masses[2]))
            + 0.5 * log(joint / (2 * pi * variance * sigma**2))
            - 0.5 * (mu**2 / sigma**2 + spike**2 / variance - mean**2 / joint)
        )

    errors = [
        abs(printed(float(r[0]), np.exp(float(r[1]))) - float(r[5]))
        for r in ROWS
        if float(r[1]) > 0
    ]
    assert 1e-4 < max(errors) < 0.2


def test_samples_by_reparametrisation():
    cases = [(-1, 0.5, 0.25), (-1, 0.5, 0.5), (-10, 4, 0.9), (0, 1, 0.5)]
    wanted = [0.260214558, 0.362671264, 0.00683958415, 0.509416284]
    for case, value in zip(cases, wanted, strict=True):
        assert float(bmrs.sample(*case)) == pytest.approx(value, rel=1e-8)
    # Draws at the very ends are kept inside, whatever the posterior.
    ends = bmrs.sample([-20.0, 0.0, -10.0], [5.0, 5.0, 100.0], [[0.0], [1.0]])
    assert ((ends >= np.exp(-20.0)) & (ends <= 1.0)).all()
    draws = np.linspace(0.0, 1.0, 20_001)[:-1] + 0.5 / 20_000
    mean = bmrs.sample(-3.0, 1.5, draws).mean()
    assert mean == pytest.approx(float(bmrs.expectation(-3.0, 1.5)), rel=1e-4)


@pytest.mark.parametrize(
    ("sigma", "paper", "code"),
    [
        (1, -17.95194, -17.54933),
        (2, -16.61757, -15.69339),
        (3, -15.64381, -14.11757),
        (5, -14.46175, -11.50517),
        (8, -13.79936, -7.725216),
    ],
)
def test_the_largest_mean_that_still_goes(sigma, paper, code):
    for variant, wanted in (("paper", paper), ("code", code)):
        border = optimize.brentq(
            lambda mu, v=variant: float(bmrs.normal_evidence(mu, sigma, v)), -19.9, -5.0
        )
        assert border == pytest.approx(wanted, abs=6e-6)


def test_share_of_the_narrow_prior():
    for p1, share in ((8.0, 0.519860385), (4.0, 0.658489822)):
        evidence = bmrs.uniform_evidence(-10.0, 1e6, p1)
        assert abs(float(evidence)) < 1e-8
        inside = bmrs.log_posterior_mass(-10.0, 1e6, -23 * log(2), -p1 * log(2))
        assert float(np.exp(inside - bmrs.log_posterior_mass(-10.0, 1e6))) == pytest.approx(
            share, rel=1e-8
        )


@settings(deadline=None, max_examples=60)
@given(POSTERIORS)
def test_what_holds_everywhere(posterior):
    mu, sigma = posterior[0], float(np.exp(posterior[1]))
    kl, mean, ratio, paper, code, *_ = (float(v) for v in forms(mu, sigma))
    assert kl >= 0.0
    assert np.exp(-20.0) <= mean <= 1.0
    assert ratio > 0.0
    assert code - paper == pytest.approx(0.918938533, abs=1e-8 * max(1.0, abs(paper)))
    # For a spike at the end this is the ratio of densities there; the spike is 1e-6 wide.
    alpha = (-20.0 - mu) / sigma
    density = -0.5 * alpha**2 - 0.5 * log(2 * pi) - log(sigma)
    limit = log(20.0) + density - float(bmrs.log_posterior_mass(mu, sigma))
    assert paper == pytest.approx(limit, abs=1e-5 * (1.0 + abs(alpha)) / sigma, rel=1e-7)


@settings(deadline=None, max_examples=25)
@given(st.floats(-20.0, 0.0), st.floats(-1.0, 3.0))
def test_moments_and_divergence_agree_with_quadrature(mu, log_sigma):
    sigma = float(np.exp(log_sigma))
    mass = integral(lambda x: 1.0, mu, sigma)
    for order in (1, 2):
        moment = integral(lambda x, k=order: np.exp(k * x), mu, sigma) / mass
        assert float(np.exp(bmrs.log_moment(mu, sigma, order))) == pytest.approx(moment, rel=1e-6)
    kl = integral(lambda x: norm.logpdf(x, mu, sigma) - log(mass) + log(20.0), mu, sigma) / mass
    assert float(bmrs.divergence(mu, sigma)) == pytest.approx(kl, abs=1e-8)


def test_limits():
    wide = np.exp(np.arange(1.0, 8.0))
    divergence = bmrs.divergence(-7.0, wide)
    assert (np.diff(divergence) < 0).all()
    assert divergence[-1] < 1e-9
    assert abs(float(bmrs.uniform_evidence(-7.0, wide[-1]))) < 1e-4
    # At the lower end, the upper one far away, half the normal is left: KL + 1/2.
    for sigma in (0.1, 1.0, 2.0):
        evidence = float(bmrs.normal_evidence(-20.0, sigma))
        assert evidence == pytest.approx(float(bmrs.divergence(-20.0, sigma)) + 0.5, rel=2e-6)


def test_masses_in_the_tails():
    assert float(bmrs.log_mass(30.0, 31.0)) == pytest.approx(norm.logsf(30.0), rel=1e-12)
    assert float(bmrs.log_mass(-31.0, -30.0)) == pytest.approx(norm.logsf(30.0), rel=1e-12)
    assert float(bmrs.log_mass(-1.0, 1.0)) == pytest.approx(log(0.6826894921370859), rel=1e-13)
    assert float(bmrs.log_mass(-50.0, 50.0)) == 0.0
