"""A formulation in one file: the textbook's big-M rows, without a column for the slack."""

from __future__ import annotations

import numpy as np

from formulations import AffineForm, Formulation, Program, register_formulation


@register_formulation("textbook")
class Textbook(Formulation):
    """``y >= a``, ``y <= a - L (1 - z)``, ``y <= U z``."""

    def unstable_relu(
        self, program: Program, form: AffineForm, lower: np.ndarray, upper: np.ndarray
    ) -> AffineForm:
        zero = np.zeros(form.size)
        y = AffineForm.of_columns(ys := program.add_columns(zero, upper))
        z = AffineForm.of_columns(zs := program.add_columns(zero, zero + 1.0, integer=True))
        program.add_rows(y - form, lower=0.0, upper=np.inf)
        program.add_rows(y - form - z.scale(lower), lower=-np.inf, upper=-lower)
        program.add_rows(y - z.scale(upper), lower=-np.inf, upper=0.0)
        program.define(ys, form, "positive_part")
        program.define(zs, form, "step")
        return y
