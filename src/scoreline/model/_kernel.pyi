from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

VERSION: int

class Trees:
    def __new__(
        cls,
        *,
        nodes: Array,
        roots: Array,
        groups: Array,
        vectors: Array,
        sets: Array,
        set_starts: Array,
        kinds: Array,
        base: Array,
        inclusive: bool,
        float_width: int,
        sum_width: int,
        average: bool,
        zero_below: float,
    ) -> Trees: ...
    def predict(self, matrix: Array, out: Array) -> None: ...
