"""What ``iisan serve`` is told."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from iisan.encoders.config import ComputeDtype
from iisan.serving.adder_options import AdderOptions
from iisan.serving.upload_limits import UploadLimits

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class ServeSettings(BaseModel):
    """Which model is served, where, and within what bounds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Path = Field(description="Model folder or run folder")
    dataset: Path | None = Field(
        None, description="Dataset folder, for pictures and attributes; by default the one that the run wrote down"
    )
    states: Path | None = Field(None, description="Folder of the stores, for explanations; by default DATASET/states")
    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 or :: for all of this machine's")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 for a free one")
    workers: int = Field(1, ge=1, le=64, description="Processes that answer requests, each with the model in memory")
    threads: int | None = Field(
        None, ge=1, description="Threads that a process computes with; by default the cores divided by the workers"
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    index: Literal["auto", "exact", "approximate"] = Field(
        "auto", description="How the best items are found; auto is exact for catalogues where that is fastest"
    )
    read_only: bool = Field(False, description="Refuse to add and remove items")
    token_file: Path | None = Field(
        None, description="File with the token that adding and removing asks for; or set the variable IISAN_TOKEN"
    )
    allowed_host: list[str] = Field(
        [],
        description="Name by which clients may call the service, as in the Host header; by default those of this "
        "machine itself where it listens on a loopback address, else any",
    )
    cors_origin: list[str] = Field(
        [], description="Origin of other web pages that may call the service, e.g. https://a"
    )
    max_history: int = Field(500, ge=1, le=100_000, description="Longest history of a request")
    max_k: int = Field(200, ge=1, le=10_000, description="Most items of an answer")
    max_batch: int = Field(256, ge=1, le=4096, description="Most requests in one batch")
    max_body: int = Field(1 << 20, ge=1024, le=1 << 30, description="Largest JSON body in bytes")
    max_requests: int = Field(512, ge=1, description="Requests in hand at once; more are told to ask again")
    max_connections: int = Field(2048, ge=1, description="Open connections of a process; more are turned away")
    max_uploads: int = Field(4, ge=1, le=64, description="New items being received at once; more are told to ask again")
    body_seconds: float = Field(30.0, gt=0, description="Longest time that a request's body may take to arrive")
    answer_seconds: float = Field(10.0, gt=0, description="Longest time that an answer may take, new items aside")
    stop_seconds: float = Field(30.0, gt=0, description="Time that requests in hand are given when the service stops")
    reload_seconds: float = Field(1.0, ge=0.05, description="Time between two looks whether the model has changed")
    encoder: list[str] = Field(
        [], description="Where an encoder of new items is now, MODALITY=MODEL; by default where it was for the states"
    )
    compute: ComputeDtype = Field("auto", description="Arithmetic of the encoders; auto: bfloat16 on CUDA")
    upload_bytes: int = Field(16 << 20, ge=1, description="Largest picture file of a new item, in bytes")
    upload_pixels: int = Field(
        25_000_000, ge=1, le=80_000_000, description="Most pixels (width times height) of a new item's picture"
    )
    add_seconds: float = Field(60.0, gt=0, description="Longest time that adding one item may take")
    picture_side: int = Field(320, ge=16, le=2048, description="Longer side of the pictures shown, in pixels")
    picture_cache: int = Field(64 << 20, ge=0, description="Bytes of scaled pictures that a process keeps")

    @model_validator(mode="after")
    def _origins(self) -> ServeSettings:
        for origin in self.cors_origin:
            scheme, _, rest = origin.partition("://")
            if scheme not in ("http", "https") or not rest or "/" in rest or "*" in rest:
                raise ValueError(f"cors_origin: {origin!r} is not of the form https://example.org")
        return self

    @property
    def adder(self) -> AdderOptions:
        """How new items are encoded."""
        return AdderOptions(encoder=tuple(self.encoder), compute=self.compute, device=self.device, threads=self.threads)

    @property
    def uploads(self) -> UploadLimits:
        """What new items may hold."""
        return UploadLimits(
            picture_bytes=self.upload_bytes, picture_pixels=self.upload_pixels, add_seconds=self.add_seconds
        )

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def host_names(self) -> frozenset[str] | None:
        """Names that a Host header may have, in lower case; None for any."""
        if self.allowed_host:
            return frozenset(name.lower() for name in self.allowed_host)
        return frozenset({*LOOPBACK_NAMES, self.host.lower()}) if self.on_loopback else None
