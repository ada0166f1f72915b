"""Random cases for Hypothesis, from seeds: quick to make, and a failing one shrinks to few nodes."""

from random import Random

from hypothesis import strategies as st

from tests.builders import random_case

RANDOMS = st.integers(0, 2**32).map(Random)
CASES = st.builds(random_case, RANDOMS, most_nodes=st.integers(1, 10))
WITHOUT_FAILURE = st.builds(random_case, RANDOMS, most_nodes=st.integers(1, 10), may_fail=st.just(False))
