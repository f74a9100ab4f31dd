"""What every search promises, and the bookkeeping that searches share: what a search of one's own imports."""

from nestedga.population.keys import rng_for
from nestedga.search.base.asynchronous import Asynchronous
from nestedga.search.base.bookkeeping import Birth, Bookkeeping, check_kinds
from nestedga.search.base.generational import Generational
from nestedga.search.base.search import Search

__all__ = ["Asynchronous", "Birth", "Bookkeeping", "Generational", "Search", "check_kinds", "rng_for"]
