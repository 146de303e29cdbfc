"""Vectors of affine forms over the columns of a program."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.int32]


@dataclass(frozen=True)
class AffineForm:
    """``n`` affine forms ``coefficients @ v + constant`` over program columns ``v``.

    Attributes
    ----------
    coefficients : scipy.sparse.csr_array, shape (n, any number of columns)
        Sparse coefficients; columns past the stored width have coefficient zero.
    constant : array, shape (n,)
        Constants.

    Examples
    --------
    >>> import numpy as np
    >>> x = AffineForm.of_columns(np.array([0, 1], dtype=np.int32))
    >>> y = x.affine(np.array([[1.0, -2.0]]), np.array([0.5]))
    >>> y.evaluate(np.array([3.0, 1.0])).tolist()
    [1.5]
    """

    coefficients: sp.csr_array
    constant: Array

    @classmethod
    def of_columns(cls, columns: Index) -> AffineForm:
        """Forms that are the given columns themselves."""
        n = columns.size
        width = int(columns.max()) + 1 if n else 0
        matrix = sp.csr_array(
            (np.ones(n), columns.astype(np.int32), np.arange(n + 1, dtype=np.int32)),
            shape=(n, width),
        )
        return cls(matrix, np.zeros(n))

    @classmethod
    def of_constants(cls, values: npt.ArrayLike) -> AffineForm:
        """Forms without columns."""
        constant = np.atleast_1d(np.asarray(values, float)).copy()
        return cls(sp.csr_array((constant.size, 0)), constant)

    @property
    def size(self) -> int:
        """Number of forms."""
        return int(self.constant.size)

    @property
    def width(self) -> int:
        """Number of columns the coefficients reach over."""
        return int(self.coefficients.shape[1])

    @property
    def terms(self) -> npt.NDArray[np.int64]:
        """Number of columns in each form, shape (n,)."""
        return np.diff(self.coefficients.indptr).astype(np.int64)

    def matrix(self, n_columns: int) -> sp.csr_array:
        """Coefficients widened to ``n_columns``."""
        c = self.coefficients
        return sp.csr_array((c.data, c.indices, c.indptr), shape=(c.shape[0], n_columns))

    def evaluate(self, values: Array) -> Array:
        """Values of the forms at a column vector, shape (n,)."""
        return np.asarray(self.coefficients @ values[: self.width]) + self.constant

    def affine(self, weight: Array | sp.csr_array, bias: Array) -> AffineForm:
        """Forms ``weight @ self + bias``; exact zeros of ``weight`` leave no entry."""
        if not isinstance(weight, sp.csr_array) and self._picks_columns():
            return AffineForm(self._picked(weight), weight @ self.constant + bias)
        w = weight if isinstance(weight, sp.csr_array) else sp.csr_array(weight)
        product = sp.csr_array(w @ self.coefficients)
        product.eliminate_zeros()
        product.sort_indices()
        return AffineForm(product, np.asarray(w @ self.constant) + bias)

    def _picks_columns(self) -> bool:
        """Whether every form is one column at most, and no column stands in two forms."""
        used = self.coefficients.indices
        return bool(self.terms.max(initial=0) <= 1) and np.unique(used).size == used.size

    def _picked(self, weight: Array) -> sp.csr_array:
        """``weight`` times the coefficients, where :meth:`_picks_columns` holds.

        No sparse product: the columns of ``weight`` are renamed, and those of constants dropped.
        """
        c = self.coefficients
        order = np.argsort(c.indices)
        columns = c.indices[order]
        dense = weight[:, np.flatnonzero(self.terms)[order]]
        dense *= c.data[order]
        filled = dense != 0.0
        starts = np.concatenate([[0], np.cumsum(filled.sum(axis=1))]).astype(np.int32)
        shape = (weight.shape[0], self.width)
        named = np.broadcast_to(columns.astype(np.int32), dense.shape)
        return sp.csr_array((dense[filled], named[filled], starts), shape=shape)

    def select(self, rows: npt.NDArray[np.intp]) -> AffineForm:
        """Return the chosen forms, in the given order."""
        if rows.size == self.size and (rows == np.arange(self.size)).all():
            return self
        return AffineForm(self.coefficients[rows], self.constant[rows])

    def scale(self, factors: Array) -> AffineForm:
        """Each form times its factor, shape (n,)."""
        if (factors == 1.0).all():
            return self
        return AffineForm(
            sp.csr_array(sp.diags_array(factors) @ self.coefficients), self.constant * factors
        )

    def sum(self) -> AffineForm:
        """One form: the sum of all."""
        return self.affine(np.ones((1, self.size)), np.zeros(1))

    def stack(self, *others: AffineForm) -> AffineForm:
        """All forms one under the other."""
        parts = (self, *others)
        width = max(p.width for p in parts)
        return AffineForm(
            sp.csr_array(sp.vstack([p.matrix(width) for p in parts])),
            np.concatenate([p.constant for p in parts]),
        )

    def __add__(self, other: AffineForm) -> AffineForm:
        width = max(self.width, other.width)
        total = sp.csr_array(self.matrix(width) + other.matrix(width))
        total.eliminate_zeros()
        return AffineForm(total, self.constant + other.constant)

    def __neg__(self) -> AffineForm:
        c = self.coefficients
        opposite = sp.csr_array((-c.data, c.indices, c.indptr), shape=c.shape)
        return AffineForm(opposite, -self.constant)

    def __sub__(self, other: AffineForm) -> AffineForm:
        return self + (-other)

    def shift(self, values: Array) -> AffineForm:
        """Each form plus its constant, shape (n,)."""
        return AffineForm(self.coefficients, self.constant + values)
