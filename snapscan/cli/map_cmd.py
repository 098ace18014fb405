"""`snapscan map CASE PATH_OR_OFFSET`: who owns this byte; where does this file lie."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click

from snapscan.cli.case_option import CASE, open_case
from snapscan.maps.space_map import Place
from snapscan.model.errors import LocatorError
from snapscan.model.owner import RowFlag
from snapscan.report.base import safe_text
from snapscan.run.opened import OpenSpace
from snapscan.run.resolve import open_record, owners_at, places_at


@click.command("map")
@CASE
@click.argument("path_or_offset")
def command(case: Path, path_or_offset: str) -> int:
    """Print who owns the byte at an offset of the space (decimal or 0x...), or where the file of a path (/...) lies.

    \b
    snapscan map vm.snapscan 0x4412000
    snapscan map vm.snapscan /srv/app/.env
    """
    found = False
    with open_case(case) as reader:
        for record in reader.spaces():
            opened = open_record(reader, record)
            try:
                if path_or_offset.startswith("/"):
                    found |= _path(opened, os.fsencode(path_or_offset))
                elif re.fullmatch(r"0x[0-9a-fA-F]+|[0-9]+", path_or_offset):
                    found |= _offset(opened, int(path_or_offset, 0))
                else:
                    raise LocatorError("map-what", f"{path_or_offset!r} is neither a path (/...) nor an offset (0x... or decimal)")
            finally:
                opened.close()
    if not found:
        raise LocatorError("map-nothing", f"no space of this case knows {path_or_offset}")
    return 0


def _path(opened: OpenSpace, path: bytes) -> bool:
    owners = owners_at(opened, path)
    for volume, owner, extents in owners:
        record = opened.space_map.maps[volume].record(owner)
        step = opened.spec.volumes.volumes[volume].step or opened.spec.snapshot.kind
        click.echo(f"{step}: inode {record.inode}, {record.kind.word}, {record.size_bytes} bytes, mode {record.mode:o}, uid {record.uid}")
        for extent in extents:
            mark = "  unwritten" if extent.flags & RowFlag.UNWRITTEN else ""
            click.echo(f"  {extent.owner_offset:>14}  at {extent.start:#14x} .. {extent.end:#x}  {extent.end - extent.start} bytes{mark}")
    return bool(owners)


def _offset(opened: OpenSpace, offset: int) -> bool:
    if offset >= opened.space.size_bytes:
        return False
    for place in places_at(opened, offset):
        click.echo(_line(opened, place, offset))
    return True


def _line(opened: OpenSpace, place: Place, offset: int) -> str:
    path = safe_text(place.path.decode("utf-8", "backslashreplace"))
    also = f" (also {len(place.also)} other names)" if place.also else ""
    return f"{opened.space_map.locator(place, offset, 1)}  {place.state} {place.word} {path}{also}".rstrip()
