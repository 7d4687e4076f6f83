"""Agreement between raters on plain arrays: coefficients, errors, clicks, repeats and consensus.

Everything here works without a database and without DIRT. Ratings are a table of counts (units ×
categories) or three integer arrays (`Ratings`: unit, rater, code). Clusters are one label per unit.
"""

from dirtmodel.irr.clicks import ClickAgreement, Match, chance_f1, match, summarise
from dirtmodel.irr.coefficients import Coefficient, coefficients
from dirtmodel.irr.consensus import Fit, dawid_skene
from dirtmodel.irr.contingency import OverPairs, TwoWay, cohen_kappa, over_pairs, two_way
from dirtmodel.irr.intervals import Estimate, Sampling
from dirtmodel.irr.leave_one_out import LeftOut, leave_one_out
from dirtmodel.irr.pairs import Pair, Pairs, pairwise
from dirtmodel.irr.proportions import (
    one_against_rest,
    prevalence,
    specific_agreement,
    unanimity,
)
from dirtmodel.irr.rates import ErrorRates, error_rates
from dirtmodel.irr.ratings import Ratings, Tabulation, tabulate
from dirtmodel.irr.repeats import Repeats, repeats
from dirtmodel.irr.simulate import (
    Coverage,
    Design,
    RateCoverage,
    Simulated,
    coverage,
    rate_coverage,
)
from dirtmodel.irr.weights import agreement_weights

__all__ = [
    "ClickAgreement",
    "Coefficient",
    "Coverage",
    "Design",
    "ErrorRates",
    "Estimate",
    "Fit",
    "LeftOut",
    "Match",
    "OverPairs",
    "Pair",
    "Pairs",
    "RateCoverage",
    "Ratings",
    "Repeats",
    "Sampling",
    "Simulated",
    "Tabulation",
    "TwoWay",
    "agreement_weights",
    "chance_f1",
    "coefficients",
    "cohen_kappa",
    "coverage",
    "dawid_skene",
    "error_rates",
    "leave_one_out",
    "match",
    "one_against_rest",
    "over_pairs",
    "pairwise",
    "prevalence",
    "rate_coverage",
    "repeats",
    "specific_agreement",
    "summarise",
    "tabulate",
    "two_way",
    "unanimity",
]
