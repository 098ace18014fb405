"""Which reader maps which kind of volume. The order of the kinds is visible here; readers are imported when first needed."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from snapscan.model.mapping import MapLimits, Mapped, Mapper
from snapscan.model.owner import OwnerKind
from snapscan.model.owner_builder import MapBuilder, empty_like
from snapscan.model.volume import Gap, Volume, VolumeReader

MAPPERS = {
    "ext2": ("snapscan.maps.ext", "map_ext"),
    "ext3": ("snapscan.maps.ext", "map_ext"),
    "ext4": ("snapscan.maps.ext", "map_ext"),
    "xfs": ("snapscan.maps.xfs", "map_xfs"),
    "ntfs": ("snapscan.maps.ntfs", "map_ntfs"),
    "fat": ("snapscan.maps.fat", "map_fat"),
    "exfat": ("snapscan.maps.exfat", "map_exfat"),
    "btrfs": ("snapscan.maps.btrfs", "map_btrfs"),
    "apfs": ("snapscan.maps.dissect_fs", "map_with_dissect"),
    "ufs": ("snapscan.maps.dissect_fs", "map_with_dissect"),
    "vmfs": ("snapscan.maps.dissect_fs", "map_with_dissect"),
    "squashfs": ("snapscan.maps.dissect_fs", "map_with_dissect"),
}
WHOLE = {"swap": OwnerKind.SWAP, "luks": OwnerKind.ENCRYPTED, "bitlocker": OwnerKind.ENCRYPTED}
"""Kinds without files: one owner has all bytes. That an encrypted volume stays closed is a gap of `find_volumes`."""
EXPLAINED = frozenset({"", "md", "lvm2"})
"""Kinds for which `find_volumes` has said what there is to say."""


def map_volume(reader: VolumeReader, volume: Volume, limits: MapLimits) -> Mapped:
    """The owners of one volume, by the kind that `find_volumes` recognised. Raises nothing for what an image contains.

    Bytes of a volume without a map are swept like all others; a recognised filesystem that nothing here can read is a gap `unmapped`.
    """
    kind = volume.filesystem
    if kind in MAPPERS:
        module, function = MAPPERS[kind]
        return cast(Mapper, getattr(import_module(module), function))(reader, volume, limits)
    if kind in WHOLE:
        builder = MapBuilder()
        builder.row(0, volume.size_bytes, builder.owner(WHOLE[kind], size_bytes=volume.size_bytes))
        return Mapped(builder.finish(volume))
    gaps = () if kind in EXPLAINED else (Gap("unmapped", volume.step, f"{kind}: recognised, and not read"),)
    return Mapped(empty_like(volume), gaps)
