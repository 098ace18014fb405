"""Files of a mapped volume by path: for the few that a map task itself wants to read."""

from __future__ import annotations

from snapscan.model.errors import ReadFault
from snapscan.model.owner import OwnerKind, OwnerMap, RowFlag
from snapscan.model.space import Space, read_bytes

READ_MOST = 16 << 20


class MapFiles:
    """Looks paths up in a map, part by part, without following links; directories that were looked into are kept."""

    def __init__(self, owners: OwnerMap, space: Space) -> None:
        self._owners = owners
        self._space = space
        self._known: dict[int, dict[bytes, int]] = {}

    def _entries(self, directory: int) -> dict[bytes, int]:
        known = self._known.get(directory)
        if known is None:
            known = {name: owner for owner, name in self._owners.children(directory)}
            self._known[directory] = known
        return known

    def find(self, path: str) -> int:
        """The owner at `path`, -1 where there is none; links are not followed."""
        at = self._owners.root
        for part in path.encode("utf-8", "surrogateescape").strip(b"/").split(b"/"):
            if at < 0:
                return -1
            at = self._entries(at).get(part, -1) if part else at
        return at

    def list_dir(self, path: str) -> list[str]:
        """Names in the directory, in order; none where there is no such directory."""
        at = self.find(path)
        if at < 0 or self._owners.kind[at] != OwnerKind.DIRECTORY:
            return []
        return sorted(name.decode("utf-8", "surrogateescape") for name in self._entries(at))

    def read_file(self, path: str) -> bytes | None:
        """The file's bytes as the guest reads them; None where there is no such file, it is above 16 MiB, or a part cannot be read."""
        at = self.find(path)
        if at < 0 or self._owners.kind[at] != OwnerKind.FILE or int(self._owners.size[at]) > READ_MOST:
            return None
        out = bytearray(int(self._owners.size[at]))
        for extent in self._owners.extents(at):
            length = min(extent.end - extent.start, len(out) - extent.owner_offset)
            if length <= 0 or extent.flags & RowFlag.UNWRITTEN:
                continue
            try:
                out[extent.owner_offset : extent.owner_offset + length] = read_bytes(self._space, extent.start, length)
            except ReadFault:
                return None
        return bytes(out)
