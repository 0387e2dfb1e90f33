"""The interfaces of models that people deploy, in small: names, datatypes and axes are theirs, the lengths are not.

Each is served as a formula of its inputs, so that what comes back can be foreseen to the bit.
"""

from __future__ import annotations

from support.interfaces.bindings import BINDINGS
from support.interfaces.interface import Interface, formula_model, tensors
from support.interfaces.published import PUBLISHED
from support.interfaces.series import SERIES
from support.interfaces.tabular import TABULAR
from support.interfaces.text import TEXT
from support.interfaces.together import TOGETHER
from support.interfaces.vision import VISION

__all__ = ["INTERFACES", "Interface", "formula_model", "tensors"]

INTERFACES = {
    interface.model.name: interface
    for interface in (*TABULAR, *TEXT, *VISION, *SERIES, *BINDINGS, *TOGETHER, *PUBLISHED)
}
