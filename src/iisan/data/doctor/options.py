"""What the doctor is to look for."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from iisan.data.pictures import PictureCheck
from iisan.data.split import SplitKind


class DoctorOptions(BaseModel):
    """Options of :func:`iisan.data.doctor.examine.examine`; give those that you train with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    split: SplitKind = Field("leave_one_out", description="The split that training will use")
    valid_share: float = Field(0.1, gt=0, lt=1, description="With global_time: share of the log for validation")
    test_share: float = Field(0.1, gt=0, lt=1, description="With global_time: share of the log for the test")
    min_interactions: int = Field(5, ge=1, description="Users with fewer interactions are left out")
    keep_last: int | None = Field(None, ge=2, description="Keep only this many last interactions of a user")
    check_media: PictureCheck = Field(
        "header", description="header: format and size of each picture; full: decode it and compare its checksum"
    )
    max_pixels: int = Field(64_000_000, gt=0, description="Most pixels (width times height) of a picture")
    max_media_bytes: int = Field(64 << 20, gt=0, description="Largest picture file, in bytes")
