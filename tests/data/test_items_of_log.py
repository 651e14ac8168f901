from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from iisan.data.importers.columns import Coded
from iisan.data.importers.items_of_log import items_of_log
from iisan.data.importers.log import RawLog


@given(codes=st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_items_stand_by_first_appearance(codes: list[int]) -> None:
    item = Coded(np.array(codes, dtype=np.int64), list("fedcba"))
    user = Coded(np.zeros(len(codes), dtype=np.int64), ["u"])
    assert items_of_log(RawLog(user, item, None, None, "log")) == [item.ids[code] for code in dict.fromkeys(codes)]
