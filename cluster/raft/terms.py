"""Which term an index has, without asking a disk: the log's terms as runs.

A log of millions of entries has as many runs as it had leaders, so this stays small. Kafka calls the same thing the
leader-epoch cache.
"""

from bisect import bisect_right
from collections.abc import Sequence

from cluster.types import Index, Term


class TermRuns:
    """Runs of (first index, term), ascending, from the entry after the fold to the last one."""

    __slots__ = ("_starts", "_terms", "fold_index", "fold_term", "last_index")

    def __init__(
        self, fold_index: Index, fold_term: Term, starts: Sequence[tuple[Index, Term]], last_index: Index
    ) -> None:
        self.fold_index = fold_index
        self.fold_term = fold_term
        self.last_index = last_index
        self._starts = [start for start, _ in starts]
        self._terms = [term for _, term in starts]

    @property
    def last_term(self) -> Term:
        """The last entry's term; the fold's if there is none."""
        return self._terms[-1] if self._terms else self.fold_term

    def term_at(self, index: Index) -> Term | None:
        """The entry's term; None before the fold and after the end."""
        if index == self.last_index:
            return self.last_term
        if index == self.fold_index:
            return self.fold_term
        if not self.fold_index < index < self.last_index:
            return None
        return self._terms[bisect_right(self._starts, index) - 1]

    def append(self, index: Index, term: Term) -> None:
        """One more entry at the end."""
        assert index == self.last_index + 1, f"entry {index} does not follow {self.last_index}"
        assert term >= self.last_term, f"terms never fall: {term} after {self.last_term}"
        if not self._terms or self._terms[-1] != term:
            self._starts.append(index)
            self._terms.append(term)
        self.last_index = index

    def truncate_from(self, index: Index) -> None:
        """Drop the entry at `index` and everything after it."""
        assert self.fold_index < index <= self.last_index, "only what is there can be dropped"
        while self._starts and self._starts[-1] >= index:
            self._starts.pop()
            self._terms.pop()
        self.last_index = Index(index - 1)

    def trim_to(self, index: Index, term: Term) -> None:
        """Forget entries up to and including `index`, whose term is `term`: the fold is there now."""
        if index <= self.fold_index:
            return
        if index >= self.last_index:
            self._starts.clear()
            self._terms.clear()
            self.last_index = index
        else:
            run = bisect_right(self._starts, Index(index + 1)) - 1
            del self._starts[:run], self._terms[:run]
            self._starts[0] = Index(index + 1)
        self.fold_index, self.fold_term = index, term

    def reset(self, index: Index, term: Term) -> None:
        """Nothing is left but a fold at `index`."""
        self._starts.clear()
        self._terms.clear()
        self.fold_index = self.last_index = index
        self.fold_term = term

    def last_with_term_at_most(self, index: Index, term: Term) -> Index:
        """The highest index up to `index` whose term is at most `term`; the fold's index if there is none."""
        index = min(index, self.last_index)
        run = bisect_right(self._starts, index) - 1
        while run >= 0 and self._terms[run] > term:
            index = Index(self._starts[run] - 1)
            run -= 1
        return max(index, self.fold_index)

    def starts(self) -> tuple[tuple[Index, Term], ...]:
        """The runs."""
        return tuple(zip(self._starts, self._terms, strict=True))
